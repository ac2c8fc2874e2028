"""Who ended a process: the program, a signal, or an emulator that failed."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import QUICK, shell, spec
from tests.programs import root_with
from triage_tui.guest.emulator.qemu import qemu_version
from triage_tui.guest.spec import LaunchSpec, TriggerLimits
from triage_tui.guest.supervisor import Guest

_PATIENT = TriggerLimits(time_limit_s=120, off=frozenset(("loop", "sleep_loop", "idle")))


def test_a_failure_of_the_emulator_is_not_passed_off_as_the_programs(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "i386", "accepts")
    with Guest.start(spec(root, qemu_dir, "/bin/accepts")) as guest:
        stop = guest.run_until_stop()
        if int(qemu_version(qemu_dir / "qemu-i386-static").split(".")[0]) > 7:
            assert (stop.reason, stop.exit_code) == ("exit", 3)
            return
        assert (stop.reason, stop.exit_code, stop.ended) == ("emulator", None, False)
        assert stop.trigger.detail.startswith("the emulator failed: qemu-i386")
        assert "Assertion" in stop.trigger.detail
        assert guest.registers()[guest.arch.pc]
        assert guest.run_until_stop().ended


def test_without_the_emulators_log_the_same_program_goes_on(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "i386", "accepts")
    watched: LaunchSpec = spec(root, qemu_dir, "/bin/accepts", observe="watched")
    with Guest.start(watched) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 3)


@pytest.mark.parametrize("observe", ["full", "watched"])
def test_a_program_that_prints_the_emulators_words_ended_by_itself(
    qemu_dir: Path, tmp_path: Path, observe: str
) -> None:
    root = root_with(tmp_path, "i386", "accepts")
    with Guest.start(spec(root, qemu_dir, "/bin/accepts", "i386", observe=observe)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 127)


def test_a_main_process_that_was_killed_is_named_whoever_called_last(
    rootfs: Callable[[str], Path], qemu_dir: Path
) -> None:
    argv = shell("(while :; do /bin/busybox true; done) | read x")
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv, triggers=_PATIENT)) as guest:
        main = guest.processes_known.main
        assert main is not None

        def kill_main() -> bool:
            if guest.trace.history and guest.trace.history[-1].pid != main.inner:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(main.pid, signal.SIGKILL)
            return False

        stop = guest.run_until_stop(wanted=kill_main)
        assert (stop.reason, stop.signal) == ("signal", "SIGKILL")
        assert (stop.trigger.pid, stop.trigger.ended) == (main.inner, True)
        (last,) = [call for call in guest.trace.history if call.seq == stop.trigger.seq]
        assert last.pid == main.inner


def test_a_process_that_is_about_to_die_has_not_ended(rootfs: Callable[[str], Path], qemu_dir: Path) -> None:
    argv = shell("kill -SEGV $$")
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv, triggers=QUICK)) as guest:
        assert not guest.run_until_stop().trigger.ended
        assert guest.run_until_stop().trigger.ended
