"""One-line bars (title, tabs, keys): parts at the left and at the right, some of them clickable."""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from triage_tui.text import shown_line
from triage_tui.ui.containment import Contained
from triage_tui.ui.roles import Roles, roles_of
from triage_tui.ui.rows import clip


class Item(NamedTuple):
    """A piece of a bar: text, role, what a click does, background role."""

    text: str
    role: str = ""
    action: str | None = None
    fill: str = ""


class Bar(Contained, Widget):
    """A line of items. What finds no room at the end of the left side is cut or left out."""

    DEFAULT_CSS = "Bar { height: 1; }"
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: list[Item] = []
        self._right: list[Item] = []
        self._roles: Roles | None = None

    def set_items(self, left: list[Item], right: list[Item] | None = None) -> None:
        """Show other items."""
        if left != self._left or (right or []) != self._right:
            self._left, self._right = left, right or []
            self.refresh()

    def notify_style_update(self) -> None:
        """Forget the colours of the previous theme."""
        super().notify_style_update()
        self._roles = None
        self.refresh()

    def _placed(self, width: int) -> list[tuple[int, Item]]:
        right_width = sum(cell_len(item.text) for item in self._right)
        limit = width - right_width - bool(right_width)
        placed: list[tuple[int, Item]] = []
        cell = 0
        for item in self._left:
            size = cell_len(item.text)
            room = limit - cell
            if size > room:
                # A sentence is cut; a key or a tab that does not fit is left out.
                if item.action is None and room > 8:
                    placed.append((cell, item._replace(text=clip(item.text, room))))
                    cell += room
                break
            placed.append((cell, item))
            cell += size
        cell = max(cell, width - right_width)
        for item in self._right:
            placed.append((cell, item))
            cell += cell_len(item.text)
        return placed

    def places(self) -> list[tuple[int, Item]]:
        """Return what is shown, each with its first cell."""
        return self._placed(self.size.width)

    def render_line(self, y: int) -> Strip:
        """Draw the bar."""
        if self._roles is None:
            self._roles = roles_of(self.app)
        base, width = self.rich_style, self.size.width
        segments: list[Segment] = []
        cell = 0
        for start, item in self._placed(width):
            if start > cell:
                segments.append(Segment(" " * (start - cell), base))
            fill = self._roles.fill(item.fill)
            style = base + self._roles.style(item.role)
            segments.append(Segment(shown_line(item.text), style + fill if fill else style))
            cell = start + cell_len(item.text)
        return Strip(segments).adjust_cell_length(width, base)

    async def on_click(self, event: events.Click) -> None:
        """Run the action of the clicked item."""
        for start, item in self._placed(self.size.width):
            if item.action and start <= event.x < start + cell_len(item.text):
                await self.run_action(item.action)
                return
