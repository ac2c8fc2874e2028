"""The patch pane: proposals with intent, effect, risk and inverse, and each rule file as a difference."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual.binding import BindingType

from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.rule_account import rule_account
from triage_tui.text import safe_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.diff import DiffLine
from triage_tui.ui.loading import RuleText, RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import BLANK, ListRows, Part, Row, Rows, clip, field, short, wrapped

_RISK = {"low": ("low risk", "good"), "medium": ("medium risk", "warn"), "high": ("HIGH RISK", "bad")}
_FILLS = {"+": "added-row", "-": "removed-row"}
_SIGNS = {"+": "added", "-": "removed"}


class Place(NamedTuple):
    """What a row of the pane belongs to: a proposal by index (-1 = none) and a file ("" = none)."""

    proposal: int
    file: str = ""


def diff_row(line: DiffLine, place: Place) -> Row:
    """Return one line of a difference; the sign says in text what the colour says."""
    number = line.new or line.old
    head: tuple[Part, ...] = ((f" {number:>4} ", "faint"), (line.sign + " ", _SIGNS.get(line.sign, "")))
    return Row((*head, *line.parts), place, _FILLS.get(line.sign, ""))


def _file_rows(rule: RuleText | None, name: str, place: Place, width: int) -> list[Row]:
    title = clip(safe_line(name, 200), max(10, width - 30))
    if rule is None or rule.problem:
        why = rule.problem if rule else "the file is not in this run"
        return [Row(((" ", ""), (title, "hunk")), place, "section"), *wrapped(why, width, "bad", 3, place)]
    added = sum(line.sign == "+" for line in rule.diff)
    removed = sum(line.sign == "-" for line in rule.diff)
    against = (
        "new rule"
        if not rule.replaces
        else "changes the active rule"
        if added or removed
        else "active as it is"
    )
    counts: tuple[Part, ...] = (
        (f"  +{added}" if added else "", "added"),
        (f" -{removed}" if removed else "", "removed"),
    )
    rows = [Row(((" ", ""), (title, "hunk"), *counts, (f"  {against}", "muted")), place, "section")]
    return rows + [diff_row(line, place) for line in rule.diff]


def _account(view: RunView, proposal: Proposal) -> str:
    """Return what the rules of a proposal did in this run, when they were active in it."""
    told = [
        f"{hit.hits} hits, {account}"
        for hit in view.snapshot.rule_hits[:64]
        if any(f"@{hit.rule}." in name for name in proposal.files) and (account := rule_account(hit))
    ]
    return "; ".join(told)


def _proposal_rows(
    view: RunView, number: int, proposal: Proposal, selected: bool, active: bool, width: int
) -> list[Row]:
    place = Place(number, proposal.files[0] if proposal.files else "")
    risk = _RISK.get(proposal.risk, ("unknown risk", "warn"))
    state: Part = ("  observes only", "info") if proposal.observe_only else ("", "")
    if active:
        state = ("  active", "good")
    tail = len(risk[0]) + len(state[0]) + 4
    rows = [
        Row(
            (
                (" ◉ " if selected else " ○ ", "accent"),
                (f"{number + 1}. ", "muted"),
                (clip(safe_line(proposal.title, 200), max(10, width - 8 - tail)), "strong"),
                ("  ", ""),
                risk,
                state,
            ),
            place,
            "section",
        )
    ]
    hits = f"at most {proposal.hit_limit} times" if proposal.hit_limit else "no limit"
    for label, text, role in (
        ("intent", proposal.intent, ""),
        ("effect", proposal.effect, ""),
        ("risk", proposal.risk_text, risk[1] if proposal.risk != "low" else "muted"),
        ("undo", proposal.inverse, "muted"),
        ("hits", hits, "muted"),
        ("in this run", _account(view, proposal), "muted"),
        ("needs you", proposal.needs_input or "", "wait"),
    ):
        if text:
            rows += field("  " + label, safe_line(text, 1000), width, role, 13, place)
    for name in proposal.files[:64]:
        rows.append(BLANK._replace(target=place))
        rows += _file_rows(view.rules.get(name), name, Place(number, name), width)
    return rows


def patch_rows(view: RunView, selected: frozenset[int], width: int) -> list[Row]:
    """Return all proposals of a run, and the rule files that no proposal speaks of."""
    rows: list[Row] = []
    generation = (
        f"active: generation {short(view.generation, 20)}"
        if view.generation
        else "no rule is active for this target"
    )
    rows.append(Row(((" " + generation, "good" if view.generation else "muted"),), Place(-1)))
    spoken: set[str] = set()
    for number, proposal in enumerate(view.proposals[:64]):
        spoken.update(proposal.files)
        active = is_active(view, proposal)
        rows += [
            BLANK._replace(target=Place(number)),
            *_proposal_rows(view, number, proposal, number in selected, active, width),
        ]
    for name, rule in view.rules.items():
        if name not in spoken:
            rows += [BLANK, *_file_rows(rule, name, Place(-1, name), width)]
    if not view.proposals and not view.rules:
        rows += [BLANK, *wrapped("No rule is proposed for this run.", width, "muted", 1)]
    return rows


def is_active(view: RunView, proposal: Proposal) -> bool:
    """Tell whether every file of a proposal is active, byte for byte as far as it is shown."""
    rules = [view.rules.get(name) for name in proposal.files]
    return bool(rules) and all(
        rule is not None and rule.replaces and all(line.sign == " " for line in rule.diff) for rule in rules
    )


class PatchPane(Pane):
    """Review of the proposed rules."""

    NAME: ClassVar[str] = "patch"
    EMPTY: ClassVar[str] = "No rule is proposed."
    BINDINGS: ClassVar[list[BindingType]] = bindings("patch")

    def __init__(self) -> None:
        super().__init__()
        self._selected: frozenset[int] = frozenset()

    def forget(self) -> None:
        """Drop the selection of the run before."""
        self._selected = frozenset()

    def build(self, view: RunView) -> Rows:
        """Return proposals and differences as rows."""
        selected = self._selected
        return ListRows(lambda width: patch_rows(view, selected, width))

    def first(self, rows: Rows) -> int:
        """Start at the first proposal."""
        return 2 if self.view and self.view.proposals else 0

    @property
    def place(self) -> Place:
        """The proposal and the file under the cursor; the first proposal when there is none."""
        row = self.current
        place = row.target if row is not None and isinstance(row.target, Place) else Place(-1)
        if place.proposal < 0 and not place.file and self.view and self.view.proposals:
            files = self.view.proposals[0].files
            return Place(0, files[0] if files else "")
        return place

    def go_to_file(self, name: str) -> bool:
        """Go to a rule file and highlight its name; False when it is not here."""
        index = self.rows.find(
            lambda row: isinstance(row.target, Place) and row.target.file == name and row.fill == "section"
        )
        if index is not None:
            self.mark(index)
        return index is not None

    def toggle(self) -> None:
        """Select the proposal under the cursor, or drop it from the selection."""
        number = self.place.proposal
        if number >= 0:
            self._selected = self._selected ^ {number}
            self.rebuild()

    @property
    def chosen_files(self) -> list[str]:
        """Files of the selected proposals; without a selection, of the one under the cursor."""
        if self.view is None:
            return []
        place = self.place
        if not self._selected and place.proposal < 0:
            return [place.file] if place.file else []
        numbers = sorted(self._selected) or [place.proposal]
        proposals = self.view.proposals
        return list(dict.fromkeys(name for n in numbers if n < len(proposals) for name in proposals[n].files))

    @property
    def unfilled(self) -> str | None:
        """What a chosen proposal still needs from a person, if anything."""
        if self.view is None:
            return None
        numbers = self._selected or {self.place.proposal}
        needs = (p.needs_input for n, p in enumerate(self.view.proposals) if n in numbers)
        return next((safe_line(text, 300) for text in needs if text), None)
