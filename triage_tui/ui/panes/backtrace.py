"""The backtrace pane: frames innermost first; the selected one is what the code pane shows.

Below the frames of the thread that caused the freeze stand those of the others, thread by thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from textual.binding import BindingType
from textual.message import Message

from triage_tui.runs.evidence import Link
from triage_tui.runs.frame_model import Frame
from triage_tui.text import safe_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import BLANK, ListRows, Part, Row, Rows, clip, heading, short
from triage_tui.ui.run_view import RunView
from triage_tui.ui.threads import threads_of
from triage_tui.ui.widgets.line_view import LineView

MAX_FRAMES = 512
"""Frames shown of one thread."""
MAX_ROWS = 4096
"""Rows behind which no other thread begins."""
_METHODS = {
    "pc": "",
    "cfi": "by unwind table",
    "exception_index": "by unwind table",
    "signal_frame": "interrupted by a signal",
    "prologue": "from the prologue",
    "epilogue": "from the epilogue",
    "frame_pointer": "by frame pointer",
    "back_chain": "by back chain",
    "link_register": "link register",
    "shadow_stack": "shadow stack",
    "stack_scan": "candidate from the stack",
}


def frame_row(frame: Frame, width: int, has_code: bool) -> Row:
    """Return one frame: number, address, function, module, how it was found."""
    name = safe_line(frame.func_name, 200) if frame.func_name else "?"
    if frame.signal:
        name = "<signal handler called>"
    plus = f"+{frame.func_offset:#x}" if frame.func_offset else ""
    module = short(frame.module_name, 60) if frame.module_name else "unknown module"
    whole = f"{name}{plus}  {module}"
    sure = frame.method != "stack_scan" and frame.confidence != "low"
    room = max(8, width - 20 - len(plus) - min(len(module), 24) - 2)
    parts: list[Part] = [
        (f" {frame.idx:>2} ", "muted"),
        ("▸ " if has_code else "  ", "accent"),
        (f"{frame.addr:#010x} ", "address"),
        (clip(name, room), ("symbol" if sure else "muted") if frame.func_name else "faint"),
        (plus, "muted"),
        ("  ", ""),
        (clip(module, 24), "info" if sure else "muted"),
    ]
    how = _METHODS.get(frame.method, "")
    if frame.confidence in ("medium", "low") and frame.idx:
        how = f"{how}, {frame.confidence}" if how else frame.confidence
    used = sum(len(text) for text, _ in parts)
    if how and width - used > len(how) + 2:
        parts += [("  ", ""), (how, "faint" if sure else "warn")]
    return Row(tuple(parts), target=frame.idx, whole=whole)


class ThreadPlace(NamedTuple):
    """What a row about another thread stands for."""

    thread: int
    """Its place in the order of the threads."""
    frame: int | None = None
    """The frame; None for the row that names the thread."""


def backtrace_rows(view: RunView, width: int) -> list[Row]:
    """Return the frames of all threads, those of the thread that caused the freeze first."""
    frames = view.snapshot.backtrace.frames[:MAX_FRAMES]
    rows = [frame_row(frame, width, frame.idx in view.code) for frame in frames]
    threads = threads_of(view.snapshot)
    for number, shown in enumerate(threads):
        if shown.cause or shown.thread is None or not shown.thread.frames:
            continue
        if len(rows) > MAX_ROWS:
            break
        title = f"{shown.ids} · {shown.doing}"
        rows += [BLANK, heading(clip(title, max(8, width - 6)), width, target=ThreadPlace(number))]
        for frame in shown.thread.frames[:MAX_FRAMES]:
            row = frame_row(frame, width, has_code=False)
            rows.append(row._replace(target=ThreadPlace(number, frame.idx)))
    return rows


class BacktracePane(Pane):
    """The call stacks."""

    NAME: ClassVar[str] = "backtrace"
    KINDS: ClassVar[tuple[str, ...]] = ("frame",)
    EMPTY: ClassVar[str] = "No frame was recorded."
    BINDINGS: ClassVar[list[BindingType]] = bindings("frames", "threads")

    @dataclass
    class FrameSelected(Message):
        """Another frame is under the cursor."""

        frame: int

    def build(self, view: RunView) -> Rows:
        """Return the frames as rows."""
        return ListRows(lambda width: backtrace_rows(view, width))

    @property
    def threads(self) -> list[int]:
        """The rows at which the threads begin, that of the frozen one first."""
        rows = [0] if self.rows.find(lambda row: isinstance(row.target, int)) is not None else []
        for index in range(len(self.rows)):
            target = self.rows.row(index).target
            if isinstance(target, ThreadPlace) and target.frame is None:
                rows.append(index)
        return rows

    @property
    def on_other_thread(self) -> bool:
        """Whether the cursor is on a row about another thread than the frozen one."""
        return (row := self.current) is not None and not isinstance(row.target, int)

    @property
    def opens(self) -> bool:
        """A frame of the frozen thread leads to its code."""
        return super().opens or ((row := self.current) is not None and isinstance(row.target, int))

    def blocked_in(self, seq: int) -> int | None:
        """Return the row of the innermost frame of the other thread that is in a syscall."""
        threads = threads_of(self.view.snapshot) if self.view is not None else []
        for number, shown in enumerate(threads):
            thread = shown.thread
            if thread is not None and not shown.cause and thread.seq == seq and thread.frames:
                return self.row_of(ThreadPlace(number, thread.frames[0].idx))
        return None

    def row_of(self, place: ThreadPlace) -> int | None:
        """Return the row of a frame of another thread."""
        return self.rows.find(lambda row: row.target == place)

    def step(self, by: int) -> None:
        """Go to the next thread (1) or the one before (-1), from the last to the first and back."""
        starts = self.threads
        here = max((n for n, start in enumerate(starts) if start <= self.cursor), default=0)
        if starts:
            start = starts[(here + by) % len(starts)]
            self.move_to(start)
            # Its frames are below it, so it comes to the top.
            self.scroll_to(y=start, animate=False, immediate=True)

    def on_line_view_moved(self, event: LineView.Moved) -> None:
        """Tell which frame is selected."""
        row = self.current
        if row is not None and isinstance(row.target, int):
            self.post_message(self.FrameSelected(row.target))

    def reveal(self, link: Link) -> bool:
        """Go to a frame by number."""
        index = self.rows.find(lambda row: str(row.target) == link.id)
        if index is None:
            return False
        self.mark(index)
        return True
