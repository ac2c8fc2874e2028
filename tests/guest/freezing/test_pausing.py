"""Freezing real programs wherever they are, and letting them go on as if nothing had been."""

from __future__ import annotations

import signal
import tempfile
import threading
from pathlib import Path

import pytest

from tests.guest.helpers import carried, spec
from tests.programs import root_with
from triage_tui.guest.host import process, process_state
from triage_tui.guest.spec import TriggerLimits
from triage_tui.guest.supervisor import Guest

CALLS = {
    "read": {"read"},
    "poll": {"poll", "ppoll", "ppoll_time64"},
    "select": {"select", "_newselect", "pselect6", "pselect6_time64"},
    "epoll": {"epoll_wait", "epoll_pwait"},
    "recv": {"recv", "recvfrom"},
    "accept": {"accept", "accept4"},
    "futex": {"futex", "futex_time64"},
    "nanosleep": {"nanosleep", "clock_nanosleep", "clock_nanosleep_time64"},
}
# It is woken by a thread that looks for a file again and again, which is no failure here.
PATIENT = TriggerLimits(idle_s=60, time_limit_s=60, off=frozenset(("loop", "sleep_loop")))


def states(guest: Guest) -> set[str]:
    found = [process.thread_state(pid, tid) for pid in guest.processes() for tid in process.threads(pid)]
    return {state.state for state in found if state is not None}


@pytest.mark.usefixtures("each_carrier")
@pytest.mark.parametrize(
    ("arch", "kind"),
    [*(("arm", kind) for kind in CALLS), ("mipsel", "epoll"), ("mipsel", "recv"), ("aarch64", "epoll")],
)
def test_a_waiting_call_goes_on_after_a_freeze(qemu_dir: Path, tmp_path: Path, arch: str, kind: str) -> None:
    root = root_with(tmp_path, arch, "waits")
    ready = threading.Event()
    start = spec(root, qemu_dir, "/bin/waits", kind, triggers=PATIENT)
    with Guest.start(start, on_event=lambda what, _: ready.set() if what == "output" else None) as guest:
        frozen_in_it = 0
        while frozen_in_it < 3:
            stop = guest.run_until_stop(wanted=ready.is_set)
            if stop.reason != "requested":
                break
            assert states(guest) <= {"T", "t"}
            frozen_in_it += stop.trigger.syscall_name in CALLS[kind]
        if kind == "nanosleep":
            # It may end by itself meanwhile.
            assert frozen_in_it
        else:
            assert frozen_in_it == 3
        with tempfile.TemporaryFile() as empty:
            assert guest._cell.request("provide_file", b"/tmp/go", 0o644, empty.fileno()) == 0
        if guest.is_alive and stop.reason == "requested":
            stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 0)
        assert guest.output().splitlines()[-1] == f"{kind} 1 0".encode()
        assert guest.problems == []


@pytest.mark.usefixtures("carrier")
@carried("arch", "arm", "mipsel")
def test_a_parent_is_not_told_that_its_child_was_frozen(qemu_dir: Path, tmp_path: Path, arch: str) -> None:
    root = root_with(tmp_path, arch, "waits")
    ready = threading.Event()
    start = spec(root, qemu_dir, "/bin/waits", "poll", "child", triggers=PATIENT)
    with Guest.start(start, on_event=lambda what, _: ready.set() if what == "output" else None) as guest:
        for _ in range(3):
            assert guest.run_until_stop(wanted=ready.is_set).reason == "requested"
            assert len(guest.processes()) == 2
            assert states(guest) <= {"T", "t"}
        with tempfile.TemporaryFile() as empty:
            assert guest._cell.request("provide_file", b"/tmp/go", 0o644, empty.fileno()) == 0
        while b"told" not in guest.output():
            guest.run_until_stop(wanted=lambda: b"told" in guest.output())
        assert guest.output().splitlines()[-2:] == [b"poll 1 0", b"told 0 times"]


