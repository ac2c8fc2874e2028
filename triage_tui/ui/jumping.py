"""Where one can jump to on the main screen, and the labels to type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from triage_tui.ui.panes.base import Pane

if TYPE_CHECKING:
    from triage_tui.ui.screens.main import MainScreen

KEYS = "asdfghjklqwertyuiopzxcvbnm"
"""Letters of labels, the easy ones first."""
MOST = 300
"""Labels that are shown at most: those nearest to the top."""


class Goal(NamedTuple):
    """A place to jump to: its cell on the screen, the pane, its row (None = the pane), the link there."""

    x: int
    y: int
    pane: str
    row: int | None = None
    link: str | None = None


def labels(count: int) -> list[str]:
    """Return `count` labels, none the beginning of another: one letter while they last, then two.

    At most len(KEYS) squared.
    """
    size = len(KEYS)
    count = min(count, size * size)
    double = 0 if count <= size else -(-(count - size) // (size - 1))
    single = list(KEYS[: size - double])
    pairs = [first + second for first in KEYS[size - double :] for second in KEYS]
    return (single + pairs)[:count]


def goals(screen: MainScreen) -> list[Goal]:
    """Return what can be jumped to: panes by their names, and in each visible pane links or rows."""
    found = [*_pane_names(screen), *(goal for pane in _visible(screen) for goal in _in_pane(pane))]
    found.sort(key=lambda goal: (goal.y, goal.x))
    return found[:MOST]


def _visible(screen: MainScreen) -> Iterator[Pane]:
    panes = [screen.runs, *(tile.active for tile in screen.tiles)]
    return (pane for pane in panes if pane.size.width and pane.size.height and _shows(pane))


def _shows(pane: Pane) -> bool:
    return all(node.display for node in pane.ancestors_with_self if hasattr(node, "display"))


def _pane_names(screen: MainScreen) -> Iterator[Goal]:
    if screen.single:
        bar = screen.query_one("#tabs")
        for cell, name in screen.tab_cells():
            yield Goal(bar.region.x + cell, bar.region.y, name)
        return
    tile = screen.query_one("#runs-tile")
    yield Goal(tile.region.x + 2, tile.region.y, "runs")
    for one in screen.tiles:
        for cell, pane in one.label_cells():
            yield Goal(one.region.x + cell, one.region.y, pane.NAME)


def _in_pane(pane: Pane) -> Iterator[Goal]:
    """Return the links that are visible in a pane, or where it has none the rows that begin something."""
    region, (left, top) = pane.content_region, pane.scroll_offset
    indices = range(top, min(len(pane.rows), top + region.height))
    shown = [(index, pane.rows.row(index)) for index in indices]
    linked: dict[str, Goal] = {}
    for index, row in shown:
        for first, _, link in row.links:
            if left <= first < left + region.width:
                # Links often go on over several rows: the first place is enough.
                goal = Goal(region.x + first - left, region.y + index - top, pane.NAME, index, link)
                linked.setdefault(link, goal)
    if linked:
        yield from linked.values()
        return
    before = pane.rows.row(top - 1).target if top and shown else None
    for index, row in shown:
        if row.target is not None and row.target != before:
            yield Goal(region.x, region.y + index - top, pane.NAME, index)
        before = row.target
