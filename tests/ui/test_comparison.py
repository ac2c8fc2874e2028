"""Two runs side by side: what is aligned, what is left out, and the keys that lead there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.ui.app import TriageApp
from triage_tui.ui.comparison import MAX_ALIGNED, Pair, align, compare, comparison_rows
from triage_tui.ui.loading import RunView, load_view
from triage_tui.ui.screens.help import Sheet


@pytest.fixture
def views(tmp_path: Path) -> tuple[RunView, RunView]:
    runs = tmp_path / "ai_runs"
    return load_view(fixtures.make_exit_run(runs), tmp_path), load_view(
        fixtures.make_loop_run(runs), tmp_path
    )


def test_lines_are_set_beside_those_that_say_the_same() -> None:
    pairs, cut = align(["a", "b", "c", "z"], ["a", "x", "y", "c", "q", "z"])
    assert pairs == [
        Pair("a", "a"), Pair("b", "x"), Pair(None, "y"), Pair("c", "c"), Pair(None, "q"), Pair("z", "z"),
    ]  # fmt: skip
    assert cut == 0
    assert align([], []) == ([], 0)
    assert align(["a"], []) == ([Pair("a", None)], 0)


def test_each_line_of_both_is_there_once_and_in_order() -> None:
    chance = random.Random(7)
    for _ in range(200):
        left = [chance.choice("abcde") for _ in range(chance.randrange(12))]
        right = [chance.choice("abcde") for _ in range(chance.randrange(12))]
        pairs, _ = align(left, right)
        assert [pair.left for pair in pairs if pair.left is not None] == left
        assert [pair.right for pair in pairs if pair.right is not None] == right


def test_runs_that_differ_without_end_are_bounded_and_it_is_said(views: tuple[RunView, RunView]) -> None:
    left, right = views
    call = left.calls[0]
    left.calls = [call] + [type(call)(seq=n, name=f"left{n}", num=1) for n in range(3 * MAX_ALIGNED)]
    right.calls = [call] + [type(call)(seq=n, name=f"right{n}", num=1) for n in range(3 * MAX_ALIGNED)]
    part = next(part for part in compare(left, right) if part.title == "Syscalls")
    assert part.note == f"{4 * MAX_ALIGNED} lines are left out: the runs differ too much there"
    assert len(part.pairs) == MAX_ALIGNED + 1
    rows = comparison_rows([part], ("a", "b"), 80)
    assert "left out" in rows[-1].text


@pytest.mark.parametrize("width", [40, 78, 100, 157])
def test_every_row_fits_and_is_safe(views: tuple[RunView, RunView], width: int) -> None:
    left, right = views
    left.snapshot.fds[0].target = "\x1b[2Jevil\u202e"
    left.calls[0].arguments = ["\x1b]52;c;AAAA\x07" * 50]
    rows = comparison_rows(compare(left, right), ("one\x1b[31m", "other"), width)
    for row in rows:
        assert cell_len(row.text) <= width
        assert row.text.isprintable()
    text = "\n".join(row.text for row in rows)
    assert "missing_interface 0.93" in text
    assert "missing_device 0.88" in text
    assert ("≠" in text) == (width >= 100)
    assert any(row.text.startswith("- ") for row in rows) == (width < 100)


def test_the_rows_say_which_run_is_which(views: tuple[RunView, RunView]) -> None:
    narrow = comparison_rows(compare(*views), ("one", "other"), 78)
    assert [row.text for row in narrow[:2]] == ["- one", "+ other"]
    assert comparison_rows(compare(*views), ("one", "other"), 157)[0].text.split() == ["one", "│", "other"]


def test_a_run_is_the_same_as_itself(views: tuple[RunView, RunView]) -> None:
    for part in compare(views[0], views[0]):
        assert all(pair.same for pair in part.pairs)
    text = "\n".join(row.text for row in comparison_rows(compare(views[0], views[0]), ("a", "a"), 120))
    assert "≠" not in text
    assert "lines in common" in text


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_key_on_two_runs_compares_them(app: TriageApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await until(pilot, lambda: "choose the other run" in said(app))
        assert app.main.compared is not None
        app.main.runs.select(fixtures.LOOP_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.LOOP_RUN)
        await pilot.press("6", "c")
        await until(pilot, lambda: isinstance(app.screen, Sheet))
        await until(pilot, lambda: "What happened" in shown(app))
        assert fixtures.EXIT_RUN in shown(app) or size[0] < 120
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Sheet))
        assert app.main.active == "registers"
        assert app.main.compared is None


async def test_a_run_is_not_compared_with_itself(app: TriageApp) -> None:
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await until(pilot, lambda: "c compares with udhcpc 14:03" in shown(app))
        await pilot.press("c")
        await until(pilot, lambda: "this is the same run" in said(app))
        assert "c compares with" not in shown(app)
