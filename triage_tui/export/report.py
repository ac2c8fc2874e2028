"""Make the report on one run: what happened, why, what is proposed, and what the record shows of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from triage_tui import __version__
from triage_tui.errors import TriageError
from triage_tui.export.citing import MAX_CLAIMS, Citing
from triage_tui.export.document import (
    Block,
    Bullets,
    Claims,
    Document,
    Facts,
    Line,
    Listing,
    Paragraph,
    Section,
    Span,
    Table,
    TableRow,
    Words,
)
from triage_tui.export.record_sections import (
    backtrace_section,
    calls_section,
    code_section,
    details_section,
    memory_section,
    missing_section,
    output_section,
    registers_section,
    rules_section,
)
from triage_tui.rulebook.active import MAX_RULE_BYTES, active_directory, active_rules, rule_replaced
from triage_tui.runs.diagnosis_model import Hypothesis, Opinion, Proposal
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.rounds import ladder
from triage_tui.runs.verdict_figures import figure_rows, rung_in_words
from triage_tui.runs.verdict_model import Verdict

MAX_HYPOTHESES = 10
MAX_PROPOSALS = 32
MAX_SETTINGS = 32
MAX_DIFF_LINES = 400
MAX_EVENTS = 200
_MAX_VERDICT_BYTES = 1 << 20


def make_report(
    run: Run,
    workspace: Path,
    redaction: Redaction | None = None,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> Document:
    """Return the report on `run` of `workspace`; `step` is called between its parts and may raise."""
    citing = Citing(run, redaction or Redaction.of(run))
    snapshot = run.snapshot
    sections: list[Section] = []
    makers: tuple[Callable[[Citing], Section | Sequence[Section] | None], ...] = (
        _summary,
        _verdict,
        *(
            (lambda citing, number=number: _hypothesis(citing, number))
            for number in range(min(MAX_HYPOTHESES, len(run.diagnosis.hypotheses)) if run.diagnosis else 0)
        ),
        lambda citing: _proposals(citing, workspace),
        _rounds,
        calls_section,
        backtrace_section,
        code_section,
        registers_section,
        memory_section,
        output_section,
        rules_section,
        details_section,
        _events,
        missing_section,
    )
    for done, make in enumerate(makers):
        step(done, len(makers))
        made = make(citing)
        sections += [made] if isinstance(made, Section) else made or []
    command = " ".join(snapshot.target.argv) or snapshot.target.program
    return Document(
        title=f"{citing.line(command.rsplit('/', 1)[-1] if ' ' not in command else command, 120)}"
        f" ({citing.line(snapshot.target.arch, 20)})",
        subtitle=f"run {citing.line(run.run_id, 60)}",
        sections=tuple(sections),
        foot=f"Written by triage-tui {__version__} from the record of the run."
        + (" What looks like a secret is masked." if not citing.redaction.off else ""),
    )


def _summary(citing: Citing) -> Section:
    run, snapshot = citing.run, citing.run.snapshot
    headline = run.diagnosis.headline if run.diagnosis else ""
    target = snapshot.target
    rows: list[tuple[str, Words]] = [
        ("state", (Span(run.state.replace("_", " ")),)),
        ("stopped by", (Span(citing.line(snapshot.reason, 40).replace("_", " ")),)),
        ("command", (Span(citing.line(" ".join(target.argv), 400) or "?", True),)),
        ("program", (Span(citing.line(target.program, 300), True),)),
        ("SHA-256", (Span(citing.line(target.program_sha256, 80) or "not known", True),)),
        ("architecture", (Span(citing.line(target.arch, 40)),)),
        ("recorded", (Span(citing.line(snapshot.created_at, 60) or "?", True),)),
        (
            "emulator",
            (Span(citing.line(f"{snapshot.engine.emulator} {snapshot.engine.emulator_version}", 120), True),),
        ),
    ]
    for one in snapshot.start_settings[:MAX_SETTINGS]:
        told = citing.line(f"{one.says}, by rule {one.rule}", 400)
        rows.append(("started with", (Span(told, True),)))
    if snapshot.round:
        rows.append(("round", (Span(str(snapshot.round)),)))
    if snapshot.parent_run:
        rows.append(("retries", (Span(citing.line(snapshot.parent_run, 60), True),)))
    return Section(
        "What happened",
        "summary",
        (
            Paragraph(citing.prose(headline or "There is no diagnosis of this run."), strong=True),
            Facts(tuple(rows)),
        ),
    )


def _verdict(citing: Citing) -> Section | None:
    blocks: list[Block] = []
    try:
        # Records of other versions have other fields: what is there is told.
        own = msgspec.json.decode(citing.run.text_file("verdict.json", _MAX_VERDICT_BYTES))
    except (TriageError, msgspec.DecodeError, RecursionError):
        own = None
    if isinstance(own, dict):
        parent = citing.line(citing.run.snapshot.parent_run or "the round before", 60)
        word = citing.line(str(own.get("word", "?")), 40).replace("_", " ")
        rung = citing.line(rung_in_words(str(own.get("rung", "?"))), 40)
        words = (Span("Against "), Span(parent, True), Span(": "), Span(f"{word} ({rung})."))
        blocks += [Paragraph(words, strong=True), *_told(citing, own, cites=True), *_compared(citing, own)]
    for event in citing.run.events[::-1]:
        if event.kind == "retry_finished":
            run_id, word = (citing.line(str(event.payload.get(name)), 60) for name in ("run", "verdict"))
            blocks.append(Paragraph((Span("It was retried as "), Span(run_id, True), Span(f": {word}."))))
            blocks += _told(citing, event.payload)
            break
    return Section("Verdict", "verdict", tuple(blocks)) if blocks else None


def _compared(citing: Citing, verdict: dict[str, Any]) -> list[Block]:
    """Return the figures before and after as a table."""
    try:
        rows = figure_rows(msgspec.convert(verdict, Verdict))
    except msgspec.ValidationError:
        return []
    cells = (
        TableRow((row.name, citing.line(row.before, 200), citing.line(row.after, 200)), cited=row.differs)
        for row in rows
    )
    return [Table(("figure", "before", "after"), tuple(cells))]


def _told(citing: Citing, verdict: dict[str, Any], *, cites: bool = False) -> list[Block]:
    """Return the reasons and what is masked; with `cites` links are into the run that is reported on."""
    reasons, masked, links = (verdict.get(name) for name in ("reasons", "masked", "links"))
    items: list[Words] = []
    known = [str(link) for link in links] if cites and isinstance(links, list) else []
    for index, text in enumerate(reasons[:50] if isinstance(reasons, list) else []):
        items.append(citing.cited(str(text), known[index] if index < len(known) else ""))
    for text in masked[:50] if isinstance(masked, list) else []:
        items.append((Span("Masked, not fixed: "), *citing.prose(str(text), 600)))
    return [Bullets(tuple(items))] if items else []


def _hypothesis(citing: Citing, number: int) -> Section:
    diagnosis = citing.run.diagnosis
    assert diagnosis is not None
    hypothesis: Hypothesis = diagnosis.hypotheses[number]
    sure = f"{min(1.0, max(0.0, hypothesis.confidence)):.2f}"
    who = "A model" if hypothesis.source == "model" else "The knowledge base"
    blocks: list[Block] = [
        Paragraph(
            (
                Span("Cause: "),
                Span(citing.line(hypothesis.cause, 60), True),
                Span(f", confidence {sure}. {who} says so."),
            )
        )
    ]
    if hypothesis.origin:
        entry, file = citing.line(hypothesis.entry, 80), citing.line(hypothesis.origin, 300)
        blocks.append(Paragraph((Span(f"By the entry `{entry}` of `{file}`, which did not ship."),)))
    if hypothesis.explanation:
        blocks.append(Paragraph(citing.prose(hypothesis.explanation)))
    claims = [citing.claim(entry) for entry in hypothesis.evidence[:MAX_CLAIMS]]
    claims += [citing.claim(entry, against=True) for entry in hypothesis.contrary[:MAX_CLAIMS]]
    if claims:
        blocks.append(Claims(tuple(claims)))
    left = max(0, len(hypothesis.evidence) - MAX_CLAIMS) + max(0, len(hypothesis.contrary) - MAX_CLAIMS)
    if left:
        blocks.append(Paragraph((Span(f"{left} more claims are left out here."),)))
    if hypothesis.below:
        blocks.append(Paragraph((Span("Why it is not the first:"),)))
        blocks.append(Claims(tuple(citing.claim(entry) for entry in hypothesis.below[:10])))
    if hypothesis.wanted:
        blocks.append(Paragraph((Span("What would make this surer:"),)))
        blocks.append(Bullets(tuple(citing.prose(text, 600) for text in hypothesis.wanted[:50])))
    if hypothesis.opinion is not None:
        blocks += _opinion(citing, hypothesis.opinion)
    if number == 0 and diagnosis.unknown_next:
        blocks.append(Paragraph((Span("Next experiment: "), *citing.prose(diagnosis.unknown_next, 2000))))
    title = f"Why ({number + 1}): {citing.line(hypothesis.title, 200)}"
    return Section(title, f"hypothesis-{number + 1}", tuple(blocks))


def _opinion(citing: Citing, opinion: Opinion) -> list[Block]:
    """Return what a model says of a hypothesis of the knowledge base."""
    sure = f"{min(1.0, max(0.0, opinion.confidence)):.2f}"
    who = f"Second opinion of the model {citing.line(opinion.model, 80)} ({sure}): "
    said = citing.prose(opinion.explanation) if opinion.explanation else ()
    blocks: list[Block] = [Paragraph((Span(who), *said))]
    claims = [citing.claim(entry) for entry in opinion.evidence[:MAX_CLAIMS]]
    claims += [citing.claim(entry, against=True) for entry in opinion.contrary[:MAX_CLAIMS]]
    if claims:
        blocks.append(Claims(tuple(claims)))
    return blocks


def _proposals(citing: Citing, workspace: Path) -> list[Section]:
    run = citing.run
    proposals = run.diagnosis.proposals[:MAX_PROPOSALS] if run.diagnosis else []
    names = run.patch_files()
    if not proposals and not names:
        return []
    active = active_rules(active_directory(workspace, run.snapshot.target.target_id))
    sections: list[Section] = []
    told: set[str] = set()
    for number, proposal in enumerate(proposals, 1):
        files = proposal.files[:16]
        told.update(files)
        blocks = (_proposal(citing, proposal), *(_difference(citing, name, active) for name in files))
        title = f"{number}. {citing.line(proposal.title, 200)}"
        sections.append(Section(title, f"proposal-{number}", blocks, 3))
    others = tuple(_difference(citing, name, active) for name in names if name not in told)
    return [Section("What is proposed", "proposals", others), *sections]


def _proposal(citing: Citing, proposal: Proposal) -> Facts:
    limit = f", at most {proposal.hit_limit} hits" if proposal.hit_limit else ""
    rows: list[tuple[str, Words]] = [
        ("id", (Span(citing.line(proposal.id, 120), True),)),
        ("intent", citing.prose(proposal.intent, 1000)),
        ("effect", citing.prose(proposal.effect, 1000)),
        ("risk", (Span(f"{proposal.risk}{limit}. "), *citing.prose(proposal.risk_text, 1000))),
        ("undone by", citing.prose(proposal.inverse, 1000)),
    ]
    if proposal.not_on_sfemu:
        rows.append(("not on SFEmu", citing.prose(proposal.not_on_sfemu, 600)))
    if proposal.ranked:
        rows.append(("ranked", citing.prose(proposal.ranked, 1000)))
    if proposal.source == "model":
        rows.append(("proposed by", (Span("a model"),)))
    elif proposal.source == "sfemu":
        rows.append(("proposed by", (Span("SFEmu's own tool"),)))
    if proposal.needs_input:
        rows.append(("needs first", citing.prose(proposal.needs_input, 600)))
    if proposal.origin:
        rows.append(
            ("template", (Span(citing.line(f"{proposal.template} of {proposal.origin}", 400), True),))
        )
    if proposal.observe_only:
        rows.append(("changes", (Span("nothing: it only observes"),)))
    return Facts(tuple(rows))


def _difference(citing: Citing, name: str, active: dict[str, str]) -> Block:
    shown = citing.line(name, 200)
    try:
        text = citing.run.text_file(f"rules_patch/{name}", MAX_RULE_BYTES)
    except TriageError as error:
        return Paragraph((Span(shown, True), Span(f": {citing.line(str(error), 300)}")))
    old = rule_replaced(active, name, text)
    new_lines = citing.block(text, 4000, 400)
    if old is None:
        lines = [Line(line, number="+") for line in new_lines]
        caption = f"{shown} (a new rule)"
    else:
        changed = list(difflib.unified_diff(citing.block(old, 4000, 400), new_lines, lineterm="", n=3))[2:]
        lines = [Line(line[1:], number=line[0]) for line in changed if line]
        caption = f"{shown} (changes the active rule)" if lines else f"{shown} (the same as the active rule)"
    if len(lines) > MAX_DIFF_LINES:
        rest = len(lines) - MAX_DIFF_LINES
        lines = [*lines[:MAX_DIFF_LINES], Line(f"… {rest} lines left out", number=" ")]
    return Listing(tuple(lines), caption, "diff")


def _rounds(citing: Citing) -> Section | None:
    rounds = ladder(citing.run)
    if len(rounds) < 2:
        return None
    rows = tuple(
        TableRow(
            (
                str(one.round),
                citing.line(one.run_id, 60),
                citing.line(one.reason, 20),
                citing.line(one.cause or "-", 40),
                citing.line(one.state, 20).replace("_", " "),
                _figure(one.syscalls, before.syscalls if before else None),
                _figure(one.kinds, before.kinds if before else None),
            ),
            cited=one.run_id == citing.run.run_id,
        )
        for one, before in zip(rounds, [None, *rounds[:-1]], strict=True)
    )
    header = ("round", "run", "stopped by", "cause", "state", "calls", "kinds of calls")
    return Section("Rounds of this target", "rounds", (Table(header, rows),))


def _figure(now: int, then: int | None) -> str:
    return str(now) if then is None or then == now else f"{now} ({now - then:+})"


def _events(citing: Citing) -> Section | None:
    rows = tuple(
        TableRow(
            (
                str(event.event_id),
                citing.line(event.wall, 40),
                citing.line(event.actor, 40),
                citing.line(event.kind, 30).replace("_", " "),
                citing.line(str(event.payload.get("reason") or event.payload.get("files") or ""), 200),
            )
        )
        for event in citing.run.events[-MAX_EVENTS:]
    )
    if not rows:
        return None
    return Section("Decisions and events", "events", (Table(("#", "when", "who", "what", "more"), rows),))
