"""The code pane: pseudocode or disassembly of the selected frame, or of a function that was followed to.

Above the code stands what goes on with it: that it is being decompiled, or why it cannot be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from textual.binding import BindingType
from textual.message import Message

from triage_tui.runs.evidence import Link, digest
from triage_tui.runs.frame_model import Frame
from triage_tui.text import safe_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.code_links import Known, Programs, assembly_links, lines_of, pseudocode_links
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import MadeRows, Part, Row, Rows, short, wrapped
from triage_tui.ui.run_view import CodeText, RunView
from triage_tui.ui.searching import cells_of, recolour

_ARROW = re.compile(r"\s*(?:=>|<-|-->|->|▶|>)(?=\s|[0-9a-f])", re.IGNORECASE)


def current_line(code: CodeText, address: int) -> int | None:
    """Return the index of the line that an arrow marks, or that begins with the frame's address."""
    arrow = next((n for n, line in enumerate(code.lines) if _ARROW.match(line)), None)
    if arrow is not None:
        return arrow
    spelled = re.compile(rf"\s*(?:0x)?0*{address:x}\b", re.IGNORECASE)
    return next((n for n, line in enumerate(code.lines) if spelled.match(line)), None)


class Notice(NamedTuple):
    """A sentence above the code of one frame of one run."""

    run_id: str
    frame: int
    text: str
    role: str
    brief: str
    """The same in few words for the title, which is seen wherever the code is scrolled to."""


class Function(NamedTuple):
    """A function that was followed to; it need not be that of a frame."""

    address: int
    """Its marked line."""
    name: str
    code: CodeText
    about: str = ""
    """What the marked line is, in one sentence; stands above the code."""
    about_link: str = ""
    """Where that sentence leads to."""


