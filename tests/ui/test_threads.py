"""The registers pane: stepping through the threads of all processes of a recorded guest."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.runs.model import Snapshot
from triage_tui.runs.process_model import Computation, Process, Thread
from triage_tui.ui.app import TriageApp
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.backtrace import MAX_FRAMES, MAX_ROWS, BacktracePane, backtrace_rows
from triage_tui.ui.panes.registers import RegistersPane, chooser_rows, register_rows, thread_rows
from triage_tui.ui.rows import Row
from triage_tui.ui.run_view import RunView
from triage_tui.ui.threads import MAX_SHOWN, threads_of, title_of


@pytest.fixture
def view(tmp_path: Path) -> RunView:
    return load_view(fixtures.make_exit_run(tmp_path / "ai_runs"), tmp_path)


def words(rows: list[Row]) -> str:
    return " ".join(" ".join(row.text for row in rows).split())


def test_the_thread_that_caused_the_freeze_comes_first(view: RunView) -> None:
    # As recorded, it may stand behind others, and behind other processes.
    view.snapshot.processes.reverse()
    for process in view.snapshot.processes:
        process.threads.reverse()
    threads = threads_of(view.snapshot)
    assert [thread.key for thread in threads] == [(2, 2), (2, 5), (2, 4), (7, 7)]
    assert [thread.cause for thread in threads] == [True, False, False, False]
    assert title_of(threads, 0) == "▶ thread 1 of 4 · pid 2 tid 2 · frozen at exit_group"
    assert title_of(threads, 2) == "thread 3 of 4 · pid 2 tid 4 · blocked in futex"
    assert title_of(threads, 3) == "thread 4 of 4 · pid 7 tid 7 · computing"
    assert title_of(threads, 4) == ""


def test_changes_are_marked_only_where_an_earlier_stop_was_recorded(view: RunView) -> None:
    threads = threads_of(view.snapshot)
    assert any(row.text.startswith(" *") for row in register_rows(view, threads[0], 80))
    rows = register_rows(view, threads[1], 80)
    assert any("v0    0xffffffff" in row.text for row in rows)
    assert not any(row.text.startswith(" *") for row in rows)
    assert "earlier stop were not recorded" in words(thread_rows(view, threads[1], 99))
    assert "nor its registers at an earlier stop" in words(thread_rows(view, threads[2], 99))
    assert not any("earlier stop" in row.text for row in thread_rows(view, threads[0], 99))


def test_what_a_thread_was_doing_and_what_the_record_lacks_is_said(view: RunView) -> None:
    threads = threads_of(view.snapshot)
    blocked = thread_rows(view, threads[1], 80)
    assert "syscall 7" in blocked[0].text
    assert blocked[0].links[0][2] == "ev:syscall/7"
    assert "not found in the emulator" in words(thread_rows(view, threads[2], 80))
    assert "of a moment before" in words(thread_rows(view, threads[3], 80))
    threads[1].process.threads[1].registers = {}  # type: ignore[union-attr]
    bare = threads_of(view.snapshot)[1]
    assert "No registers were recorded" in words(thread_rows(view, bare, 80))


def test_a_first_thread_that_its_process_outlives_is_shown_as_ended(view: RunView) -> None:
    thread = view.snapshot.processes[0].threads[1]
    thread.state, thread.call, thread.registers, thread.why = "ended", None, {}, "it has ended"
    shown = next(one for one in threads_of(view.snapshot) if one.thread is thread)
    assert shown.doing == "ended before the others"
    assert "it has ended" in words(thread_rows(view, shown, 80))


def test_a_thread_that_computed_for_long_says_so(view: RunView) -> None:
    thread = view.snapshot.processes[0].threads[1]
    thread.state, thread.call = "computing", None
    thread.computed = Computation(seconds=4.25, processor_seconds=4.0)
    shown = next(one for one in threads_of(view.snapshot) if one.thread is thread)
    assert shown.doing == "computing for 4.2 s"


def test_registers_of_another_process_point_into_its_own_memory(view: RunView) -> None:
    other = view.snapshot.processes[1]
    other.threads[0].registers["sp"] = view.snapshot.maps[0].start
    rows = register_rows(view, threads_of(view.snapshot)[3], 80)
    assert not any(row.links for row in rows), "this process has no mapping there"
    other.maps = [view.snapshot.maps[0]]
    row = next(row for row in register_rows(view, threads_of(view.snapshot)[3], 80) if row.target == "sp")
    start, end, link = row.links[0]
    assert link == f"ev:mem/7@0x{view.snapshot.maps[0].start:x}+0:4"
    assert row.text[start:end] == f"0x{view.snapshot.maps[0].start:08x}"


@pytest.mark.parametrize("width", [20, 60, 100])
def test_every_row_keeps_to_the_width(view: RunView, width: int) -> None:
    threads = threads_of(view.snapshot)
    for row in chooser_rows(threads, 1, width) if width > 30 else []:
        assert cell_len(row.text) <= width
    for one in threads:
        for row in thread_rows(view, one, width):
            assert cell_len(row.text) <= max(width, 33)


def test_endless_threads_are_bounded(view: RunView) -> None:
    many = [Thread(tid=number, registers={"pc": 1}) for number in range(3 * MAX_SHOWN)]
    view.snapshot.processes.append(Process(pid=9, threads=many))
    assert len(threads_of(view.snapshot)) == MAX_SHOWN


def test_a_record_without_threads_still_has_its_registers(view: RunView) -> None:
    view.snapshot.processes = []
    threads = threads_of(view.snapshot)
    assert len(threads) == 1
    assert title_of(threads, 0) == ""
    assert len(register_rows(view, threads[0], 80)) == len(view.snapshot.regs)
    empty = Snapshot(
        run_id="x",
        reason="unknown",
        created_at="",
        trigger=view.snapshot.trigger,
        target=view.snapshot.target,
    )
    assert threads_of(empty) == []


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_brackets_step_through_threads_and_come_round(app: TriageApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("6")
        await pilot.pause()
        assert "▶ thread 1 of 4 · pid 2 tid 2 · frozen at" in shown(app)
        assert "was 0x1057" in shown(app)
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert "thread 2 of 4 · pid 2 tid 4 · blocked in futex" in shown(app)
        assert "0x77d9f000" in shown(app)
        assert "was 0x1057" not in shown(app)
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert "No registers: its" in shown(app)
        await pilot.press("right_square_bracket", "right_square_bracket")
        await pilot.pause()
        assert "▶ thread 1 of 4" in shown(app)
        await pilot.press("left_square_bracket")
        await pilot.pause()
        assert "thread 4 of 4 · pid 7 tid 7 · computing" in shown(app)


async def test_the_cursor_stays_on_its_register(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("6")
        pane = app.main.query_one(RegistersPane)
        place = pane.rows.find(lambda row: row.target == "a0")
        assert place is not None
        pane.move_to(place)
        await pilot.press("right_square_bracket")
        assert pane.current is not None
        assert pane.current.target == "a0"


async def test_enter_chooses_a_thread_and_evidence_leads_back_to_the_first(
    app: TriageApp,
) -> None:
    async with app.run_test(size=(80, 30)) as pilot:
        await opened(pilot)
        await pilot.press("6", "end")
        pane = app.main.query_one(RegistersPane)
        assert pane.current is not None
        assert "pid 7 tid 7" in pane.current.text
        await pilot.press("enter")
        await until(pilot, lambda: pane.chosen == 3)
        assert "thread 4 of 4" in shown(app)
        app.main.follow("ev:reg/v0")
        await until(pilot, lambda: pane.marked)
        assert pane.chosen == 0
        assert "v0" in pane.rows.row(pane.marked[0]).text


async def test_the_key_says_when_there_is_one_thread_only(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.LOOP_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.LOOP_RUN)
        await pilot.press("6", "right_square_bracket")
        await until(pilot, lambda: "one thread only" in said(app))
        assert "next thread" not in shown(app)


async def test_another_reading_of_the_run_keeps_the_thread(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("6", "right_square_bracket")
        pane = app.main.query_one(RegistersPane)
        before = app.main.view
        app.main.load(fixtures.EXIT_RUN)
        await until(pilot, lambda: app.main.view is not before)
        assert pane.chosen == 1
        await pilot.press("n", "n")
        await until(pilot, lambda: app.main.view and app.main.view.run_id != fixtures.EXIT_RUN)
        await until(pilot, lambda: pane.chosen == 0)


def test_the_backtrace_has_the_frames_of_every_thread_in_turn(view: RunView) -> None:
    rows = backtrace_rows(view, 100)
    text = "\n".join(row.text for row in rows)
    assert text.index("udhcpc_main") < text.index("pid 2 tid 4 · blocked in futex")
    assert text.index("blocked in futex") < text.index("pthread_cond_wait") < text.index("0x00430a10")
    assert "tid 5" not in text, "nothing was recorded of it"
    for width in (20, 40, 100):
        for row in backtrace_rows(view, width)[5:]:
            assert row.text.isprintable()
            assert cell_len(row.text) <= max(width, 50)


def test_the_frames_of_endless_threads_are_bounded(view: RunView) -> None:
    frames = view.snapshot.backtrace.frames * 1000
    many = [Thread(tid=number, frames=frames) for number in range(3 * MAX_ROWS)]
    view.snapshot.processes.append(Process(pid=9, threads=many))
    assert len(backtrace_rows(view, 80)) < MAX_ROWS + 2 * MAX_FRAMES


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_brackets_step_from_stack_to_stack(app: TriageApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("4", "right_square_bracket")
        pane = app.main.query_one(BacktracePane)
        assert pane.current is not None
        assert "pid 2 tid 4" in pane.current.text
        await until(pilot, lambda: "0x77e52a14" in shown(app))
        code = app.main.code.frame
        await pilot.press("j", "enter")
        await until(pilot, lambda: "of the frozen thread only" in said(app))
        assert app.main.code.frame is code, "its frames are not taken for those of the frozen thread"
        assert app.main.active == "backtrace"
        await pilot.press("left_square_bracket")
        assert pane.cursor == 0
        await pilot.press("left_square_bracket")
        assert "pid 2 tid 4" in pane.current.text
