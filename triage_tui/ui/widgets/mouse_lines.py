"""What the mouse does in a list of lines: select text, move the cursor, open rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.scroll_view import ScrollView

from triage_tui.text import number_of
from triage_tui.ui.rows import Marks, Rows
from triage_tui.ui.widgets import drag

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp


class MouseLines(ScrollView):
    """The part of `LineView` that follows the mouse."""

    _rows: Rows
    _marks: Marks
    _clicked: ClassVar[MouseLines | None] = None
    """Where the first of the clicks was that follow one another."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drag: drag.Drag | None = None
        self._dragged = False
        """Whether the click that comes belongs to a selection that just ended."""
        self.one_click = False
        """Whether one click opens a row, as it does where rows are the answers of a question."""

    @property
    def rows(self) -> Rows:
        """What is shown."""
        return self._rows

    def move_to(self, index: int, *, centre: bool = False) -> None:
        """Put the cursor on row `index` and make it visible."""
        raise NotImplementedError

    def open_row(self, index: int, link: str | None) -> None:
        """Tell that a row, or one of its links, is to be opened."""
        raise NotImplementedError

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin to select text, if the pointer then moves."""
        self._drag = None
        if event.button == 1 and len(self._rows) and event.get_content_offset(self) is not None:
            spot = drag.spot_at(self, event.x, event.y)
            self._drag = drag.Drag(spot, spot)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Select what the pointer goes over; beyond an edge the rows move on."""
        if self._drag is None or event.button != 1:
            return
        self._drag.end = drag.spot_at(self, event.x, event.y)
        if self._drag.moved:
            self.capture_mouse()
            row = self._drag.end[0]
            if not 0 <= row - self.scroll_offset.y < self.scrollable_content_region.height:
                self.scroll_relative(y=1 if event.y > 0 else -1, animate=False, immediate=True)
            self._marks = drag.marks(self._drag, self._rows)
            self.refresh()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Copy what was selected."""
        held, self._drag = self._drag, None
        self._dragged = held is not None and held.moved
        if held is not None and held.moved:
            self.release_mouse()
            text = drag.selected_text(held, self._rows)
            if text:
                cast("TriageApp", self.app).copy(text, f"{number_of(len(text), 'character')} copied.")

    def on_click(self, event: events.Click) -> None:
        """Move to the clicked row; a click on a link or a double click opens it."""
        offset = event.get_content_offset(self)
        dragged, self._dragged = self._dragged, False
        if event.chain == 1:
            MouseLines._clicked = self
        if offset is None or dragged or MouseLines._clicked is not self:
            # The second click on a sheet that the first one closed is not meant for what was below.
            return
        index = offset.y + self.scroll_offset.y
        if not 0 <= index < len(self._rows):
            return
        cell = offset.x + self.scroll_offset.x
        link = next((text for a, b, text in self._rows.row(index).links if a <= cell < b), None)
        self.move_to(index)
        if link or self.one_click or event.chain > 1:
            self.open_row(index, link)