class CodePane(Pane):
    """Code of one frame, which the backtrace chooses; or of a function that a line led to."""

    NAME: ClassVar[str] = "code"
    KINDS: ClassVar[tuple[str, ...]] = ("code",)
    EMPTY: ClassVar[str] = "There is no code for this frame."
    NOTE_CELLS: ClassVar[int] = 46
    BINDINGS: ClassVar[list[BindingType]] = bindings("code", "frames")

    @dataclass
    class Wanted(Message):
        """The code is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._frame = 0
        self._source = 0
        self._notice: Notice | None = None
        self._above = 0
        self._current = 0
        """The row of the current line."""
        self._jump = False
        self.function: Function | None = None
        """The function that is shown in place of the frame's."""
        self.known: Known | None = None
        """What lines can lead to."""

    @property
    def title_note(self) -> str:
        """The frame that is shown, where its code comes from, and which of several sources that is."""
        if self.function is not None:
            return f"{short(self.function.name, 24)} · {self.function.code.provenance}"
        frame = self.frame
        if frame is None:
            return ""
        if self._noticed is not None:
            return f"#{frame.idx} {self._noticed.brief}"
        code = self._code(self.view) if self.view else None
        where = f" · {code.provenance}" if code is not None and code.provenance else ""
        place = f" · {self._source % self.sources + 1} of {self.sources}" if self.sources > 1 else ""
        return f"#{frame.idx} {short(frame.func_name or frame.addr_hex, 24)}{place}{where}"

    @property
    def place_name(self) -> str:
        """The function that is shown."""
        if self.function is not None:
            return short(self.function.name, 20)
        frame = self.frame
        return short(frame.func_name, 20) if frame is not None and frame.func_name else f"frame {self._frame}"

    @property
    def _noticed(self) -> Notice | None:
        """The sentence about the code that is shown."""
        notice, run_id = self._notice, self.view.run_id if self.view else ""
        return notice if notice and (notice.run_id, notice.frame) == (run_id, self._frame) else None

    @property
    def frame(self) -> Frame | None:
        """The frame that is shown; None while another function is."""
        return self.view.frame(self._frame) if self.view and self.function is None else None

    @property
    def sources(self) -> int:
        """How many sources have code of the frame."""
        found = self.view.code.get(self._frame, ()) if self.view else ()
        return len(found) if self.function is None else 1

    def _code(self, view: RunView) -> CodeText | None:
        """Return the code that is shown: of the frame, from the chosen source."""
        if self.function is not None:
            return self.function.code
        found = view.code.get(self._frame)
        return found[self._source % len(found)] if found else None

    def action_next_source(self) -> None:
        """Show the code of the same frame from the next source that has it."""
        if self.view is not None and self.sources > 1:
            self._source += 1
            self._show_anew()

    def _show_anew(self) -> None:
        if self.view is not None:
            rows = self.build(self.view)
            self.set_rows(rows, cursor=self.first(rows))
            self.post_message(self.Retitled())

    def show(self, view: RunView | None, empty: str = "") -> None:
        """Show another run, or the same one read again: a new source of it from its beginning."""
        before = self.known
        self.known = Known(view) if view is not None else None
        if before is not None and self.known is not None and before.view.run_id == self.known.view.run_id:
            self.known.use(before.programs)
        super().show(view, empty)
        if self.has_focus:
            self.post_message(self.Wanted())
        if self._jump and self.view is not None:
            self._jump = False
            self.move_to(self.first(self.rows))

    def choose_best(self) -> None:
        """Show the best source again, which is one that the next reading of the run brings."""
        self._source, self._jump = 0, True

    def notify_above(self, notice: Notice | None) -> None:
        """Show a sentence above the code, or take it away; the cursor stays on its line."""
        before, self._notice = self._above, notice
        if self.view is not None:
            cursor = self.cursor
            self.set_rows(self.build(self.view))
            if self._above != before:
                self.move_to(cursor + self._above - before)
            self.post_message(self.Retitled())

    def forget(self) -> None:
        """Go to the innermost frame that has code."""
        self._source, self._jump, self.function = 0, False, None
        self._frame = min(self.view.code, default=0) if self.view else 0

    def select_frame(self, index: int) -> None:
        """Show the code of another frame."""
        if self.view is None or (index == self._frame and self.function is None):
            return
        self._frame, self._source, self.function = index, 0, None
        rows = self.build(self.view)
        self.set_rows(rows, cursor=self.first(rows))

    @property
    def own_choice(self) -> int | None:
        """The frame whose lines these are; None where they are no evidence."""
        return self._frame if self.function is None else None

    # --- rows --------------------------------------------------------------------------------------------

    def build(self, view: RunView) -> Rows:
        """Return the lines of the frame's code, below the sentence about it."""
        above = self._rows_above()
        self._above, self._current = len(above), 0
        code = self._code(view)
        if code is not None and code.problem:
            above = [*above, Row(((f" {code.problem}", "warn"),))]
        elif code is None and above:
            above = [*above, Row(((f" {self.EMPTY}", "muted"),))]
        if code is None or code.problem:
            return MadeRows(len(above), lambda index, width: above[index])
        frame = view.frame(self._frame)
        address = self.function.address if self.function is not None else frame.addr if frame else None
        here = current_line(code, address) if address is not None else None
        self._current = len(above) + here if here is not None else 0
        digits = max(3, len(str(len(code.lines))))
        # Listings bring an arrow of their own; a second one would only push the code to the right.
        own_arrow = here is not None and _ARROW.match(code.lines[here]) is not None
        blank, arrow = ("", "") if own_arrow else ("  ", "▶ ")
        own = lines_of(code)
        thumb = bool(code.lines) and code.lines[0].endswith("thumb)")

        def make(index: int, width: int) -> Row:
            if index < len(above):
                return above[index]
            line = index - len(above)
            gutter: tuple[Part, ...] = (
                (f"{line + 1:>{digits}} ", "faint"),
                (arrow if line == here else blank, "changed"),
            )
            parts, links = self._with_links(code, line, own, thumb)
            moved = sum(len(text) for text, _ in gutter)
            shifted = tuple((first + moved, end + moved, link) for first, end, link in links)
            return Row((*gutter, *parts), line + 1, "current" if line == here else "", shifted)

        widest = max((len(line) for line in code.lines), default=0) + digits + 4
        return MadeRows(len(above) + len(code.lines), make, wide=widest)

    def _with_links(
        self, code: CodeText, line: int, own: dict[int, int], thumb: bool
    ) -> tuple[tuple[Part, ...], list[tuple[int, int, str]]]:
        """Return the parts of a line with what can be followed in them, and the links by cells."""
        text, parts = code.lines[line], code.parts[line]
        if self.known is None:
            return parts, []
        if code.pseudocode:
            spans = pseudocode_links(text, self.known)
        else:
            spans = assembly_links(text, self.known, own, thumb)
        if not spans:
            return parts, []
        shown = recolour(parts, [(first, end) for first, end, _ in spans], "link")
        return shown, [(*cells_of(text, first, end), link) for first, end, link in spans]

    def _rows_above(self) -> list[Row]:
        width = max(30, (self.size.width or 80) - 2)
        if self.function is not None:
            if not self.function.about:
                return []
            link = self.function.about_link
            rows = wrapped(self.function.about, width, "link" if link else "info", 1)
            return [row._replace(links=((1, len(row.text), link),) if link else ()) for row in rows]
        notice = self._noticed
        if notice is None:
            return []
        return wrapped(safe_line(notice.text, 400), width, notice.role, 1)

    def first(self, rows: Rows) -> int:
        """Start at the current line."""
        return self._current

    # --- places ------------------------------------------------------------------------------------------

    def shown_choice(self) -> tuple[int, int, Function | None]:
        """Return the frame and its source, or the function."""
        return self._frame, self._source, self.function

    def show_choice(self, choice: tuple[int, int, Function | None]) -> None:
        """Show a frame or a function again."""
        if choice != self.shown_choice():
            self._frame, self._source, self.function = choice
            self._show_anew()

    def show_function(self, function: Function) -> None:
        """Show a function, its marked line highlighted."""
        self.function = function
        self._show_anew()
        self._mark_address(function.address)

    def show_address(self, address: int) -> bool:
        """Go to the code at an address if it is shown, or recorded of a frame; False when it is neither."""
        if self.view is None or self.known is None:
            return False
        if self._mark_address(address):
            return True
        place = self.known.lines.get(address)
        if place is None:
            return False
        frame, source, _ = place
        if (frame, source, None) != self.shown_choice():
            self._frame, self._source, self.function = frame, source, None
            self._show_anew()
        return self._mark_address(address)

    def _mark_address(self, address: int) -> bool:
        code = self._code(self.view) if self.view is not None else None
        line = lines_of(code).get(address) if code is not None else None
        if line is None or self._above + line >= len(self.rows):
            return False
        self.mark(self._above + line)
        return True

    def on_focus(self) -> None:
        """Ask for what lines lead to, now that somebody looks at them."""
        super().on_focus()
        self.post_message(self.Wanted())

    def take_programs(self, programs: Programs) -> None:
        """Show the links of lines anew: the program files were read meanwhile."""
        if self.view is not None and self.known is not None:
            self.known.use(programs)
            state = self.state()
            self.rebuild()
            self.restore(state)

    def _choose_cited(self, view: RunView, link: Link) -> None:
        """Show the source that a link cites: one that came later has other lines."""
        for number, code in enumerate(view.code.get(self._frame, ())):
            lines = code.raw.split("\n") if link.line is not None else [code.raw]
            place = (link.line or 1) - 1
            if 0 <= place < len(lines) and digest(lines[place]) == link.hash:
                if number != self._source % self.sources:
                    self._source = number
                    self.set_rows(self.build(view))
                return

    def reveal(self, link: Link) -> bool:
        """Go to a line of a frame's code."""
        if self.view is None or not link.id.isdecimal() or int(link.id) not in self.view.code:
            return False
        self.select_frame(int(link.id))
        self._choose_cited(self.view, link)
        index = self.first(self.rows) if link.line is None else self._above + link.line - 1
        if not self._above <= index < len(self.rows):
            return False
        self.mark(index)
        return True
