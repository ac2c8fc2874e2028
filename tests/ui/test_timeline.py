"""The rows of the syscall timeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.runs.build import write_run
from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.runs.model import Loop, Printed, Syscall
from triage_tui.runs.reader import load_run
from triage_tui.ui.app import TriageApp
from triage_tui.ui.call_rows import OutputLine, Timeline
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.syscalls import SyscallsPane
from triage_tui.ui.run_view import RunView
from triage_tui.ui.timeline_rows import TimelineRows

_TEXT = b"one\n\x1b]52;c;AAAA\x07two\nthree\n"


def _view(tmp_path: Path, calls: list[Syscall], text: bytes = b"", **more: Any) -> RunView:
    run_dir = write_run(tmp_path / "ai_runs", calls, **more)
    (run_dir / "logs/stdout.log").write_bytes(text)
    return load_view(run_dir, tmp_path)


def _printing(seq: int, offset: int, size: int) -> Syscall:
    place = Printed(stream="stdout", offset=offset, size=size)
    return Syscall(seq=seq, name="write", arguments=["1"], ret=size, printed=place, pid=2, tid=2)


def test_output_stands_below_the_call_that_printed_it(tmp_path: Path) -> None:
    calls = [Syscall(seq=n, name="getpid", ret=2, pid=2, tid=2) for n in range(1, 7)]
    first = _TEXT.index(b"three")
    calls[1] = _printing(2, 0, first)
    calls[4] = _printing(5, first, 6)
    view = _view(tmp_path, calls, _TEXT)
    rows = TimelineRows(Timeline.of(view), range(6), with_output=True)
    targets = [rows.row(index).target for index in range(len(rows))]
    assert targets == [1, 2, OutputLine(2, 0), OutputLine(2, 1), 3, 4, 5, OutputLine(5, 0), 6]
    assert [rows.index_of(at) for at in range(6)] == [0, 1, 4, 5, 6, 8]
    text = "\n".join(rows.row(index).text for index in range(len(rows)))
    assert "┃ \\x1b]52;c;AAAA\\x07two" in text
    assert "\x1b" not in text
    assert len(TimelineRows(rows.line, range(6), with_output=False)) == 6
    some = TimelineRows(rows.line, [0, 4], with_output=True)
    assert [some.row(index).target for index in range(len(some))] == [1, 5, OutputLine(5, 0)]


def test_each_round_of_a_loop_is_bracketed_across_output_and_other_threads(tmp_path: Path) -> None:
    calls = [Syscall(seq=seq, name="read", pid=2, tid=2, ret=0) for seq in range(1, 10)]
    calls[3] = Syscall(seq=4, name="futex", pid=2, tid=5, ret=0)
    calls[2] = _printing(3, 0, 4)
    loop = Loop(period=2, repeats=7, first_seq=2, last_seq=8, tid=2, round_seqs=[2, 5, 7])
    view = _view(tmp_path, calls, _TEXT, loop=loop)
    rows = TimelineRows(Timeline.of(view), range(9), with_output=True)
    rows.layout(140)
    assert "".join(rows.row(index).text[0] for index in range(len(rows))) == " ╭╰ ┊╭╰╭╰ "
    assert "round 7 of 7" in rows.row(rows.index_of(6)).text
    assert "round 5 of 7" in rows.row(1).text


def test_threads_and_times_have_columns_where_there_are_several(tmp_path: Path) -> None:
    calls = [
        Syscall(seq=1, name="a", pid=2, tid=2, ts_mono_ns=1_000_000_000),
        Syscall(seq=2, name="b", pid=2, tid=13, ts_mono_ns=1_250_000_000),
        Syscall(seq=3, name="c", pid=7, tid=7, ts_mono_ns=1_250_010_000),
    ]
    rows = TimelineRows(Timeline.of(_view(tmp_path, calls)), range(3), with_output=True)
    rows.layout(120)
    words = [rows.row(index).text.split() for index in range(3)]
    assert words[0][:3] == ["1", "0.0ms", "2"]
    assert words[1][:4] == ["2", "250.0ms", "+250.0ms", "2/13"]
    assert words[2][:3] == ["3", "250.0ms", "7"], "calls read together have no time between them"
    rows.layout(80)
    assert "+250" not in rows.row(1).text


async def test_output_is_found_hidden_and_opened_in_the_app(app: TriageApp, workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / fixtures.EXIT_RUN
    sizes = [call.ret or 0 for call in load_run(run_dir).trace() if call.name == "write"]
    (run_dir / "logs/guest.log").write_bytes(b"no such interface\n".rjust(sum(sizes), b"."))
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("3")
        pane = app.main.query_one(SyscallsPane)
        await until(pilot, lambda: "┃ " in shown(app) and "no such interface" in shown(app))
        count = len(pane.rows)
        await pilot.press("slash", *"interface", "enter")
        await until(pilot, lambda: "no such interface" in shown(app))
        place = pane.rows.find(lambda row: isinstance(row.target, OutputLine))
        assert place is not None
        pane.move_to(place)
        await pilot.press("enter")
        await until(pilot, lambda: "printed" in shown(app) and app.screen is not app.main)
        await pilot.press("escape", "escape", "t")
        await until(pilot, lambda: len(pane.rows) == 14 < count)
        assert "┃ " not in shown(app)
        await pilot.press("slash", *"tid:q")
        await until(pilot, lambda: "tid: wants a number" in shown(app))
        assert said(app) == ""