@pytest.mark.usefixtures("each_carrier")
def test_all_threads_stop_although_the_first_one_is_held(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "arm", "crowd")
    with Guest.start(spec(root, qemu_dir, "/bin/crowd", "8", "end", triggers=PATIENT)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 3)
        (pid,) = guest.processes()
        # The one that is held in front of its end waits for an answer.
        held = process.thread_state(pid, guest.tid)
        assert held is not None
        assert held.state in "tSD"
        others = [process.thread_state(pid, tid) for tid in process.threads(pid) if tid != guest.tid]
        assert {state.state for state in others if state is not None} == {"t"}
        assert len(process.threads(pid)) >= 9


@pytest.mark.usefixtures("each_carrier")
def test_computing_threads_are_frozen_on_request(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "arm", "crowd")
    ready = threading.Event()
    start = spec(root, qemu_dir, "/bin/crowd", "16", triggers=PATIENT)
    with Guest.start(start, on_event=lambda what, _: ready.set() if what == "output" else None) as guest:
        stop = guest.run_until_stop(wanted=ready.is_set)
        assert stop.reason == "requested"
        assert states(guest) <= {"T", "t"}
        assert "a person wanted it" in stop.trigger.detail


@pytest.mark.usefixtures("each_carrier")
@pytest.mark.parametrize("kind", ["compute", "call"])
def test_a_signal_to_go_on_does_not_undo_a_freeze(qemu_dir: Path, tmp_path: Path, kind: str) -> None:
    root = root_with(tmp_path, "arm", "goes_on")
    ready = threading.Event()
    start = spec(root, qemu_dir, "/bin/goes_on", kind, triggers=PATIENT)
    with Guest.start(start, on_event=lambda what, _: ready.set() if what == "output" else None) as guest:
        for _ in range(3):
            assert guest.run_until_stop(wanted=ready.is_set).reason == "requested"
            (pid,) = guest.processes()
            ran = [process.cpu_seconds(tid) for tid in process.threads(pid)]
            # The signal arrives, and stays with those that hold still.
            while "SIGCONT" not in process_state.mask(process_state.status(f"/proc/{pid}"), "ShdPnd"):
                assert states(guest) == {"t"}
                assert [process.cpu_seconds(tid) for tid in process.threads(pid)] == ran
            assert states(guest) == {"t"}
            assert [process.cpu_seconds(tid) for tid in process.threads(pid)] == ran
        with tempfile.TemporaryFile() as empty:
            assert guest._cell.request("provide_file", b"/tmp/go", 0o644, empty.fileno()) == 0
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 0)
        assert guest.output() == b"ready\nwent on\n"
        assert guest.problems == []


@pytest.mark.usefixtures("each_carrier")
def test_a_guest_that_is_killed_while_it_is_frozen_is_seen_to_be_gone(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "arm", "crowd")
    ready = threading.Event()
    start = spec(root, qemu_dir, "/bin/crowd", "4", triggers=PATIENT)
    with Guest.start(start, on_event=lambda what, _: ready.set() if what == "output" else None) as guest:
        assert guest.run_until_stop(wanted=ready.is_set).reason == "requested"
        (pid,) = guest.processes()
        process.send_signal(pid, signal.SIGKILL)
        stop = guest.run_until_stop()
        assert "SIGKILL" in stop.trigger.detail
        assert guest.processes() == []


@pytest.mark.usefixtures("each_carrier")
def test_what_the_guest_has_stopped_stays_so_after_a_freeze(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, "arm", "crowd")
    ready = threading.Event()
    start = spec(root, qemu_dir, "/bin/crowd", "4", triggers=PATIENT)
    with Guest.start(start, on_event=lambda what, _: ready.set() if what == "output" else None) as guest:
        guest.run_until_stop(wanted=ready.is_set)
        (pid,) = guest.processes()
        process.send_signal(pid, signal.SIGSTOP)
        guest.run_until_stop(wanted=lambda: states(guest) <= {"T", "t"})
        ran = sum(process.cpu_seconds(tid) for tid in process.threads(pid))
        looks = iter(range(20))
        guest.run_until_stop(wanted=lambda: next(looks, None) is None)
        # Four threads that compute would have used some hundred milliseconds; stopping costs microseconds.
        assert sum(process.cpu_seconds(tid) for tid in process.threads(pid)) - ran < 0.02
