"""Resizing loses nothing: rows, what is typed, questions; columns hold wide and joined characters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.style import Style
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, shown, until
from triage_tui.ui.app import TriageApp
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.diagnosis import DiagnosisPane
from triage_tui.ui.rows import Row
from triage_tui.ui.widgets.line_view import LineView

SIZES = ((80, 24), (20, 5), (1, 1), (200, 60), (60, 14), (119, 29), (120, 30), (40, 10), (160, 48))


async def through_all(pilot: Pilot[None], app: TriageApp, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    for size in sizes:
        await pilot.resize_terminal(*size)
        await pilot.pause()
        lines = shown(app).split("\n")
        assert len(lines) == size[1]
        assert all(cell_len(line) <= size[0] for line in lines)


async def test_the_row_of_every_pane_stays(app: TriageApp) -> None:
    panes = {"1": "diagnosis", "2": "patch", "3": "syscalls", "7": "memory", "H": "history"}
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        rows: dict[str, Any] = {}
        for key, name in panes.items():
            await pilot.press(key, "j", "j", "j", "j", "j")
            pane = app.main.pane(name)
            rows[name] = pane.current.target if pane.current else None
        for key, name in panes.items():
            # Each is shown alone, hidden by a tiny terminal, and in its tile; one of them at all sizes.
            await pilot.press(key)
            await through_all(pilot, app, SIZES if name == "memory" else ((80, 24), (20, 5), (160, 48)))
            pane, target = app.main.pane(name), rows[name]
            after = pane.current.target if pane.current else None
            assert app.main.active == name
            if name == "memory" and after is not None and target is not None:
                # Rows of more bytes begin at lower offsets.
                assert after[0] == target[0]
                assert after[1] // 16 == target[1] // 16
            else:
                assert after == target, name
            assert app.focused is pane


@pytest.mark.parametrize("width", [60, 160])
def test_each_part_of_a_diagnosis_is_found_again_at_another_width(workspace: Path, width: int) -> None:
    rows = DiagnosisPane().build(load_view(workspace / "ai_runs" / fixtures.EXIT_RUN, workspace))
    rows.layout(80)
    parts = [index for index in range(len(rows)) if re.match(" +([●○?]|[0-9]+\\.) ", rows.row(index).text)]
    assert len(parts) >= 8
    for index in parts:
        rows.layout(80)
        words = rows.row(index).text.split()[:2]
        moved, _ = rows.relayout(width, index, {})
        assert rows.row(moved).text.split()[:2] == words
        assert rows.relayout(80, moved, {}) == (index, {})


async def test_what_is_typed_and_asked_stays(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("slash", *"dhcp")
        await through_all(pilot, app)
        assert app.screen.query_one(Input).value == "dhcp"
        await pilot.press("c", "backspace", "enter")
        assert app.main.runs.filter_text == "dhcp"
        await pilot.press("E")
        await until(pilot, lambda: "End the frozen guest" in shown(app))
        await pilot.press("j")
        await through_all(pilot, app, SIZES[1:4:2] + SIZES[:1])
        assert "End the frozen guest" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: any(call[0] == "decide" for call in actions.calls))
        await pilot.press("question_mark")
        await pilot.pause()
        await pilot.press("slash", *"freeze")
        await through_all(pilot, app, SIZES[2:7:2])
        assert app.screen.query_one(Input).value == "freeze"
        assert "Freeze the guest" in shown(app)
        await pilot.press("escape", "escape")
        await pilot.press("colon")
        await pilot.pause()
        await pilot.press(*"registers")
        await through_all(pilot, app, SIZES[5:])
        await until(pilot, lambda: "Go to the registers pane." in shown(app))


async def test_wide_and_joined_characters_keep_the_columns(workspace: Path, actions: RecordedActions) -> None:
    program = "/bin/中文程序\U0001f469\u200d\U0001f4bb한글e\u0301\u200b\u202edaemon"
    fixtures.make_exit_run(workspace / "ai_runs", "20991231_235959_00000001", program=program)
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "20991231_235959_00000001")
        for size in ((60, 14), (80, 24), (120, 30), (200, 60)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            pane = app.main.runs
            rows = [pane.rows.row(index).text for index in range(len(pane.rows))]
            assert "中文" in "".join(rows)
            assert {cell_len(row) for row in rows} == {cell_len(rows[-1])}
            assert all(cell_len(line) == size[0] for line in shown(app).split("\n"))


@pytest.mark.parametrize(
    "sizes",
    [((70, 24), (60, 14)), ((60, 14), (120, 30)), ((160, 48), (70, 24), (60, 14))],
    ids=["narrow", "least", "wide"],
)
async def test_panes_are_as_wide_as_a_narrow_terminal(
    workspace: Path, actions: RecordedActions, sizes: Sequence[tuple[int, int]]
) -> None:
    rule = next((workspace / "ai_runs" / fixtures.EXIT_RUN / "rules_patch").rglob("*.lua"))
    rule.write_text(rule.read_text() + f"-- {'0123456789' * 30} the end\n")
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=sizes[0]) as pilot:
        await opened(pilot)
        for size in sizes:
            await pilot.resize_terminal(*size)
            for key in "12345678 9H":
                await pilot.press(key)
                await pilot.pause()
                pane = app.main.pane(app.main.active)
                assert pane.region.right <= size[0], (size, pane)
            # The whole rule can be read, wherever its long line is folded.
            await pilot.press("2", "G")
            await pilot.pause()
            patch = app.main.patch
            rows = [patch.rows.row(index) for index in range(len(patch.rows))]
            assert [
                row.text for row in rows if cell_len(row.text) > patch.scrollable_content_region.width
            ] == []
            folded = "".join(row.text.partition("↪ ")[2] for row in rows if "↪" in row.text)
            assert "0123456789 the end" in folded
            bottom = [patch.render_line(y).text.rstrip() for y in range(patch.size.height)]
            assert bottom == [row.text.rstrip() for row in rows[-patch.size.height :]]


async def test_a_row_that_is_cut_says_so(app: TriageApp) -> None:
    async with app.run_test(size=(60, 14)) as pilot:
        await opened(pilot)
        pane = app.main.pane("process")
        await pilot.press("8")
        await pilot.pause()
        index = pane.rows.find(lambda row: cell_len(row.text) > 60)
        assert index is not None
        pane.move_to(index)
        await pilot.pause()
        text = pane.render_line(index - pane.scroll_offset.y).text.rstrip()
        assert text == pane.rows.row(index).text[:58] + "…"


async def test_rows_that_come_while_a_list_is_hidden_fit_when_it_is_back(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        width = app.main.runs.scrollable_content_region.width
        assert 0 < width < 80
        await pilot.press("2")
        await until(pilot, lambda: not app.main.runs.scrollable_content_region)
        app.main.runs.set_runs(app.main.known_runs)
        await pilot.press("0")
        await until(pilot, lambda: app.main.runs.scrollable_content_region)
        rows = app.main.runs.rows
        assert [cell_len(rows.row(index).text) for index in range(len(rows))] == [width] * len(rows)
        assert not any(line.rstrip().endswith("…") for line in shown(app).split("\n")[3:-1])


async def test_only_what_can_be_seen_is_laid_out_and_rows_are_drawn_once(
    app: TriageApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        laid_out: list[str] = []
        drawn: Counter[tuple[str, int]] = Counter()
        lay_out, strip = LineView._lay_out, LineView._strip

        def counted_layout(view: LineView, width: int) -> None:
            laid_out.append(view.id or "")
            lay_out(view, width)

        def counted_strip(view: LineView, index: int, row: Row, background: Style) -> Strip:
            drawn[view.id or "", index] += 1
            return strip(view, index, row, background)

        monkeypatch.setattr(LineView, "_lay_out", counted_layout)
        monkeypatch.setattr(LineView, "_strip", counted_strip)
        await pilot.resize_terminal(160, 48)
        await pilot.pause()
        seen = [pane for tile in app.main.tiles for pane in tile.panes if pane.display]
        assert set(laid_out) <= {"pane-runs", *(pane.id for pane in seen)}
        assert {pane.id for pane in seen} <= {view for view, _ in drawn}
        resting = {
            (view, index): count
            for (view, index), count in drawn.items()
            if index != app.main.query_one(f"#{view}", LineView).cursor
        }
        assert set(resting.values()) == {1}
