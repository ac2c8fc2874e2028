"""Styles are given where they change, and then everywhere."""

from __future__ import annotations

from collections import Counter

import pytest
from rich.style import Style
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from tests.ui.conftest import opened, shown, until
from tests.ui.pictures import picture
from triage_tui.ui.app import TriageApp
from triage_tui.ui.rows import Row
from triage_tui.ui.widgets.line_view import LineView


async def test_what_keeps_its_styles_is_not_drawn_anew(
    app: TriageApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("4")
        drawn: Counter[str] = Counter()
        strip = LineView._strip

        def counted(view: LineView, index: int, row: Row, background: Style) -> Strip:
            drawn[view.id or ""] += 1
            return strip(view, index, row, background)

        monkeypatch.setattr(LineView, "_strip", counted)
        await pilot.press("1")
        assert set(drawn) == {"pane-diagnosis", "pane-backtrace"}
        drawn.clear()
        app.theme = "triage-light"
        await until(pilot, lambda: len(drawn) >= 5)
        shown_panes = {tile.active.id for tile in app.main.tiles}
        assert set(drawn) == {"pane-runs", *shown_panes}


async def test_a_theme_that_comes_while_the_palette_is_open_is_on_all_of_the_screen(app: TriageApp) -> None:
    async def drawn(pilot: Pilot[None], *before: str) -> tuple[str, str]:
        """Return the screen with the palette open and after it, under the last of the themes."""
        for theme in before[:-1]:
            app.theme = theme
            await pilot.pause()
        await pilot.press("colon")
        await until(pilot, lambda: "Approve" in shown(app))
        app.screen.query_one(Input).cursor_blink = False
        app.theme = before[-1]
        await pilot.pause()
        over = picture(app)
        await pilot.press("escape")
        await pilot.pause()
        return over, picture(app)

    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("1")
        came = await drawn(pilot, "triage-light")
        was_there = await drawn(pilot, "triage-dark", "triage-light", "triage-light")
    assert came == was_there
