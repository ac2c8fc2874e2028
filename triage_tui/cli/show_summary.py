"""What `triage-tui show` tells of a run by itself: what happened, why, what is proposed, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from triage_tui.cli.output import print_line, print_table, print_wrapped
from triage_tui.cli.wrapping import cells
from triage_tui.language.catalogue import ENGLISH_CATALOGUE, Catalogue
from triage_tui.runs.checkpoint_place import checkpoint_in_words
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.runs.events import holder_alive
from triage_tui.runs.evidence import IN_TEXT, resolve
from triage_tui.runs.reader import Run
from triage_tui.runs.reopened import reopened_said
from triage_tui.runs.rule_account import rule_account
from triage_tui.runs.verdict_figures import figure_rows, rung_in_words
from triage_tui.runs.verdict_model import Verdict, read_verdict
from triage_tui.sfemu import rules_dir
from triage_tui.text import number_of

_MOST_TOLD = 8
"""Sentences about the rule files of SFEmu; `rules published` has all."""
_FIGURE_CELLS = 30
"""Widest figure that stands in the table; others have a line of their own."""


def say_summary(record: Run, language: Catalogue) -> None:
    """Print what happened, why, what is proposed, and what came of it."""
    snapshot = record.snapshot
    waiting = ", its guest is frozen and waits" if holder_alive(record.events) else ""
    state = record.state.replace("_", " ")
    print_wrapped(language.sentence(f"run {record.run_id}: {state}{waiting}"))
    reason = language.sentence(snapshot.reason.replace("_", " "))
    command = " ".join(snapshot.target.argv) or snapshot.target.program
    stopped = language.fill("stopped by {reason}", reason=reason)
    # SFEmu records neither program nor architecture, and not everything follows from what it does.
    how = f"({snapshot.target.arch}, {stopped})" if snapshot.target.arch else f"({stopped})"
    print_wrapped(f"{command}  {how}" if command else how, "  ")
    of_diagnosis = record.diagnosis.record_problems if record.diagnosis is not None else ()
    for problem in dict.fromkeys((*record.problems, *of_diagnosis)):
        print_wrapped(language.fill("note: {text}", text=problem), "  ", "    ")
    if told := reopened_said(record.events):
        print_wrapped(told, "  ", "    ")
    if told := checkpoint_in_words(record):
        print_wrapped(language.fill("checkpoint: {text}", text=told), "  ", "    ")
    if snapshot.recorded:
        print_wrapped(language.fill("recorded: {text}", text=snapshot.recorded), "  ", "    ")
    if record.diagnosis is None:
        print_line("  " + language.fill("not diagnosed"))
    else:
        print_line()
        print_wrapped(language.sentence(record.diagnosis.headline, "headline"))
        _derivation(record, record.diagnosis, language)
        for number, hypothesis in enumerate(record.diagnosis.hypotheses, 1):
            print_line()
            _hypothesis(record, number, hypothesis, language)
        _proposals(record.diagnosis, language)
        if record.diagnosis.unknown_next:
            print_line()
            wanted = language.sentence(record.diagnosis.unknown_next)
            print_wrapped(language.fill("next experiment: {text}", text=wanted), "", "  ")
    _published(record)
    say_rule_hits(record, language)
    say_verdicts(record, language)


def _published(record: Run) -> None:
    """Say what of the rules SFEmu loads, and what hides what there."""
    root = record.dir.parent.parent
    if root.name != rules_dir.HOME:
        return
    from triage_tui.sfemu.lookup import looked_at

    looked = looked_at(root, record.snapshot.target.target_id)
    if looked is None:
        return
    ours = [one.path for one in looked.files if one.whose in ("ours", "changed")]
    told = [f"published for SFEmu: {', '.join(ours)}"] if ours else []
    for sentence in (*told, *looked.wrong, *looked.hides)[:_MOST_TOLD]:
        print_line()
        print_wrapped(sentence, "", "  ")


def _derivation(record: Run, diagnosis: Diagnosis, language: Catalogue) -> None:
    if diagnosis.scene:
        scene = language.sentence(diagnosis.scene, "scene")
        print_wrapped(language.fill("Scene: {scene}.", scene=scene))
    if not diagnosis.derivation:
        return
    print_line()
    kind = language.sentence(diagnosis.scene_kind, "scene")
    print_wrapped(language.fill("From the end back to the cause ({kind}):", kind=kind))
    for number, step in enumerate(diagnosis.derivation, 1):
        role, says = language.sentence(step.role), language.sentence(step.says)
        print_wrapped(f"{role}: {says}  [{step.link}]{_mark(record, step.link)}", f"   {number}. ", "      ")


def _mark(record: Run, link: str) -> str:
    """Return what is said of a link that shows nothing, "" where it holds."""
    found = resolve(record, link)
    if found.left_out:
        return "  LEFT OUT OF THIS BUNDLE"
    return "" if found.holds else "  UNSUPPORTED"


def _hypothesis(record: Run, number: int, hypothesis: Hypothesis, language: Catalogue) -> None:
    title = language.sentence(hypothesis.title)
    print_wrapped(f"{hypothesis.cause} ({hypothesis.confidence:.2f}): {title}", f"{number}. ")
    if hypothesis.explanation:
        # The links are below, with what each shows.
        text = language.paragraph(hypothesis.explanation)
        print_wrapped(IN_TEXT.sub(lambda match: match["text"], text), "   ")
    for sign, entries in (
        ("+", hypothesis.evidence),
        ("-", hypothesis.contrary),
        ("<", hypothesis.below),
    ):
        for entry in entries:
            mark = _mark(record, entry.link)
            print_wrapped(f"{language.sentence(entry.says)}  [{entry.link}]{mark}", f"   {sign} ", "     ")
    if hypothesis.origin:
        print_line(f"   by the entry {hypothesis.entry} of {hypothesis.origin}")
    for wanted in hypothesis.wanted:
        print_wrapped(language.sentence(wanted), "   ? ")
    if hypothesis.source == "model":
        source = "Source: the model {model}; its confidence is its own word, and capped."
        print_wrapped(language.fill(source, model=hypothesis.model), "   ")
    if (opinion := hypothesis.opinion) is not None:
        heading = "Second opinion of the model {model}, whose confidence ({figure}) changes nothing above:"
        print_wrapped(language.fill(heading, model=opinion.model, figure=f"{opinion.confidence:.2f}"), "   ")
        for sign, entries in (("+", opinion.evidence), ("-", opinion.contrary)):
            for entry in entries:
                link = f"  [{entry.link}]" if entry.supported else "  UNSUPPORTED"
                print_wrapped(f"{entry.says}{link}", f"     {sign} ", "       ")


def _proposals(diagnosis: Diagnosis, language: Catalogue) -> None:
    if not diagnosis.proposals:
        return
    print_line()
    print_line(language.fill("proposals:"))
    for proposal in diagnosis.proposals:
        title, risk = language.sentence(proposal.title), language.fill(proposal.risk)
        print_wrapped(language.fill("{title} ({risk} risk)", title=title, risk=risk), "  ", "      ")
        print_wrapped(proposal.id, "      ")
        for label, text in (
            ("intent: {text}", proposal.intent),
            ("effect: {text}", proposal.effect),
            ("undone by: {text}", proposal.inverse),
        ):
            print_wrapped(language.fill(label, text=language.sentence(text)), "      ", "        ")
        risk_text = language.sentence(proposal.risk_text)
        print_wrapped(language.fill("risk: {risk}. {text}", risk=risk, text=risk_text), "      ", "        ")
        if proposal.not_on_sfemu:
            why = language.sentence(proposal.not_on_sfemu)
            print_wrapped(language.fill("not on SFEmu: {text}", text=why), "      ", "        ")
        if proposal.ranked:
            ranked = language.sentence(proposal.ranked)
            print_wrapped(language.fill("ranked: {text}", text=ranked), "      ", "        ")
        if proposal.source == "model":
            print_wrapped(language.fill("Source: a model. A person must name it to approve it."), "      ")
        elif proposal.source == "sfemu":
            source = "Source: SFEmu's own tool. A person must name it to approve it."
            print_wrapped(language.fill(source), "      ")
        if proposal.origin:
            places = {"name": proposal.template, "file": proposal.origin}
            print_wrapped(
                language.fill("By the template `{name}` of `{file}`, which did not ship.", **places),
                "      ",
            )
        if proposal.needs_input:
            needs = language.sentence(proposal.needs_input)
            print_wrapped(language.fill("needs: {text}", text=needs), "      ", "        ")
        for name in proposal.files:
            print_line(f"      {name}")


def say_rule_hits(record: Run, language: Catalogue = ENGLISH_CATALOGUE) -> None:
    """Print what each rule did in the run."""
    hits = record.snapshot.rule_hits
    if not hits:
        return
    print_line()
    print_line(language.fill("rules that were active:"))
    told = {one.rule: f" ({one.says})" for one in record.snapshot.start_settings}
    for hit in hits:
        hits_of = f"{hit.hits} of {hit.limit} hits" if hit.limit else number_of(hit.hits, "hit")
        off = f", switched off: {hit.disabled}" if hit.disabled else ""
        sentence = f"{hit.rule}: {hits_of} on {hit.syscall}{told.get(hit.rule, '')}{off}"
        print_wrapped(language.sentence(sentence), "  ", "    ")
        if account := rule_account(hit):
            print_wrapped(language.listed(account), "    ", "    ")


def say_verdicts(record: Run, language: Catalogue = ENGLISH_CATALOGUE) -> None:
    """Print the verdicts on the run and on its retries."""
    own = read_verdict(record.dir)
    if own is not None:
        print_line()
        parent = record.snapshot.parent_run or "the round before"
        text = f"verdict against {parent}: {own.word} ({rung_in_words(own.rung)})"
        print_wrapped(language.sentence(text), "", "  ")
        _reasons(own.reasons, own.masked, language, lambda index: _cite(record, own.link_of(index)))
        _figures(own, language)
    event = next((event for event in reversed(record.events) if event.kind == "retry_finished"), None)
    if event is not None:
        print_line()
        text = f"retried as {event.payload.get('run')}: {event.payload.get('verdict')}"
        print_wrapped(language.sentence(text), "", "  ")
        told = (event.payload.get(name) for name in ("reasons", "masked"))
        reasons, masked = ([str(line) for line in lines] if isinstance(lines, list) else [] for lines in told)
        _reasons(reasons, masked, language)


def _cite(record: Run, link: str) -> str:
    return f"  [{link}]{_mark(record, link)}" if link else ""


def _figures(verdict: Verdict, language: Catalogue) -> None:
    """Print the figures before and after, a mark before those that differ."""
    header = [language.fill(word) for word in ("FIGURE", "BEFORE", "AFTER")]
    rows = [
        [f"{'*' if row.differs else ' '} {language.fill(row.name)}", row.before, row.after]
        for row in figure_rows(verdict)
    ]
    short = [row for row in rows if max(map(cells, row)) <= _FIGURE_CELLS]
    print_table([f"  {header[0]}", *header[1:]], short)
    for name, before, after in (row for row in rows if row not in short):
        print_wrapped(f"{name}: {before}  ->  {after}", "", "    ")


def _reasons(
    reasons: Iterable[str],
    masked: Iterable[str],
    language: Catalogue,
    cite: Callable[[int], str] = lambda index: "",
) -> None:
    for index, reason in enumerate(reasons):
        print_wrapped(language.sentence(reason) + cite(index), "  - ")
    for line in masked:
        print_wrapped(language.sentence(f"masked, not fixed: {line}"), "  ! ")
