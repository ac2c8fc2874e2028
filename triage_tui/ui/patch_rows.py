"""Proposals, rule files and hunks as rows, each with what is decided about it and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace
from rich.cells import cell_len

from triage_tui.errors import TriageError
from triage_tui.rulebook.choices import Choices
from triage_tui.rulebook.hunks import Difference
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.rule_account import rule_account
from triage_tui.text import number_of, safe_line
from triage_tui.ui.hunk_rows import (
    SIDE_BY_SIDE,
    Place,
    counted,
    difference_pieces,
    state_part,
    summary_of,
)
from triage_tui.ui.insight import Insight
from triage_tui.ui.pieces import Piece, PieceRows, all_rows, blank, fixed
from triage_tui.ui.rows import BLANK, Part, Row, clip, field, short, wrapped
from triage_tui.ui.run_view import RuleText, RunView

if TYPE_CHECKING:
    from triage_tui.rulebook.check.recorded import Matched, OtherRuns

_RISK = {"low": ("low risk", "good"), "medium": ("medium risk", "warn"), "high": ("HIGH RISK", "bad")}
_LINKED = 6
"""Calls that are offered as links."""


class Shown(NamedTuple):
    """How the rules of a run are shown: what is decided, what is known of them, and the layout."""

    choices: Choices
    insights: Mapping[str, Insight] = {}
    side: bool = True
    unfolded: frozenset[tuple[str, int]] = frozenset()
    changes: Mapping[str, Mapping[int, int]] = {}
    """File to where it changed since the person looked at it."""


def shown_plainly(view: RunView) -> Shown:
    """Return a run's rules with nothing decided about them."""
    choices = Choices()
    choices.show(differences_of(view))
    return Shown(choices)


def differences_of(view: RunView) -> dict[str, Difference]:
    """Return the difference of each rule that can be shown."""
    return {name: rule.difference for name, rule in view.rules.items() if rule.difference is not None}


def _is_models(view: RunView, name: str) -> bool:
    """Tell whether a rule file is a model's idea."""
    from triage_tui.retry.rules.proposed import by_model

    rule = view.rules.get(name)
    return (
        rule is not None
        and rule.difference is not None
        and by_model(view.proposals, name, rule.difference.new)
    )


def _file_pieces(
    rule: RuleText | None, name: str, shown: Shown, place: Place, width: int, *, by_model: bool
) -> list[Piece]:
    title = clip(safe_line(name, 200), max(10, width - 16))
    difference = shown.choices.files.get(name)
    if rule is None or rule.problem or difference is None:
        why = rule.problem if rule else "the file is not in this run"
        head = Row(((" ", ""), (title, "hunk")), place, "section")
        return fixed([head, *wrapped(safe_line(why, 600), width, "bad", 3, place)])
    states = shown.choices.states([name])
    against = "new rule"
    if rule.replaces:
        against = "changes the active rule" if difference.hunks else "active as it is"
    if by_model:
        against = f"{against}, by a model"
    counts: tuple[Part, ...] = (
        (f"  +{difference.added}" if difference.added else "", "added"),
        (f" -{difference.removed}" if difference.removed else "", "removed"),
    )
    sign: Part = state_part(summary_of(states)) if states else ("   ", "")
    told = f"  {against}" + (f", {counted(states)}" if states else "")
    named: tuple[Part, ...] = (sign, (title, "hunk"), *counts)
    room = width - sum(cell_len(text) for text, _ in named)
    if cell_len(told) <= room:
        rows = [Row((*named, (told, "muted")), place, "section")]
    else:
        rows = [Row(named, place, "section"), *wrapped(told.strip(), width, "muted", 3, place)]
    changes = shown.changes.get(name, {})
    if changes:
        told = "changed on disk since you looked: ▼ stands above each change"
        rows += wrapped(told, width, "warn", 3, place)
    insight = shown.insights.get(name, Insight())
    rows += _insight_rows(insight, place, width)
    for caveat in rule.caveats:
        rows += wrapped(f"not shown exactly: {caveat}", width, "warn", 3, place)
    for finding in insight.findings:
        error = finding.severity == "error"
        text = (
            f"{'✗ error' if error else '! warning'}, line {finding.line}: {safe_line(finding.message, 300)}"
        )
        rows += wrapped(text, width, "bad" if error else "warn", 3, place)
    if insight.errors:
        rows += wrapped(
            "It cannot be approved before its errors are gone: e or i edits it.", width, "bad", 3, place
        )
    marked = frozenset(finding.line for finding in insight.errors)
    unfolded = frozenset(line for file, line in shown.unfolded if file == name)
    current = replace(rule, difference=difference)
    side = shown.side and width >= SIDE_BY_SIDE
    return fixed(rows) + difference_pieces(
        current, states, place, width, side=side, unfolded=unfolded, marked=marked, changes=changes
    )


