"""The code pane: pseudocode or disassembly of the selected frame, its current line marked."""

from __future__ import annotations

import re
from typing import ClassVar

from textual.binding import BindingType

from triage_tui.runs.evidence import Link
from triage_tui.ui.actions import bindings
from triage_tui.ui.loading import CodeText, RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import MadeRows, Row, Rows, short

_ARROW = re.compile(r"\s*(?:=>|<-|-->|->|▶|>)(?=\s|[0-9a-f])", re.IGNORECASE)


def current_line(code: CodeText, address: int) -> int | None:
    """Return the index of the line that an arrow marks, or that begins with the frame's address."""
    arrow = next((n for n, line in enumerate(code.lines) if _ARROW.match(line)), None)
    if arrow is not None:
        return arrow
    spelled = re.compile(rf"\s*(?:0x)?0*{address:x}\b", re.IGNORECASE)
    return next((n for n, line in enumerate(code.lines) if spelled.match(line)), None)


class CodePane(Pane):
    """Code of one frame; the backtrace chooses which."""

    NAME: ClassVar[str] = "code"
    KINDS: ClassVar[tuple[str, ...]] = ("code",)
    EMPTY: ClassVar[str] = "There is no code for this frame."
    BINDINGS: ClassVar[list[BindingType]] = bindings("code")

    def __init__(self) -> None:
        super().__init__()
        self._frame = 0
        self._source = 0

    @property
    def title_note(self) -> str:
        """The frame that is shown."""
        frame = self.view.frame(self._frame) if self.view else None
        if frame is None:
            return ""
        code = self._code(self.view) if self.view else None
        where = f" · {code.provenance}" if code is not None and code.provenance else ""
        return f"#{frame.idx} {short(frame.func_name or frame.addr_hex, 40)}{where}"

    def _code(self, view: RunView) -> CodeText | None:
        """Return the code that is shown: of the frame, from the chosen source."""
        found = view.code.get(self._frame)
        return found[self._source % len(found)] if found else None

    def action_next_source(self) -> None:
        """Show the code of the same frame from the next source that has it."""
        if self.view is not None and len(self.view.code.get(self._frame, ())) > 1:
            self._source += 1
            rows = self.build(self.view)
            self.set_rows(rows, cursor=self.first(rows))

    def forget(self) -> None:
        """Go to the innermost frame that has code."""
        self._source = 0
        self._frame = min(self.view.code, default=0) if self.view else 0

    def select_frame(self, index: int) -> None:
        """Show the code of another frame."""
        if self.view is None or index == self._frame:
            return
        self._frame, self._source = index, 0
        rows = self.build(self.view)
        self.set_rows(rows, cursor=self.first(rows))

    def build(self, view: RunView) -> Rows:
        """Return the lines of the frame's code."""
        code = self._code(view)
        if code is None:
            return Rows()
        if code.problem:
            return MadeRows(1, lambda index, width: Row(((f" {code.problem}", "warn"),)))
        frame = view.frame(self._frame)
        here = current_line(code, frame.addr) if frame else None
        digits = max(3, len(str(len(code.lines))))
        # Listings bring an arrow of their own; a second one would only push the code to the right.
        own_arrow = here is not None and _ARROW.match(code.lines[here]) is not None
        blank, arrow = ("", "") if own_arrow else ("  ", "▶ ")

        def make(index: int, width: int) -> Row:
            gutter = (f"{index + 1:>{digits}} ", "faint")
            mark = (arrow if index == here else blank, "changed")
            return Row((gutter, mark, *code.parts[index]), index + 1, "current" if index == here else "")

        widest = max((len(line) for line in code.lines), default=0) + digits + 4
        return MadeRows(len(code.lines), make, wide=widest)

    def first(self, rows: Rows) -> int:
        """Start at the current line."""
        return rows.find(lambda row: row.fill == "current") or 0

    def reveal(self, link: Link) -> bool:
        """Go to a line of a frame's code."""
        if self.view is None or not link.id.isdecimal() or int(link.id) not in self.view.code:
            return False
        self.select_frame(int(link.id))
        line = link.line if link.line is not None else self.first(self.rows) + 1
        if not 0 < line <= len(self.rows):
            return False
        self.mark(line - 1)
        return True
