"""The history pane: the rounds of the target as a ladder, and below them who decided what, when, on what."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, NamedTuple

from triage_tui.rulebook.audit.trail import Audit, AuditEntry, AuditFile
from triage_tui.rulebook.manifest import Generation
from triage_tui.text import safe_line
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.pieces import Piece, PieceRows, all_rows, join
from triage_tui.ui.rounds import ladder_rows
from triage_tui.ui.rows import Part, Row, Rows, clip, field, fit, heading, short, wrapped
from triage_tui.ui.run_view import RunView

WORDS = {
    "captured": ("frozen and recorded", "info"),
    "diagnosed": ("diagnosed", "info"),
    "log_added": ("a log added", "info"),
    "checkpoint": ("checkpoint", "info"),
    "reopened": ("reopened", "bad"),
    "analyzed": ("a model's opinion added", "info"),
    "proposed": ("rules proposed", "accent"),
    "edited": ("rule edited", "accent"),
    "approved": ("approved", "good"),
    "rejected": ("rejected", "bad"),
    "dropped": ("dropped", "muted"),
    "reconsidered": ("rejection taken back", "accent"),
    "activated": ("rules activated", "good"),
    "each_rule": ("each rule tried from the checkpoint", "info"),
    "waiting": ("frozen, waits for a person", "wait"),
    "decision": ("decided", "accent"),
    "resumed": ("guest goes on", "info"),
    "retry_started": ("retry started", "warn"),
    "retry_finished": ("retry finished", "warn"),
    "rolled_back": ("rolled back", "warn"),
    "ended": ("guest ended", "muted"),
    "holder_lost": ("supervisor lost", "bad"),
    "needs_person": ("needs a person", "wait"),
}
"""Kind of an event to its words and their role."""

DIGEST_CELLS = 12
"""Hex digits of a digest that are shown where there is no room for all 64."""


class ToRun(NamedTuple):
    """A row that opens a run."""

    run_id: str


class ToRule(NamedTuple):
    """A row that opens a rule file of a run."""

    run_id: str
    file: str


class ToGeneration(NamedTuple):
    """A row that shows a generation of rules."""

    number: int


def actor_words(entry: AuditEntry) -> str:
    """Return who did it: "analyst", "policy auto", "program"."""
    if entry.by == "policy":
        return f"policy {short(entry.actor.partition(':')[2], 20)}"
    return "program" if entry.by == "program" else short(entry.actor, 24)


def generation_words(entry: AuditEntry) -> str:
    """Return which rules were active before and after: "generation 1 → 2"."""
    if entry.after is None:
        return ""
    return f"generation {'none' if not entry.before else entry.before} → {entry.after or 'none'}"


def _target(entry: AuditEntry) -> ToRun | ToGeneration | None:
    if entry.after is not None:
        return ToGeneration(entry.after or entry.before or 0)
    return ToRun(entry.run_id) if entry.run_id else None


def _head(entry: AuditEntry, width: int) -> Row:
    word, role = WORDS.get(entry.kind, (short(entry.kind, 20), "muted"))
    parts: list[Part] = [
        (f" {fit(short(entry.wall[11:19], 8), 8)}  ", "faint"),
        (fit(word, 20), role if entry.decided else "muted"),
        (fit(actor_words(entry), 14), "strong" if entry.by == "person" else "muted"),
        ("  ", ""),
    ]
    used = sum(len(text) for text, _ in parts)
    says = "  ".join(text for text in (generation_words(entry), entry.says) if text)
    whole = safe_line(says, 400)
    parts.append((clip(whole, max(8, width - used - 1)), ""))
    return Row(tuple(parts), _target(entry), whole=whole)


def _file_row(entry: AuditEntry, file: AuditFile, width: int) -> Row:
    digest = short(file.sha256, 64) or "digest not recorded"
    name = safe_line(file.name, 200)
    indent = 11
    if indent + len(name) + 9 + len(digest) > width:
        digest = f"{digest[:DIGEST_CELLS]}…" if file.sha256 else ""
    room = max(12, width - indent - len(digest) - 10 - (16 if file.hunks else 0))
    parts: list[Part] = [(" " * indent, ""), (clip(name, room), "link" if entry.kind != "activated" else "")]
    if file.hunks:
        parts.append((f"  {file.hunks} hunk{'s' * (file.hunks != 1)} of it", "info"))
    if digest:
        parts += [("  sha256 ", "faint"), (digest, "muted")]
    target = ToRule(entry.run_id, file.name) if entry.kind in ("approved", "edited") else _target(entry)
    return Row(tuple(parts), target, whole=f"{name} {short(file.sha256, 64)}")


def entry_rows(entry: AuditEntry, width: int) -> list[Row]:
    """Return one entry of the trail: what, who, and below it the files, and what is wrong."""
    rows = [_head(entry, width), *(_file_row(entry, file, width) for file in entry.files)]
    if entry.stale:
        names = ", ".join(file.name for file in entry.files if file.changed)
        text = f"stale: {safe_line(names, 300)} was changed after this approval, so it no longer holds"
        rows += wrapped(text, width, "bad", 11, _target(entry))
    if entry.problem:
        rows += wrapped(safe_line(entry.problem, 300), width, "bad", 11, _target(entry))
    return rows


def audit_pieces(audit: Audit, here: str) -> list[Piece]:
    """Return the trail, oldest first; a line names each run where the trail comes to it.

    Many entries lead to the same run or generation, so each is a piece of its own.
    """
    pieces = [Piece(lambda width: [heading("Decisions", width, "enter opens")], 1)] if audit.entries else []
    if audit.left_out:
        text = f"{audit.left_out} older entries are left out here"
        pieces.append(Piece(partial(wrapped, text, role="muted", indent=1)))
    run_id: str | None = None
    for entry in audit.entries:
        if entry.run_id != run_id:
            run_id = entry.run_id
            pieces.append(Piece(partial(_run_rows, run_id, entry.wall, here)))
        pieces.append(Piece(partial(entry_rows, entry)))
    return pieces


def audit_rows(audit: Audit, here: str, width: int) -> list[Row]:
    """Return the rows of the trail."""
    return all_rows(PieceRows(audit_pieces(audit, here)), width)


def _run_rows(run_id: str, wall: str, here: str, width: int) -> list[Row]:
    name = f"run {short(run_id, max(20, width - 28))}" if run_id else "without a run of this workspace"
    parts: tuple[Part, ...] = ((f" {short(wall[:10], 10)}  ", "faint"), (name, "accent"))
    if run_id == here:
        parts = (*parts, ("  this run", "muted"))
    return [Row(parts, ToRun(run_id) if run_id else None, "section")]


def _round_rows(view: RunView, width: int) -> list[Row]:
    rounds = ladder_rows(view.rounds, view.run_id, width)
    if not rounds:
        text = "This run retries no other, and none retries it."
        return [heading("Rounds", width), *wrapped(text, width, "muted", 1)]
    return [row._replace(target=ToRun(row.target[1])) if row.target else row for row in rounds]


def history_pieces(view: RunView) -> list[Piece]:
    """Return the rounds with their figures, then the audit trail."""
    nothing = Piece(partial(wrapped, "Nothing was decided on this run yet.", role="muted", indent=1))
    return join([[Piece(partial(_round_rows, view))], audit_pieces(view.audit, view.run_id) or [nothing]])


def generation_rows(audit: Audit, number: int, width: int) -> list[Row]:
    """Return everything about a generation: who made it, why, of what, and whether it is still that."""
    generation: Generation | None = audit.generations.get(number)
    if generation is None:
        return wrapped(f"Generation {number} is not in the rulebook of this target.", width, "warn", 1)
    made = safe_line(f"{generation.created} by {generation.actor}", 200)
    rows = field("made", made, width)
    rows += field("reason", safe_line(generation.reason, 400), width)
    rows += field("before", f"generation {generation.parent}" if generation.parent else "no rules", width)
    rows += field("digest", short(generation.digest, 64), width, "muted")
    problems = audit.problems.get(number, ())
    state = "every byte is as it was made" if not problems else f"{len(problems)} things are wrong"
    rows += field("proof", state, width, "bad" if problems else "good")
    for problem in problems[:20]:
        rows += wrapped(safe_line(problem, 300), width, "bad", 11)
    rows.append(heading("Files", width, str(len(generation.files))))
    for name, digest in list(generation.files.items())[:200]:
        rows += wrapped(safe_line(name, 200), width, "strong", 1)
        rows += wrapped(f"sha256 {short(digest, 64)}", width, "muted", 3)
    return rows


class HistoryPane(Pane):
    """Rounds and decisions."""

    NAME: ClassVar[str] = "history"
    EMPTY: ClassVar[str] = "Nothing was decided yet."

    def build(self, view: RunView) -> Rows:
        """Return the rows."""
        return PieceRows(history_pieces(view))

    @property
    def opens(self) -> bool:
        """Another run, a rule or a generation."""
        if super().opens:
            return True
        target = row.target if (row := self.current) is not None else None
        here = self.view is not None and isinstance(target, ToRun) and target.run_id == self.view.run_id
        return target is not None and not here

    def first(self, rows: Rows) -> int:
        """Start at the round that is shown."""
        return rows.find(lambda row: row.fill == "current") or 0
