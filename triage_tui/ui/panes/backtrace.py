"""The backtrace pane: frames innermost first; the selected one is what the code pane shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from triage_tui.runs.evidence import Link
from triage_tui.runs.model import Frame
from triage_tui.text import safe_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.loading import RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import ListRows, Part, Row, Rows, clip, short
from triage_tui.ui.widgets.line_view import LineView

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
    "stack_scan": "candidate from the stack",
}


def frame_row(frame: Frame, width: int, has_code: bool) -> Row:
    """Return one frame: number, address, function, module, how it was found."""
    name = safe_line(frame.func_name, 200) if frame.func_name else "?"
    if frame.signal:
        name = "<signal handler called>"
    plus = f"+{frame.func_offset:#x}" if frame.func_offset else ""
    module = short(frame.module_name, 60) if frame.module_name else "unknown module"
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
    return Row(tuple(parts), target=frame.idx)


class BacktracePane(Pane):
    """The call stack."""

    NAME: ClassVar[str] = "backtrace"
    KINDS: ClassVar[tuple[str, ...]] = ("frame",)
    EMPTY: ClassVar[str] = "No frame was recorded."
    BINDINGS: ClassVar[list[BindingType]] = bindings("frames")

    @dataclass
    class FrameSelected(Message):
        """Another frame is under the cursor."""

        frame: int

    def build(self, view: RunView) -> Rows:
        """Return the frames as rows."""
        frames = view.snapshot.backtrace.frames[:512]
        return ListRows(lambda width: [frame_row(frame, width, frame.idx in view.code) for frame in frames])

    def on_line_view_moved(self, event: LineView.Moved) -> None:
        """Tell which frame is selected."""
        row = self.current
        if row is not None:
            self.post_message(self.FrameSelected(row.target))

    def reveal(self, link: Link) -> bool:
        """Go to a frame by number."""
        index = self.rows.find(lambda row: str(row.target) == link.id)
        if index is None:
            return False
        self.mark(index)
        return True
