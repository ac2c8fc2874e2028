"""The syscalls pane: the decoded timeline, failures coloured, the loop drawn, with a filter."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType

from triage_tui.runs.evidence import Link
from triage_tui.runs.model import Loop, Syscall
from triage_tui.text import safe_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.loading import RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import MadeRows, Part, Row, Rows, clip, field, short
from triage_tui.ui.words import call_words

_SEQ = 5
_TIME = 9
_RESULT_AT = 12


def loop_mark(loop: Loop | None, call: Syscall) -> Part:
    """Return the gutter sign of a call: the bracket of its round in the loop, or a blank."""
    if loop is None or not loop.first_seq <= call.seq <= loop.last_seq:
        return (" ", "")
    if loop.tid and call.tid != loop.tid:
        return (" ", "")
    if loop.period == 1:
        return ("↻", "loop")
    if call.seq in loop.round_seqs:
        return ("╭", "loop")
    return ("╰" if call.seq == loop.last_seq else "│", "loop")


def _elapsed(call: Syscall, start: int) -> str:
    if not call.ts_mono_ns or not start or call.ts_mono_ns < start:
        return ""
    ms = (call.ts_mono_ns - start) / 1e6
    return f"{ms:.1f}ms" if ms < 1000 else f"{ms / 1000:.3f}s"


def call_row(call: Syscall, view: RunView, start: int, width: int) -> Row:
    """Return one syscall as a row: gutter, number, time, call, result, what else is known."""
    snapshot = view.snapshot
    name, arguments, result = call_words(call)
    trigger = call.seq == snapshot.trigger.seq
    parts: list[Part] = [
        loop_mark(snapshot.loop, call),
        (f"{call.seq:>{_SEQ}} ", "faint"),
    ]
    if width >= 70:
        parts.append((f"{_elapsed(call, start):>{_TIME}} ", "faint"))
    used = sum(len(text) for text, _ in parts) + 2
    role = "failed" if call.errno else "changed" if trigger else "symbol"
    extra = []
    if call.peer and call.peer not in arguments:
        extra.append(("  " + safe_line(call.peer, 100), "info"))
    if call.interface and call.interface not in arguments:
        extra.append(("  " + short(call.interface, 20), "info"))
    if call.rule:
        extra.append(("  ◆ " + short(call.rule, 60), "good"))
    if call.note:
        extra.append(("  " + safe_line(call.note, 120), "warn"))
    end: list[Part] = [(" = ", "muted"), (result, "failed" if call.errno else "number")]
    if trigger and call.ret is None:
        held = snapshot.reason == "exit"
        end = [(" held before it happens" if held else " frozen here", "changed")]
    tail = sum(cell_len(text) for text, _ in (*extra, *end))
    room = max(16, width - used - len(name) - 2 - tail)
    parts += [
        ("▶ " if trigger else "  ", "changed"),
        (name, role),
        ("(", "muted"),
        (clip(arguments, room), ""),
        (")", "muted"),
        *end,
    ]
    return Row((*parts, *extra), target=call.seq, fill="current" if trigger else "")


def call_rows(call: Syscall, width: int) -> list[Row]:
    """Return everything that is known of one syscall, nothing cut."""
    name, _, result = call_words(call)
    rows = field("call", name, width, "strong")
    for number, argument in enumerate(call.arguments or [f"{value:#x}" for value in call.args], 1):
        rows += field(f"arg {number}", safe_line(argument), width)
    rows += field("result", result, width, "failed" if call.errno else "number")
    for label, text in (
        ("path", call.path),
        ("peer", call.peer),
        ("request", call.request),
        ("interface", call.interface),
        ("rule", call.rule),
        ("note", call.note),
        ("seen as", call.host),
    ):
        if text:
            rows += field(label, safe_line(text), width)
    rows += field("raw", " ".join(f"{value:#x}" for value in call.args) or "-", width, "muted")
    rows += field("pid", str(call.pid), width, "muted")
    return rows


class SyscallsPane(Pane):
    """The syscall timeline; opens at the trigger."""

    NAME: ClassVar[str] = "syscalls"
    KINDS: ClassVar[tuple[str, ...]] = ("syscall",)
    EMPTY: ClassVar[str] = "No syscall matches."
    BINDINGS: ClassVar[list[BindingType]] = bindings("syscalls")

    def __init__(self) -> None:
        super().__init__()
        self._filter = ""
        self._only_special = False
        self._shown: list[Syscall] = []

    def forget(self) -> None:
        """Drop the filter of the run before."""
        self._filter = ""
        self._only_special = False

    @property
    def filter_text(self) -> str:
        """The filter in force."""
        return self._filter

    @property
    def title_note(self) -> str:
        """What restricts the list, for the pane's title."""
        notes = [f"/{self._filter}"] if self._filter else []
        return " ".join(notes + (["failures"] if self._only_special else []))

    def set_filter(self, text: str) -> None:
        """Show only calls whose text holds every word of `text`."""
        self._filter = text
        self._restrict()

    def toggle_failures(self) -> bool:
        """Show only the calls that explain something, or all again; return which."""
        self._only_special = not self._only_special
        self._restrict()
        return self._only_special

    def _restrict(self) -> None:
        at = self.current.target if self.current else None
        self.rebuild()
        if at is not None and self._shown:
            self.move_to(self._index(at), centre=True)

    def _wanted(self, call: Syscall, words: list[str], trigger: int) -> bool:
        if self._only_special and not (call.errno or call.rule or call.note or call.seq == trigger):
            return False
        if not words:
            return True
        name, arguments, result = call_words(call)
        fields = (str(call.seq), name, arguments, result, call.peer or "", call.path or "", call.rule or "")
        text = " ".join(fields).lower()
        return all(word in text for word in words)

    def build(self, view: RunView) -> Rows:
        """Return the calls that pass the filter, made into rows as they are drawn."""
        words = self._filter.lower().split()
        trigger = view.snapshot.trigger.seq
        calls = view.calls
        if words or self._only_special:
            calls = [call for call in calls if self._wanted(call, words, trigger)]
        self._shown = calls
        start = next((call.ts_mono_ns for call in view.calls if call.ts_mono_ns), 0)
        return MadeRows(len(calls), lambda index, width: call_row(calls[index], view, start, width), wide=0)

    def first(self, rows: Rows) -> int:
        """Start at the trigger, the end of the story."""
        view = self.view
        return self._index(view.snapshot.trigger.seq) if view else 0

    def _index(self, seq: int) -> int:
        for index in range(len(self._shown) - 1, -1, -1):
            if self._shown[index].seq <= seq:
                return index
        return 0

    def detail(self) -> tuple[str, Syscall] | None:
        """Return the title and the call under the cursor."""
        if not 0 <= self.cursor < len(self._shown):
            return None
        call = self._shown[self.cursor]
        return f"Syscall {call.seq}", call

    def reveal(self, link: Link) -> bool:
        """Go to a syscall by its number; a filter that hides it is dropped."""
        if self.view is None or not link.id.isdecimal():
            return False
        seq = int(link.id)
        if not any(call.seq == seq for call in self._shown):
            self.forget()
            self.rebuild()
        index = self._index(seq)
        if not self._shown or self._shown[index].seq != seq:
            return False
        self.mark(index)
        return True
