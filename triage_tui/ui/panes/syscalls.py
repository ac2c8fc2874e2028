"""The syscalls pane: the timeline, failures coloured, the loop drawn, output lined up, with a filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from textual.binding import BindingType
from textual.message import Message

from triage_tui.runs.evidence import Link
from triage_tui.runs.model import Syscall
from triage_tui.ui.actions import bindings
from triage_tui.ui.call_rows import OutputLine, Timeline
from triage_tui.ui.calls_filter import CallFilter, Test, compile_filter
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import Rows
from triage_tui.ui.run_view import RunView
from triage_tui.ui.timeline_rows import TimelineRows

AT_ONCE = 20_000
"""Calls up to which a filter is applied while its key is handled; beyond that a thread does it."""


class CallDetail(NamedTuple):
    """A call, and what it printed."""

    call: Syscall
    printed: Sequence[str]

    @property
    def title(self) -> str:
        """Its name in the order of calls."""
        return f"Syscall {self.call.seq}"


class SyscallsPane(Pane):
    """The syscall timeline; opens at the trigger."""

    NAME: ClassVar[str] = "syscalls"
    KINDS: ClassVar[tuple[str, ...]] = ("syscall",)
    EMPTY: ClassVar[str] = "No syscall matches."
    SEARCH: ClassVar[bool] = False
    NOTE_CELLS: ClassVar[int] = 46
    BINDINGS: ClassVar[list[BindingType]] = bindings("syscalls")

    @dataclass
    class Filtered(Message):
        """A filter was applied to all calls in a thread."""

        serial: int
        places: list[int]

    def __init__(self) -> None:
        super().__init__()
        self._filter = ""
        self._read = CallFilter(None)
        self._only_special = False
        self._with_output = True
        self._line: Timeline | None = None
        self._places: Sequence[int] = range(0)
        self._serial = 0

    def forget(self) -> None:
        """Drop the filter of the run before."""
        self._filter = ""
        self._read = CallFilter(None)
        self._only_special = False

    @property
    def filter_text(self) -> str:
        """The filter in force."""
        return self._filter

    @property
    def filter_problem(self) -> str:
        """What is wrong with the filter, in one sentence; "" when it is understood."""
        return self._read.problem

    @property
    def title_note(self) -> str:
        """What restricts the list, for the pane's title."""
        notes = [f"/{self._filter}"] if self._filter else []
        if self._only_special:
            notes.append("failures")
        if self._line is not None and notes:
            notes.append(f"{len(self._places)} of {len(self._line.calls)}")
        if self._line is not None and self._line.printed and not self._with_output:
            notes.append("output hidden")
        return " · ".join(notes)

    def set_filter(self, text: str) -> None:
        """Show only the calls that pass the filter `text`."""
        self._filter = text
        self._read = compile_filter(text, self.view.printed if self.view else None)
        self._restrict()

    def toggle_failures(self) -> bool:
        """Show only the calls that explain something, or all again; return which."""
        self._only_special = not self._only_special
        self._restrict()
        return self._only_special

    def toggle_output(self) -> str | None:
        """Show what the program printed between its calls, or hide it; return why nothing is to be shown."""
        if self._line is None or self.view is None or not self._line.printed:
            return self.view.printed_why if self.view is not None else None
        self._with_output = not self._with_output
        self._restrict()
        return None

    def _restrict(self) -> None:
        """Apply filter and switches; the cursor stays at its call, or at the one before it."""
        if self.view is None or self._line is None:
            return
        self._serial += 1
        test = self._test(self.view)
        if test is None or len(self._line.calls) <= AT_ONCE:
            self._take(self._passing(self._line, test))
            return
        serial, line = self._serial, self._line

        def work() -> None:
            places = [place for place, call in enumerate(line.calls) if test(call)]
            self.post_message(self.Filtered(serial, places))

        self.run_worker(work, thread=True, group="filter", exit_on_error=False)

    def on_syscalls_pane_filtered(self, event: Filtered) -> None:
        """Show what passed, unless the filter is another one by now."""
        event.stop()
        if event.serial == self._serial:
            self._take(event.places)
            self.post_message(self.Retitled())

    def _take(self, places: Sequence[int]) -> None:
        seq = self._seq_at_cursor()
        self._places = places
        if self._line is None:
            return
        rows = TimelineRows(self._line, places, self._with_output)
        self.set_rows(rows)
        if seq is not None and places:
            self.move_to(rows.index_of(rows.at_seq(seq)), centre=True)

    def _seq_at_cursor(self) -> int | None:
        target = self.current.target if self.current else None
        return target.seq if isinstance(target, OutputLine) else target

    def _test(self, view: RunView) -> Test | None:
        test, trigger = self._read.test, view.snapshot.trigger.seq
        if not self._only_special:
            return test

        def special(call: Syscall) -> bool:
            explains = call.errno or call.rule or call.note or call.seq == trigger
            return bool(explains) and (test is None or test(call))

        return special

    def _passing(self, line: Timeline, test: Test | None) -> Sequence[int]:
        if test is None:
            return range(len(line.calls))
        return [place for place, call in enumerate(line.calls) if test(call)]

    def build(self, view: RunView) -> Rows:
        """Return the calls that pass the filter, made into rows as they are drawn."""
        self._line = Timeline.of(view)
        self._places = self._passing(self._line, self._test(view))
        return TimelineRows(self._line, self._places, self._with_output)

    def first(self, rows: Rows) -> int:
        """Start at the trigger, the end of the trace."""
        if self.view is None or not isinstance(rows, TimelineRows) or not rows.places:
            return 0
        return rows.index_of(rows.at_seq(self.view.snapshot.trigger.seq))

    @property
    def call(self) -> Syscall | None:
        """The call of the row under the cursor."""
        rows = self.rows
        if not isinstance(rows, TimelineRows) or not 0 <= self.cursor < len(rows):
            return None
        return rows.line.calls[rows.places[rows.locate(self.cursor)[0]]]

    @property
    def opens(self) -> bool:
        """Every call can be shown whole."""
        return self.call is not None

    @property
    def place_name(self) -> str:
        """The call under the cursor."""
        call = self.call
        return self.NAME if call is None else f"syscall {call.seq}"

    def detail(self) -> CallDetail | None:
        """Return the call under the cursor with what it printed."""
        call = self.call
        if call is None or self._line is None:
            return None
        return CallDetail(call, self._line.printed.get(call.seq, ()))

    def shown_choice(self) -> tuple[str, bool, bool]:
        """Return the filter and the switches."""
        return self._filter, self._only_special, self._with_output

    def show_choice(self, choice: tuple[str, bool, bool]) -> None:
        """Filter again as it was."""
        if choice != self.shown_choice():
            _, self._only_special, self._with_output = choice
            self.set_filter(choice[0])

    def reveal(self, link: Link) -> bool:
        """Go to a syscall by its number; a filter that hides it is dropped.

        The code pane leads here with an address or a name: then the calls made there are all that is shown.
        """
        if self.view is None:
            return False
        if not link.id.isdecimal():
            self._only_special = False
            self.set_filter(f"pc:{link.id}" if link.id.startswith("0x") else f"name:{link.id}")
            if self._places:
                self.mark(self.first(self.rows))
            return bool(self._places)
        seq = int(link.id)
        index = self._row_of(seq)
        if index is None and (self._filter or self._only_special):
            self.forget()
            self.rebuild()
            index = self._row_of(seq)
        if index is None:
            return False
        self.mark(index)
        return True

    def _row_of(self, seq: int) -> int | None:
        rows = self.rows
        if not isinstance(rows, TimelineRows) or not rows.places:
            return None
        calls, at = rows.line.calls, rows.at_seq(seq)
        if calls[rows.places[at]].seq != seq:
            # A damaged trace need not be in order.
            found = next((n for n, place in enumerate(rows.places) if calls[place].seq == seq), None)
            if found is None:
                return None
            at = found
        return rows.index_of(at)
