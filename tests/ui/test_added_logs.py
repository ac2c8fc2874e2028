"""Logs from elsewhere in the app: asked for with a key, shown in the timeline and below the output."""

from __future__ import annotations

from pathlib import Path

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, until
from triage_tui.runs.added_logs import read_index
from triage_tui.runs.adding_logs import add_log
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json
from triage_tui.ui.app import TriageApp
from triage_tui.ui.loading import load_view


async def test_a_log_is_asked_for(
    app: TriageApp, actions: RecordedActions, workspace: Path, tmp_path: Path
) -> None:
    path = tmp_path / "messages"
    path.write_text("x\n")
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("1", "I", *"/nowhere", "enter")
        assert app.main.open_line is not None
        app.main.open_line.field.value = str(path)
        await pilot.press("enter")
        await until(pilot, lambda: ("add_log", fixtures.EXIT_RUN, str(path)) in actions.calls)


def test_lines_stand_in_the_timeline_and_in_a_log_of_their_own(workspace: Path, tmp_path: Path) -> None:
    directory = workspace / "ai_runs" / fixtures.EXIT_RUN
    run = load_run(directory)
    for number, call in enumerate(run.snapshot.recent_syscalls):
        call.ts_mono_ns = (100 + number) * 10**9
    run.snapshot.trigger.ts_mono_ns = 10**12
    run.snapshot.trigger.ts_sec = 1_795_294_623
    write_atomic(directory / "snapshot.json", encode_json(run.snapshot))
    (directory / "trace.jsonl").unlink(missing_ok=True)
    path = tmp_path / "dmesg"
    path.write_text("[  101.500000] \x1b[1;31musb\x1b[0m: \x1b[2Jgone\n[    1.000000] boot\n")
    add_log(load_run(directory), path)
    view = load_view(directory, workspace)
    second = run.snapshot.recent_syscalls[1].seq
    assert any("dmesg: " in line and "usb: " in line for line in view.printed[second])
    assert not any("boot" in line for lines in view.printed.values() for line in lines)
    assert "\x1b" not in repr(view.printed) + repr(view.logs)
    name = read_index(load_run(directory)).logs[0].file.removeprefix("logs/")
    assert view.log_titles[name] == "Added log dmesg"
    assert view.logs[name][1].endswith("boot")
    # There, too, each line stands with its call.
    shown = [" ".join(line.text.lines(60)) for line in view.shown_lines[name]]
    usb = "[  101.500000] usb: \\x1b[2Jgone"
    assert shown == [f"{f'#{second}':<8}{usb}", "before  [    1.000000] boot"]
