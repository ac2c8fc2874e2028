"""One list widget for everything that is made of lines: runs, syscalls, hex, code, logs, diffs.

It draws only the rows that are visible (Textual's Line API), so it opens and moves equally fast with ten rows
and with a million.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar, Self, cast

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from triage_tui.text import shown_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.containment import Contained, name_of
from triage_tui.ui.roles import Roles, roles_of
from triage_tui.ui.rows import ListRows, Marks, Row, Rows, wrapped
from triage_tui.ui.widgets.mouse_lines import MouseLines
from triage_tui.ui.widgets.tinting import tinted

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp


_KEPT_STRIPS = 512
_ROLE = itemgetter(1)


class LineView(Contained, MouseLines, can_focus=True):
    """A cursor over `Rows`: arrows, vim keys and mouse move it, Enter or a click on it opens the row."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("list")
    ALLOW_SELECT = False

    cursor: reactive[int] = reactive(0, repaint=False)

    @dataclass
    class Moved(Message):
        """The cursor came to another row."""

        view: LineView
        index: int

        @property
        def control(self) -> LineView:
            """The view it happened in."""
            return self.view

    @dataclass
    class Opened(Message):
        """A row was opened with Enter or by a second click."""

        view: LineView
        index: int
        link: str | None = None

        @property
        def control(self) -> LineView:
            """The view it happened in."""
            return self.view

    def __init__(self, *, id: str | None = None, empty: str = "", classes: str | None = None) -> None:
        self._strips: dict[int, Strip] = {}
        """Rows as they were drawn last, but for that of the cursor and those that are highlighted."""
        self._drawn_for: tuple[int, int, Style] | None = None
        """First cell, width and style that these were drawn for."""
        self._base: Style | None = None
        """The style of plain text, looked up once for all rows that are drawn together."""
        super().__init__(id=id, classes=classes)
        self._rows = Rows()
        self._empty = empty
        self._marks: Marks = {}
        self._roles: Roles | None = None
        self._link = 0
        self.failed = False
        """Whether a sentence stands in place of rows that cannot be made."""

    # --- content ---------------------------------------------------------------------------------------

    @property
    def current(self) -> Row | None:
        """The row under the cursor, or None when there are no rows."""
        return self._rows.row(self.cursor) if 0 <= self.cursor < len(self._rows) else None

    @property
    def chosen_link(self) -> str | None:
        """The link of the row under the cursor that Enter would follow."""
        row = self.current
        return row.links[self._link % len(row.links)][2] if row is not None and row.links else None

    def set_rows(self, rows: Rows, *, cursor: int | None = None, empty: str | None = None) -> None:
        """Show other rows; the cursor stays at its index unless `cursor` says otherwise."""
        self._rows = rows
        self._marks = {}
        self.failed = False
        if empty is not None:
            self._empty = empty
        try:
            rows.layout(self._width)
        except Exception as error:
            self.fail(error)
            return
        self._measure()
        count = len(rows)
        wanted = self.cursor if cursor is None else cursor
        self.set_reactive(LineView.cursor, max(0, min(wanted, count - 1)))
        self._link = 0
        if cursor is not None:
            self.scroll_to(x=0, animate=False, immediate=True)
        self._show_cursor(centre=cursor is not None)
        self.refresh()

    def fail(self, error: Exception) -> None:
        """Show a sentence in place of rows that cannot be made."""
        sentence = cast("TriageApp", self.app).contain(name_of(self), error)
        text = f"{sentence} Leave and come back to try again."
        self.set_rows(ListRows(lambda width: wrapped(text, width, "bad", 1)), cursor=0)
        self.failed = True

    def mark(self, index: int, span: tuple[int, int] | None = None, rows: int = 1) -> None:
        """Go to row `index` and highlight it (or only its cells `span`) until the next cursor move."""
        self.move_to(index, centre=True)
        self._marks = dict.fromkeys(range(index, index + rows), span)
        self.refresh()

    def mark_spans(self, spans: Marks) -> None:
        """Highlight several rows or parts of them and go to the first."""
        if spans:
            self.move_to(min(spans), centre=True)
            self._marks = dict(spans)
            self.refresh()

    @property
    def marked(self) -> list[int]:
        """Indices of the highlighted rows."""
        return sorted(self._marks)

    def move_to(self, index: int, *, centre: bool = False) -> None:
        """Put the cursor on row `index` and make it visible."""
        if self._marks or self._link:
            self._marks = {}
            self._link = 0
            self.refresh()
        self.cursor = max(0, min(index, len(self._rows) - 1))
        self._show_cursor(centre)

    @property
    def content_width(self) -> int:
        """Cells that a row has."""
        return self._width

    @property
    def _width(self) -> int:
        # One that is hidden comes back as large as it was, without a word; one that was never shown has no
        # size, and its rows are laid out again when it gets one.
        shown = self.scrollable_content_region or self.outer_size.region.shrink(self.gutter)
        return shown.width or min(80, self.app.size.width)

    def _extent(self, width: int) -> Size:
        return Size(max(self._rows.wide, 0) or width, len(self._rows))

    def _measure(self) -> None:
        self.virtual_size = self._extent(self._width)

    def _show_cursor(self, centre: bool = False) -> None:
        height = self.scrollable_content_region.height
        if height <= 0:
            return
        top = self.scroll_offset.y
        if top <= self.cursor < top + height:
            return
        if centre:
            top = max(0, self.cursor - height // 2)
        else:
            top = self.cursor if self.cursor < top else self.cursor - height + 1
        # Forced, because rows that were just set have no scrollbar before the next layout.
        self.scroll_to(y=top, animate=False, immediate=True, force=True)

    # --- drawing ---------------------------------------------------------------------------------------

    @property
    def roles(self) -> Roles:
        """The colours of the active theme."""
        if self._roles is None:
            self._roles = roles_of(self.app)
        return self._roles

    def notify_style_update(self) -> None:
        """Forget the colours of the previous theme."""
        super().notify_style_update()
        self._roles = self._base = None
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw the visible rows."""
        self._base = None
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Draw the row that is visible at line `y` of the widget."""
        try:
            return self._drawn(y)
        except Exception as error:
            if not self.failed:
                self.call_next(self.fail, error)
            return Strip.blank(self.size.width, self.rich_style)

    def _drawn(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        width = self.size.width
        if self._base is None:
            self._base = self.rich_style
        base = self._base
        index = scroll_y + y
        count = len(self._rows)
        if index >= count:
            # What is said in place of rows has to be read whole on a narrow screen, too.
            said = wrapped(self._empty, max(1, width - 1), indent=1) if count == 0 and self._empty else []
            if y >= len(said):
                return Strip.blank(width, base)
            style = base + self.roles.style("muted")
            return Strip([Segment(said[y].text, style)]).adjust_cell_length(width, base)
        if self._drawn_for != (scroll_x, width, base) or len(self._strips) > _KEPT_STRIPS:
            self._strips.clear()
            self._drawn_for = scroll_x, width, base
        plain = index != self.cursor and index not in self._marks
        if plain and (known := self._strips.get(index)) is not None:
            return known
        row = self._rows.row(index)
        background = self._background(index, row, base)
        strip = self._strip(index, row, background)
        if not self._rows.wide and strip.cell_length > self._width:
            # There is no scrolling sideways to the rest: that there is one must be seen.
            end = Segment("…", background + self.roles.style("muted"))
            strip = Strip.join([strip.crop(0, self._width - 1), Strip([end])])
        strip = strip.crop_extend(scroll_x, scroll_x + width, background)
        if plain:
            self._strips[index] = strip
        return strip

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """Draw again: with `regions` what was scrolled or moved, without them all rows, made anew."""
        if not regions:
            self._strips.clear()
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def _background(self, index: int, row: Row, base: Style) -> Style:
        fill = row.fill
        if self._marks.get(index, ...) is None:
            fill = "mark"
        elif index == self.cursor:
            fill = "cursor" if self.has_focus else "cursor-idle"
        style = self.roles.fill(fill)
        return base + style if style else base

    def _strip(self, index: int, row: Row, background: Style) -> Strip:
        segments = []
        for role, parts in groupby(row.parts, _ROLE):
            # Second door behind the first: whatever a builder let through is made safe here.
            shown = [text if text.isascii() and text.isprintable() else shown_line(text) for text, _ in parts]
            segments.append(Segment("".join(shown), background + self.roles.style(role)))
        strip = Strip(segments)
        span = self._marks.get(index, ...)
        if index != self.cursor and span is not None:
            for first, last, fill in row.tints:
                # A background goes on behind the end of the text.
                strip = tinted(strip.extend_cell_length(last), first, last, self.roles.fill(fill))
        if isinstance(span, tuple):
            strip = tinted(strip, *span, self.roles.fill("mark"))
        if row.links and index == self.cursor and self.has_focus and len(row.links) > 1:
            first, last, _ = row.links[self._link % len(row.links)]
            strip = tinted(strip, first, last, self.roles.fill("mark"))
        return strip

    # --- moving ----------------------------------------------------------------------------------------

    def watch_cursor(self, before: int, after: int) -> None:
        """Redraw both rows and tell the pane."""
        if before == after:
            return
        top = self.scroll_offset.y
        for index in (before, after):
            self.refresh(Region(0, index - top, self.size.width, 1))
        self.post_message(self.Moved(self, after))

    def _size_updated(
        self, size: Size, virtual_size: Size, container_size: Size, layout: bool = True
    ) -> bool:
        """Lay the rows out for a new size before they are drawn in it, so that they are drawn once."""
        resized = bool(size) and size != self._size
        if resized:
            width = size.region.shrink(self.styles.gutter).shrink(self.scrollbar_gutter).width
            self._lay_out(width or size.width)
        changed = super()._size_updated(size, virtual_size, container_size, layout)
        if resized:
            self._show_cursor(centre=bool(self._marks))
        return changed

    def _lay_out(self, width: int) -> None:
        """Lay the rows out for a width; the cursor and the marks stay with what they are on."""
        self._strips.clear()
        try:
            cursor, self._marks = self._rows.relayout(width, self.cursor, self._marks)
        except Exception as error:
            self.call_next(self.fail, error)
            return
        self.set_reactive(Widget.virtual_size, self._extent(width))
        self.set_reactive(LineView.cursor, max(0, min(cursor, len(self._rows) - 1)))

    def on_focus(self) -> None:
        """Show the cursor as active."""
        self.refresh()

    def on_blur(self) -> None:
        """Show the cursor as idle."""
        self.refresh()

    def action_cursor(self, step: int) -> None:
        """Move the cursor by `step` rows."""
        self.move_to(self.cursor + step)

    def action_page(self, step: int) -> None:
        """Move the cursor by pages."""
        self.move_to(self.cursor + step * max(1, self.scrollable_content_region.height - 1))

    def action_edge(self, last: int) -> None:
        """Go to the first (0) or last (1) row."""
        self.move_to(len(self._rows) - 1 if last else 0)

    def action_sideways(self, step: int) -> None:
        """Choose another link of the row, or scroll sideways where rows are wider than the view."""
        row = self.current
        if row and len(row.links) > 1:
            self._link = (self._link + step) % len(row.links)
            self.refresh()
        elif self._rows.wide:
            self.scroll_to(x=self.scroll_offset.x + step * 8, animate=False)

    def open_row(self, index: int, link: str | None) -> None:
        """Tell that a row, or one of its links, is to be opened."""
        self.post_message(self.Opened(self, index, link))

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.current is not None:
            self.open_row(self.cursor, self.chosen_link)

    def action_copy_row(self) -> None:
        """Copy the text of the row, exactly as it is shown."""
        row = self.current
        if row is not None:
            cast("TriageApp", self.app).copy(row.text.strip(), "Row copied.")

    def action_copy_more(self) -> None:
        """Ask what else to copy."""
        from triage_tui.ui.copying import ask_what_to_copy

        ask_what_to_copy(self)