def _insight_rows(insight: Insight, place: Place, width: int) -> list[Row]:
    rows: list[Row] = []
    if insight.sentence:
        rows += wrapped(safe_line(insight.sentence, 600), width, "strong", 3, place)
    if (header := insight.header) is not None and header.match:
        rows += field("  match", safe_line(header.match, 600), width, "muted", 13, place)
    if insight.here is not None:
        from triage_tui.rulebook.check.recorded import in_words

        rows += _matched_rows(
            insight.here, in_words(insight.here, insight.syscall), insight.others, place, width
        )
    elif insight.sentence and insight.others is None:
        text = "not known: its header names no fields of calls; m runs it over the recorded calls"
        rows += field("  recorded", text, width, "muted", 13, place)
    if insight.trouble:
        rows += wrapped(safe_line(insight.trouble, 300), width, "warn", 3, place)
    return rows


def _matched_rows(here: Matched, words: str, others: OtherRuns | None, place: Place, width: int) -> list[Row]:
    from triage_tui.rulebook.check.recorded import others_in_words, runs_matched

    text = words
    if others is not None:
        text += f", {others_in_words(others)}"
    rows = field("  recorded", f"{text} ({here.how})", width, "", 13, place)
    if here.caveat:
        rows += field("", here.caveat, width, "muted", 13, place)
    links: list[tuple[int, int, str]] = []
    parts: list[Part] = [(" " * 14, "")]
    cell = 14
    for seq in here.seqs[:_LINKED]:
        parts += [(f"●{seq}", "link"), ("  ", "")]
        links.append((cell, cell + len(str(seq)) + 1, f"ev:syscall/{seq}"))
        cell += len(str(seq)) + 3
    if links:
        more = here.matched - len(links)
        parts.append((f"and {more} more" if more > 0 else "enter goes there", "faint"))
        rows.append(Row(tuple(parts), place, links=tuple(links)))
    for one in list(runs_matched(others))[:_LINKED] if others is not None else []:
        told = f"{one.matched} of {one.calls} in run {one.run_id}"
        where = f", first at call {one.seqs[0]}" if one.seqs else ""
        target = ("run", one.run_id, one.seqs[0] if one.seqs else 0)
        rows.append(Row(((" " * 14, ""), (told, "link"), (where, "muted")), target))
    return rows


def _account(view: RunView, proposal: Proposal) -> str:
    """Return what the rules of a proposal did in this run, when they were active in it."""
    told = [
        f"{number_of(hit.hits, 'hit')}, {account}"
        for hit in view.snapshot.rule_hits[:64]
        if any(f"@{hit.rule}." in name for name in proposal.files) and (account := rule_account(hit))
    ]
    return "; ".join(told)


def hit_words(view: RunView, proposal: Proposal) -> str:
    """Return how often the rules of a proposal may answer: as their files say now, they may be edited."""
    from triage_tui.rulebook import rulefile
    from triage_tui.rulebook.kinds import kind_of

    if proposal.files and all(kind_of(name) == "start" for name in proposal.files):
        return "once, when the program is started"
    limits: dict[str, None] = {}
    for rule in (view.rules.get(name) for name in proposal.files[:64]):
        if rule is None or rule.difference is None:
            continue
        try:
            limit = rulefile.parse(rule.difference.new).header.hit_limit
        except TriageError:
            limits["not known: the header of the rule is broken"] = None
        else:
            limits["no limit" if limit is None else f"at most {_times(limit)}"] = None
    if not limits:
        return f"at most {_times(proposal.hit_limit)}" if proposal.hit_limit else "no limit"
    return ", ".join(limits)


