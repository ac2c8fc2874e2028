"""The mouse: the wheel, text selected by dragging, and what a drag must not do."""

from __future__ import annotations

import pytest

from tests.ui import fixtures
from tests.ui.conftest import opened, said, until
from triage_tui.ui.app import TriageApp
from triage_tui.ui.rows import ListRows, Row, Rows
from triage_tui.ui.widgets.drag import Drag, cells, marks, selected_text

SMALL = (80, 24)


def rows(*texts: str) -> Rows:
    made = ListRows(lambda width: [Row(((text, ""),)) for text in texts])
    made.layout(80)
    return made


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ((0, 2), (0, 4), "cde"),
        ((0, 4), (0, 2), "cde"),
        ((0, 3), (2, 1), "defgh\nsecond\nth"),
        ((1, 0), (1, 70), "second"),
        ((2, 0), (99, 9), "third"),
    ],
)
def test_a_selection_is_what_lies_between(start: tuple[int, int], end: tuple[int, int], text: str) -> None:
    lines = rows("abcdefgh", "second   ", "third")
    assert selected_text(Drag(start, end), lines) == text
    assert set(marks(Drag(start, end), lines)) <= set(range(3))


def test_cells_count_wide_and_combining_characters() -> None:
    assert cells("中文abc", 2, 5) == "文a"
    assert cells("e\u0301x", 0, 1) == "e\u0301"
    assert cells("abc", 5, 9) == ""


async def test_dragging_copies_and_does_not_move_the_cursor(
    app: TriageApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("3", "G")
        await pilot.pause()
        pane = app.main.pane("syscalls")
        before = pane.cursor
        wanted = pane.rows.row(1).text
        await pilot.mouse_down("#pane-syscalls", offset=(0, 1))
        await pilot._post_mouse_events([_moved()], "#pane-syscalls", offset=(30, 1), button=1)
        assert pane.marked == [1]
        await pilot.mouse_up("#pane-syscalls", offset=(30, 1))
        await until(pilot, lambda: "characters copied." in said(app))
        assert app.clipboard == cells(wanted, 0, 31).rstrip()
        assert pane.cursor == before


def _moved() -> type:
    from textual.events import MouseMove

    return MouseMove


async def test_the_wheel_scrolls_and_the_cursor_stays(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.LOOP_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.LOOP_RUN)
        await pilot.press("3")
        await pilot.pause()
        pane = app.main.pane("syscalls")
        before, cursor = pane.scroll_offset.y, pane.cursor
        await pilot._post_mouse_events([_scrolled()], "#pane-syscalls", offset=(5, 5), button=0)
        await until(pilot, lambda: pane.scroll_offset.y < before)
        assert pane.cursor == cursor
        await pilot.press("k")
        assert pane.cursor == cursor - 1


def _scrolled() -> type:
    from textual.events import MouseScrollUp

    return MouseScrollUp
