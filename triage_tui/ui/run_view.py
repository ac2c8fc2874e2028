"""What the panes show of one run, as one value that no longer touches the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from triage_tui.rulebook.hunks import Difference
from triage_tui.runs.diagnosis_model import Diagnosis, Experiment, Proposal
from triage_tui.runs.events import Event, experiments_done
from triage_tui.runs.evidence import Resolved, resolve
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.listing import RunSummary
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line
from triage_tui.ui.rows import Part

if TYPE_CHECKING:
    from triage_tui.rulebook.audit.trail import Audit
    from triage_tui.ui.log_rows import ShownLine
    from triage_tui.ui.memory_fields import Explanation
    from triage_tui.ui.panes.registers import ThreadPointers


class CodeText(msgspec.Struct, frozen=True):
    """The code of one frame: its lines, safe to show, and whether it is pseudocode."""

    lines: list[str]
    parts: list[tuple[Part, ...]] = msgspec.field(default_factory=list)
    """The same lines in colours."""
    pseudocode: bool = False
    provenance: str = ""
    """Where it comes from, in words."""
    problem: str = ""
    raw: str = ""
    """The text as it was read, for evidence that cites it; never shown."""


class RuleText(msgspec.Struct, frozen=True):
    """One proposed rule file against the active rule whose place it would take, or why it cannot be shown."""

    name: str
    difference: Difference | None = None
    old_parts: tuple[tuple[Part, ...], ...] = ()
    """The lines of the active text as they are shown, in colours."""
    new_parts: tuple[tuple[Part, ...], ...] = ()
    """The same of the proposed text."""
    caveats: tuple[str, ...] = ()
    """In what it is not shown exactly."""
    problem: str = ""
    old_cells: tuple[int, ...] = ()
    new_cells: tuple[int, ...] = ()
    """Cells of the lines of both texts, as `hunk_rows.cells_of` counts them."""

    @property
    def text(self) -> str:
        """The proposed text; bytes that are no UTF-8 are surrogates in it (PEP 383)."""
        return self.difference.new.decode("utf-8", "surrogateescape") if self.difference else ""

    @property
    def replaces(self) -> bool:
        """Whether an active rule is replaced; otherwise the rule is new."""
        return self.difference is not None and self.difference.old is not None


class MemoryText(msgspec.Struct, frozen=True):
    """One memory object and its bytes, at most `loading.MAX_OBJECT_BYTES` of them."""

    entry: MemoryObject
    data: bytes = b""
    problem: str = ""


def _no_audit() -> Audit:
    from triage_tui.rulebook.audit.trail import Audit

    return Audit()


@dataclass
class RunView:
    """All that is shown of one run."""

    run: Run
    calls: list[Syscall]
    waiting: bool
    code: dict[int, list[CodeText]] = field(default_factory=dict)
    """Frame to its code from each source that has it, best first; never an empty list."""
    memory: list[MemoryText] = field(default_factory=list)
    explanations: list[Explanation] = field(default_factory=list)
    """What the bytes of each of these mean."""
    rules: dict[str, RuleText] = field(default_factory=dict)
    generation: str | None = None
    """Name of the active rule generation of the target, None when no rule is active."""
    active_rules: dict[str, bytes] = field(default_factory=dict)
    """The texts of the active rules of the target by their paths in the generation."""
    logs: dict[str, list[str]] = field(default_factory=dict)
    """Log name (without "logs/") to safe lines."""
    log_titles: dict[str, str] = field(default_factory=dict)
    """Log name to what it is, where its name does not say it."""
    log_notes: dict[str, str] = field(default_factory=dict)
    """Log name to a sentence that says what of it was not read."""
    log_places: dict[str, dict[int, str]] = field(default_factory=dict)
    """Name of an added log to where in the trace its lines belong, by their numbers: "#20..35"."""
    printed: dict[int, list[str]] = field(default_factory=dict)
    """Number of a call to the lines that it printed, safe to show."""
    printed_why: str = ""
    """Why nothing is known of who printed what, in words; "" when something is."""
    retry_log: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    """Environment of the process that is looked at, as "NAME=value"; values that look like secrets masked."""
    points: int = 0
    """Suspicious points that somebody noted in it."""
    rounds: list[RunSummary] = field(default_factory=list)
    """The rounds of its target, this one among them, the first one first; none when it is the only one."""
    audit: Audit = field(default_factory=_no_audit)
    """Who decided what on the runs of this target."""
    _found: dict[str, Resolved] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    """Content of `verdict.json`: how this run compares with the one it retries."""

    leads: ThreadPointers | None = None
    """Where the registers of the frozen thread point to, once somebody has followed them."""

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self.run.run_id

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot."""
        return self.run.snapshot

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis, when there is one."""
        return self.run.diagnosis

    @property
    def experiments(self) -> list[Experiment]:
        """What can be tried to be surer of the cause, and was not tried yet, best first."""
        done = experiments_done(self.run.events)
        offered = self.run.diagnosis.experiments if self.run.diagnosis is not None else []
        return [one for one in offered if one.id not in done]

    @property
    def proposals(self) -> list[Proposal]:
        """The proposals, best hypothesis first; empty when there is no diagnosis."""
        return self.diagnosis.proposals if self.diagnosis else []

    @property
    def under_review(self) -> bool:
        """Whether a rule is to be decided on: none is approved, or one was edited since."""
        if self.run.state not in ("applied", "approved"):
            return True
        kinds = (event.kind for event in reversed(self.events))
        return next((kind for kind in kinds if kind in ("edited", "activated")), "") == "edited"

    @property
    def events(self) -> list[Event]:
        """What happened to the run."""
        return self.run.events

    @property
    def name(self) -> str:
        """Short, safe name of the program."""
        return safe_line(self.snapshot.target.program.rsplit("/", 1)[-1] or "?", 60)

    @cached_property
    def call_names(self) -> frozenset[str]:
        """The names of the calls that were made."""
        return frozenset(call.name for call in self.calls)

    @cached_property
    def call_places(self) -> frozenset[int]:
        """The addresses behind the instructions that made calls, as far as they are known."""
        return frozenset(call.pc for call in self.calls if call.pc is not None)

    @cached_property
    def shown_lines(self) -> dict[str, list[ShownLine]]:
        """The lines of each log that are shown."""
        from triage_tui.ui.log_rows import shown_lines

        return shown_lines(self)

    def resolve(self, link: str) -> Resolved:
        """Return what a link points to, as it was when this was first asked."""
        if (found := self._found.get(link)) is None:
            found = self._found[link] = resolve(self.run, link)
        return found

    def frame(self, index: int) -> Frame | None:
        """Return the frame with number `index`."""
        return next((frame for frame in self.snapshot.backtrace.frames if frame.idx == index), None)