def _times(count: int) -> str:
    return f"{count} time{'s' * (count != 1)}"


def _proposal_pieces(view: RunView, number: int, proposal: Proposal, shown: Shown, width: int) -> list[Piece]:
    place = Place(number)
    risk = _RISK.get(proposal.risk, ("unknown risk", "warn"))
    note: Part = ("  observes only", "info") if proposal.observe_only else ("", "")
    if proposal.source == "model":
        note = ("  by a model", "warn")
    elif proposal.source == "pack":
        note = ("  from a pack", "info")
    elif proposal.source == "sfemu":
        note = ("  by SFEmu", "warn")
    elif proposal.source == "trial":
        note = ("  from trials", "info")
    if is_active(view, proposal):
        note = ("  active", "good")
    states = shown.choices.states(proposal.files)
    tail = len(risk[0]) + len(note[0]) + 4
    rows = [
        Row(
            (
                state_part(summary_of(states)) if states else ("   ", ""),
                (f"{number + 1}. ", "muted"),
                (clip(safe_line(proposal.title, 200), max(10, width - 8 - tail)), "strong"),
                ("  ", ""),
                risk,
                note,
            ),
            place,
            "section",
        )
    ]
    for label, text, role in (
        ("intent", proposal.intent, ""),
        ("effect", proposal.effect, ""),
        ("not on SFEmu", proposal.not_on_sfemu, "warn"),
        ("takes out", ", ".join(proposal.removes), "warn"),
        ("risk", proposal.risk_text, risk[1] if proposal.risk != "low" else "muted"),
        ("undo", proposal.inverse, "muted"),
        ("ranked", proposal.ranked, "muted"),
        ("hits", hit_words(view, proposal), "muted"),
        ("in this run", _account(view, proposal), "muted"),
        ("template", f"{proposal.template} of {proposal.origin}" if proposal.origin else "", "muted"),
        ("needs you", proposal.needs_input or "", "wait"),
    ):
        if text:
            rows += field("  " + label, safe_line(text, 1000), width, role, 13, place)
    pieces = fixed(rows)
    for name in proposal.files[:64]:
        pieces += fixed([BLANK._replace(target=place)])
        by_model = _is_models(view, name)
        pieces += _file_pieces(
            view.rules.get(name), name, shown, Place(number, name), width, by_model=by_model
        )
    return pieces


def patch_rows(view: RunView, shown: Shown, width: int) -> list[Row]:
    """Return all proposals of a run, and the rule files that no proposal speaks of."""
    return all_rows(PieceRows(patch_pieces(view, shown, width)), width)


def patch_pieces(view: RunView, shown: Shown, width: int) -> list[Piece]:
    """Return the same as pieces, of which the lines of rules are made when they are drawn."""
    generation = (
        f"active: generation {short(view.generation, 20)}"
        if view.generation
        else "no rule is active for this target"
    )
    pieces = fixed([Row(((" " + generation, "good" if view.generation else "muted"),), Place(-1))])
    spoken: set[str] = set()
    for number, proposal in enumerate(view.proposals[:64]):
        spoken.update(proposal.files)
        pieces += fixed([BLANK._replace(target=Place(number))])
        pieces += _proposal_pieces(view, number, proposal, shown, width)
    for name, rule in view.rules.items():
        if name not in spoken:
            by_model = _is_models(view, name)
            pieces += [blank(), *_file_pieces(rule, name, shown, Place(-1, name), width, by_model=by_model)]
    if not view.proposals and not view.rules:
        pieces += [blank(), *fixed(wrapped("No rule is proposed for this run.", width, "muted", 1))]
    return pieces


def is_active(view: RunView, proposal: Proposal) -> bool:
    """Tell whether every file of a proposal is active, byte for byte."""
    rules = [view.rules.get(name) for name in proposal.files]
    return bool(rules) and all(
        rule is not None and rule.replaces and rule.difference is not None and not rule.difference.hunks
        for rule in rules
    )
