"""What processes do at signals, read from the table of the emulator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import ARCHES, root_with
from triage_tui.cli.processes import show_processes
from triage_tui.guest.freezing.triggers import CallTrigger, TriggerLimits
from triage_tui.guest.record.capture import capture
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Engine
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import RunWriter

WAITING = TriggerLimits(calls=(CallTrigger("pause"), CallTrigger("ppoll")), idle_s=60, time_limit_s=120)


def record(tmp_path: Path, qemu_dir: Path, arch: str, program: str, *words: str) -> Run:
    root = root_with(tmp_path / "root", arch, program)
    with Guest.start(spec(root, qemu_dir, f"/bin/{program}", *words, triggers=WAITING)) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "syscall"
        writer = RunWriter(tmp_path / "runs")
        capture(guest, stop, writer, target=guest.target, engine=Engine())
        return load_run(writer.publish())


@pytest.mark.parametrize("arch", ARCHES)
def test_the_handler_of_a_fatal_signal_has_a_name(arch: str, tmp_path: Path, qemu_dir: Path) -> None:
    """The kernel knows nothing of it: the emulator catches this signal for itself."""
    run = record(tmp_path, qemu_dir, arch, "handles", "SIGSEGV")
    (process,) = run.snapshot.processes
    (action,) = process.signal_actions
    assert (action.signal, action.action, action.func_name) == ("SIGSEGV", "handle", "on_fault")
    assert (action.module_name, action.flags[:1]) == ("handles", ["SA_SIGINFO"])
    assert "SA_RESTART" in action.flags
    assert any(entry.start <= action.addr < entry.end for entry in run.snapshot.maps)


@pytest.mark.parametrize("arch", ["arm", "mipsel", "x86_64"])
def test_several_actions(
    arch: str, tmp_path: Path, qemu_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("SIGSEGV", "-SIGTERM", "SIGABRT", "-SIGBUS", "SIGCHLD")
    run = record(tmp_path, qemu_dir, arch, "handles", *words)
    (process,) = run.snapshot.processes
    actions = {entry.signal: entry.action for entry in process.signal_actions}
    wanted = {word.lstrip("-"): "ignore" if word.startswith("-") else "handle" for word in words}
    assert actions == wanted
    show_processes(run)
    shown = capsys.readouterr().out
    for name in ("SIGSEGV", "SIGABRT", "SIGCHLD"):
        assert re.search(
            rf"handles {name} at 0x[0-9a-f]+ handles\+0x[0-9a-f]+ \(on_fault\) SA_SIGINFO", shown
        )
    assert "handles SIGTERM" not in shown


@pytest.mark.parametrize("arch", ARCHES)
def test_everything_that_can_be_ignored(arch: str, tmp_path: Path, qemu_dir: Path) -> None:
    run = record(tmp_path, qemu_dir, arch, "signals")
    (process,) = run.snapshot.processes
    handled = [entry.signal for entry in process.signal_actions if entry.action == "handle"]
    ignored = {entry.signal for entry in process.signal_actions if entry.action == "ignore"}
    assert handled == ["SIGUSR1"]
    assert {"SIGSEGV", "SIGTERM", "SIGCHLD", "SIGPIPE", *process.ignored_signals} - {"SIGSTKFLT"} <= ignored


def test_without_a_handler_nothing_is_said(tmp_path: Path, qemu_dir: Path) -> None:
    run = record(tmp_path, qemu_dir, "arm", "handles")
    (process,) = run.snapshot.processes
    assert process.signal_actions == []
    assert not any("signal" in item.what for item in run.snapshot.unavailable)
