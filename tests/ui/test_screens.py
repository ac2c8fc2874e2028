"""Every screen in two sizes and two themes, compared with the pictures kept here.

One app of each size visits all of them. The theme changes before each screen, and where it is dark in one
size it is light in the other: a theme is only what colours there are, which no size changes.
`pytest tests/ui/test_screens.py --snapshot-update` keeps the pictures of now.
"""

from __future__ import annotations

import importlib
import pkgutil
from itertools import cycle
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, TextArea

from tests.ui.conftest import RecordedActions, opened, shown, until
from tests.ui.pictures import picture
from triage_tui.ui import screens
from triage_tui.ui.actions import PANE_KEYS, PANES
from triage_tui.ui.app import TriageApp

SCREENS: dict[str, tuple[str, ...]] = {
    "runs": ("0",),
    **{name: (key,) for key, (name, _, _) in zip(PANE_KEYS, PANES, strict=True)},
    "filter": ("3", "slash", *"open"),
    "search": ("5", "slash", *"lw"),
    "address": ("7", "g", *"pc"),
    "call": ("3", "up", "enter"),
    "followed": ("1", "j", "j", "j", "enter"),
    "peek": ("1", "j", "j", "j", "K"),
    # What it says of a run changes with each entry of the knowledge base.
    "because": ("1", "B", "slash", *"gibberish"),
    "tools": ("1", "T"),
    "tool": ("1", "T", "slash", *"get_syscalls", "enter", "enter"),
    "points": ("1", "exclamation_mark"),
    "rulebook": ("1", "V"),
    "rollouts": ("1", "O"),
    "jump": ("1", "J"),
    "reject": ("2", "x"),
    "editor": ("2", "i"),
    "end": ("1", "E"),
    "export": ("1", "W"),
    "leaving": ("1", "q"),
    "help": ("1", "question_mark"),
    "palette": ("1", "colon", *"next"),
    # The last: it leads to another run.
    "comparison": ("0", "c", "down", "down", "c"),
}
"""Name of a picture -> the keys that lead there from the main screen."""

FILLED = {
    "rulebook": "No rule acts for this target",
    "because": "Nothing here holds that",
    "palette": "next newer run",
    "comparison": "Two runs compared",
}
"""What the ones have that are filled bit by bit."""

THEMES = ("triage-dark", "triage-light")
PASSING = {"ModelWork", "Progress"}
"""Screens that are there only while something takes long."""
ELSEWHERE = {"CampaignSheet", "FuturesSheet"}
"""Screens that show only what was run: test_campaign.py and test_futures.py have them, at both sizes."""


class Pictures(SingleFileSnapshotExtension):
    """One text file for each picture."""

    _write_mode = WriteMode.TEXT
    _file_extension = "txt"


async def quiet(pilot: Pilot[None], app: TriageApp) -> None:
    """Wait until all that was asked for is read."""
    await pilot.pause()
    if not all(worker.is_finished for worker in app.workers):
        await until(pilot, lambda: all(worker.is_finished for worker in app.workers), "quiet workers")


async def settle(pilot: Pilot[None], app: TriageApp) -> None:
    """Wait until all that was asked for is read and drawn."""
    await quiet(pilot, app)
    for line in app.screen.query(Input):
        line.cursor_blink = False
    for area in app.screen.query(TextArea):
        area.cursor_blink = False
        # A line that was drawn while the cursor was dark is kept as one that has no cursor to show.
        area._line_cache.clear()
        area.refresh()
    await pilot.pause()


async def back_to_main(pilot: Pilot[None], app: TriageApp) -> None:
    """Leave what is open, and forget where links led."""
    for _ in range(8):
        if app.screen is app.main and not app.main.trail:
            break
        await pilot.press("escape" if app.screen is not app.main else "backspace")
        await pilot.pause()
    await pilot.press("escape")
    app.clear_notifications()
    await settle(pilot, app)


def modal_screens() -> set[type[Screen[object]]]:
    """Return all screens of the app that open over the main screen."""
    modules = [
        importlib.import_module(f"{screens.__name__}.{module.name}")
        for module in pkgutil.iter_modules(screens.__path__)
    ]
    found = (value for module in modules for value in vars(module).values() if isinstance(value, type))
    return {kind for kind in found if issubclass(kind, ModalScreen) and "triage_tui" in kind.__module__}


@pytest.mark.parametrize(
    ("size", "themes"), [((80, 24), THEMES), ((160, 48), THEMES[::-1])], ids=["80x24", "160x48"]
)
async def test_every_screen(
    workspace: Path,
    actions: RecordedActions,
    snapshot: SnapshotAssertion,
    size: tuple[int, int],
    themes: tuple[str, str],
) -> None:
    app = TriageApp(workspace, actions=actions, theme=themes[1])
    seen: set[type[Screen[object]]] = set()
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        for (name, keys), theme in zip(SCREENS.items(), cycle(themes), strict=False):
            app.theme = theme
            for key in keys:
                await pilot.press(key)
                await quiet(pilot, app)
            seen.add(type(app.screen))
            filled = FILLED.get(name, "")
            await until(pilot, lambda filled=filled: filled in shown(app), name)  # type: ignore[misc]
            await settle(pilot, app)
            assert picture(app) == snapshot(name=f"{name}-{theme}", extension_class=Pictures), name
            await back_to_main(pilot, app)
    assert actions.calls == []
    missing = {kind for kind in modal_screens() if not any(issubclass(one, kind) for one in seen)}
    assert {kind.__name__ for kind in missing} == PASSING | ELSEWHERE
