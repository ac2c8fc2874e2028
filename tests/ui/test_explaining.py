"""Why this and not that, in the app: one key shows it, a fact is gone to, and one comes back."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.ui.conftest import opened, said, shown, until
from triage_tui.diagnosis.knowledge_base.explained_lines import Line
from triage_tui.ui.app import TriageApp
from triage_tui.ui.explained_rows import explained_rows
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.widgets.line_view import LineView

LINES = [
    Line("mine (missing_file) 0.90: it comes first", role="entry"),
    Line('open("\x1b]52;c;eA==\x07/etc/x") = ENOENT ' + "long " * 40, 8, 0, "ev:syscall/3"),
    Line(""),
    Line("- a wait whose name is \u202epoll", 4, 4, role="failed"),
]


@pytest.mark.parametrize("width", [30, 80])
def test_every_row_is_safe_and_fits_and_facts_are_links(width: int) -> None:
    rows = explained_rows(LINES, width)
    assert all(cell_len(row.text) <= width for row in rows)
    assert all(row.text.isprintable() for row in rows)
    linked = [row for row in rows if row.links]
    assert len(linked) > 2
    assert {link for row in linked for _, _, link in row.links} == {"ev:syscall/3"}


async def test_a_key_says_why_and_a_fact_is_gone_to_and_come_back_from(app: TriageApp) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        await pilot.press("B")
        await until(pilot, lambda: isinstance(app.screen, Sheet))
        await until(pilot, lambda: "it comes first" in shown(app))
        view = app.screen.query_one(LineView)
        await pilot.press("enter")
        await until(pilot, lambda: "leads to no place" in said(app))
        row = view.rows.find(lambda row: any("syscall/11~" in link for _, _, link in row.links))
        assert row is not None
        view.move_to(row)
        await pilot.press("enter")
        await until(pilot, lambda: app.main.active == "syscalls")
        await pilot.press("backspace")
        await until(pilot, lambda: isinstance(app.screen, Sheet))
        await until(pilot, lambda: app.screen.query_one(LineView).cursor == row)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Sheet))
