"""A tile: a frame around one or more panes, of which one shows; its title names them with their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.content import Content

from triage_tui.ui.actions import BY_ID
from triage_tui.ui.containment import Contained
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import clip
from triage_tui.ui.widgets.framed import Framed

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp

_BETWEEN = " ─ "
_FIRST_CELL = 3
"""Where the title begins: behind the corner, a line and a space."""


class Tile(Contained, Framed):
    """Panes that share one place on the screen."""

    def __init__(self, *panes: Pane, id: str) -> None:
        super().__init__(id=id)
        self.panes = panes
        self.active = panes[0]

    def compose(self) -> ComposeResult:
        """Put the panes one over the other; the first shows."""
        for pane in self.panes:
            pane.display = pane is self.active
            yield pane

    def on_mount(self) -> None:
        """Draw the title."""
        self.update_title()

    def activate(self, pane: Pane) -> None:
        """Show one of the panes."""
        self.active = pane
        for other in self.panes:
            other.display = other is pane
        self.update_title()

    def _labels(self) -> list[tuple[str, Pane]]:
        keymap = cast("TriageApp", self.app).keys_changed
        actions = [BY_ID[f"pane_{pane.NAME}"] for pane in self.panes]
        return [
            (f"{clip(keymap.get(action.id, action.shown_key), 6)} {action.label}".lstrip(), pane)
            for action, pane in zip(actions, self.panes, strict=True)
        ]

    def label_cells(self) -> list[tuple[int, Pane]]:
        """Return the panes, and the cell of the upper border at which the name of each begins."""
        cells: list[tuple[int, Pane]] = []
        cell = _FIRST_CELL
        for label, pane in self._labels():
            cells.append((cell, pane))
            cell += cell_len(label) + len(_BETWEEN)
        return cells

    def update_title(self) -> None:
        """Draw the names of the panes, the visible one bright, and its note."""
        parts: list[Content] = []
        for label, pane in self._labels():
            parts.append(Content.styled(label, "bold" if pane is self.active else "dim"))
        title = Content(_BETWEEN).join(parts)
        note = clip(self.active.note, 40)
        self.entitle(title + Content.styled(f" · {note}", "italic") if note else title)

    async def on_click(self, event: events.Click) -> None:
        """A click on a name in the title shows that pane."""
        if event.widget is not self or event.y != 0:
            return
        for (cell, pane), (label, _) in zip(self.label_cells(), self._labels(), strict=True):
            if cell <= event.x < cell + cell_len(label):
                await self.run_action(f"screen.show_pane('{pane.NAME}')")
                return
