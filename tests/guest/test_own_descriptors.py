"""A guest that names the descriptors of its emulator changes neither the record nor a decision."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.guest.helpers import QUICK, carried, spec
from tests.programs import build, root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.emulator import call_site
from triage_tui.guest.emulator.startup import EmulatorStart
from triage_tui.guest.freezing.triggers import CallTrigger
from triage_tui.guest.spec import LaunchSpec, ResourceLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource
from triage_tui.runs.model import Syscall

LOG = str(EmulatorStart(1024).first_fd + 3)


@pytest.fixture
def unknown_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have emulators be of a kind in which the place of the guest's own calls is not found."""
    monkeypatch.setattr(call_site, "_SITES", {})
    call_site._in_page.cache_clear()
    yield
    call_site._in_page.cache_clear()


def start_of(tmp_path: Path, qemu_dir: Path, mode: str, arch: str = "arm") -> LaunchSpec:
    return spec(root_with(tmp_path, arch, "own_fds"), qemu_dir, "/bin/own_fds", mode, LOG)


def markers(calls: list[Syscall]) -> list[str]:
    """Return what each call of the program was called, in the order of the record."""
    paths = [call.path or "" for call in calls]
    return [path.removeprefix("/after-") for path in paths if path.startswith("/after-")]


def said(guest: Guest) -> dict[str, int]:
    """Return name -> error number of what the program did."""
    lines = (line.split() for line in guest.output().decode().splitlines())
    return {name: int(number) for name, number in lines}


@pytest.mark.usefixtures("each_carrier")
def test_the_record_of_earlier_and_later_calls_stays(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "shorten")) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 5)
        assert markers(guest.history()) == ["before", "lseek", "ftruncate", "pwrite"]
        assert said(guest)["ftruncate"] != 0


@pytest.mark.usefixtures("each_carrier")
def test_what_would_change_the_emulators_descriptors_finds_none(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "use")) as guest:
        assert guest.run_until_stop().reason == "exit"
        told = said(guest)
        # The log cannot be read, so that the kernel itself refuses this.
        assert told.pop("mmap") == errno.EACCES
        assert told == dict.fromkeys(told, errno.EBADF)
        assert len(told) == 25
        assert set(markers(guest.history())) == {*told, "mmap"}
        refused = next(call for call in guest.history() if call.name == "ftruncate")
        assert refused.note == "refused by containment: a descriptor of the emulator"


@pytest.mark.usefixtures("each_carrier")
def test_a_number_that_is_not_open_is_nobodys(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "absent")) as guest:
        assert guest.run_until_stop().reason == "exit"
        assert said(guest) == dict.fromkeys(("open", "closed", "ftruncate", "write"), errno.EBADF)
        notes = [
            call.note
            for call in guest.history()
            if call.errno == "EBADF" and call.name in ("epoll_ctl", "ftruncate", "ftruncate64", "write")
        ]
        assert notes == ["refused by containment: a descriptor of the emulator", None, None, None]


@pytest.mark.usefixtures("each_carrier")
def test_the_emulators_descriptors_are_not_sent_to_where_they_have_other_numbers(
    tmp_path: Path, qemu_dir: Path
) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "send")) as guest:
        assert guest.run_until_stop().reason == "exit"
        assert said(guest) == {"send": errno.EBADF}
    with Guest.start(replace(start_of(tmp_path, qemu_dir, "send"), argv=["own_fds", "send", "0"])) as guest:
        assert guest.run_until_stop().reason == "exit"
        assert said(guest) == {"send": 0}


@pytest.mark.usefixtures("each_carrier")
def test_the_log_cannot_be_opened_once_more(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "open")) as guest:
        assert guest.run_until_stop().reason == "exit"
        told = said(guest)
        assert told.pop("usual") == 0
        assert len(told) == 7
        assert told == dict.fromkeys(told, errno.ENOENT)
        assert guest.problems == []


@pytest.mark.usefixtures("each_carrier")
def test_nor_by_another_name(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "hide")) as guest:
        assert guest.run_until_stop().reason == "exit"
        told = said(guest)
        assert (told.pop("usual"), told.pop("loop")) == (0, errno.ELOOP)
        assert len(told) == 4
        assert told == dict.fromkeys(told, errno.ENOENT)
        assert guest.problems == []


@pytest.mark.usefixtures("each_carrier")
def test_the_log_cannot_be_made_longer(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "lengthen")) as guest:
        assert guest.run_until_stop().reason == "exit"
        assert said(guest) == {"link": errno.ENOENT, "before": 0, "hidden": errno.ENOENT, "after": 0}


def closing(tmp_path: Path, qemu_dir: Path, mode: str, arch: str = "arm", **more: object) -> LaunchSpec:
    return spec(root_with(tmp_path, arch, "closes"), qemu_dir, "/bin/closes", mode, LOG, **more)


def failed(calls: list[Syscall]) -> list[tuple[str, str | None, str | None]]:
    """Return name, path and error of the calls that tell where the program is."""
    return [(c.name, c.path, c.errno) for c in calls if c.path and c.path.startswith(("/bin/none", "/late"))]


@pytest.mark.usefixtures("carrier")
@carried("arch", "arm", "mips", "aarch64")
def test_close_range_closes_what_is_the_guests_and_the_record_goes_on(
    tmp_path: Path, qemu_dir: Path, arch: str
) -> None:
    with Guest.start(closing(tmp_path, qemu_dir, "range", arch)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 5)
        # result, how many of 30 to 32 are open then, how many of them close at exec
        assert guest.output().decode().splitlines() == [
            "all 0 0 0",
            "large 0 1 0",
            "cloexec 0 3 2",
            "unshare 0 0 0",
            "both 0 3 2",
            "own 0 3 0",
            "wrong -1 3 0",
            "turned -1 3 0",
            "below 0 1 0",
            "end 0",
        ]
        history = guest.history()
        ranges = [call for call in history if call.name == "close_range"]
        assert [call.errno or call.ret for call in ranges] == [0, 0, 0, 0, 0, 0, "EINVAL", "EINVAL", *[0] * 5]
        assert ranges[0].args[:3] == [3, 0xFFFFFFFF, 0]
        for call in ranges:
            after = next(other for other in history if other.seq > call.seq and other.tid == call.tid)
            assert after.path
        access = "faccessat" if arch == "aarch64" else "access"
        assert failed(history) == [
            (name, f"/{what}-{kind}", "ENOENT")
            for kind in "fvfv"
            for name, what in (("execve", "bin/none"), (access, "late"))
        ]
        assert guest.problems == []


@pytest.mark.usefixtures("each_carrier")
def test_nor_does_it_where_only_watched_calls_are_observed(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(closing(tmp_path, qemu_dir, "range", observe="watched")) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 5)
        assert guest.output().decode().splitlines()[:2] == ["all 0 0 0", "large 0 1 0"]
        assert sum(call.name == "close_range" for call in guest.history()) == 13
        assert guest.problems == []


@pytest.mark.usefixtures("each_carrier")
@pytest.mark.parametrize("mode", ["loop", "listed"])
def test_who_closes_one_by_one_comes_to_an_end_and_the_record_goes_on(
    tmp_path: Path, qemu_dir: Path, mode: str
) -> None:
    limits = replace(QUICK, idle_s=60, time_limit_s=120, off=frozenset(("loop",)))
    # Fewer calls kept than descriptors closed.
    few = ResourceLimits(history=1000)
    with Guest.start(closing(tmp_path, qemu_dir, mode, triggers=limits, limits=few)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 5)
        told = {"closed": 0, "dup2": errno.EBADF, "dup3": errno.EBADF} if mode == "loop" else {"listed": 0}
        assert said(guest) == {**told, "end": 0}
        assert markers(guest.history()) == [*told, "end"]
        assert guest.problems == []


def halfway(tmp_path: Path, qemu_dir: Path) -> Guest:
    """Return a guest that is frozen in front of its call of ftruncate."""
    limits = replace(QUICK, calls=(CallTrigger("ftruncate"), CallTrigger("ftruncate64")))
    guest = Guest.start(replace(start_of(tmp_path, qemu_dir, "shorten"), triggers=limits))
    guest.run_until_stop()
    return guest


def test_only_its_owner_could_open_the_log(tmp_path: Path, qemu_dir: Path) -> None:
    with halfway(tmp_path, qemu_dir) as guest:
        assert os.stat(f"/proc/{guest.pid}/fd/{LOG}").st_mode & 0o777 == 0o400


def test_a_log_that_was_made_longer_is_read_on_where_it_has_text(tmp_path: Path, qemu_dir: Path) -> None:
    with halfway(tmp_path, qemu_dir) as guest:
        os.truncate(f"/proc/{guest.pid}/fd/{LOG}", (1 << 40) + 5)
        assert guest.run_until_stop().reason == "exit"
        assert markers(guest.history()) == ["before", "lseek", "ftruncate", "pwrite"]
        assert guest.history()[-1].name == "exit_group"
        assert guest.problems == [
            "the program made its emulator's log longer: calls may be missing from the record"
        ]


def test_an_open_that_reaches_the_log_is_told(tmp_path: Path, qemu_dir: Path) -> None:
    with halfway(tmp_path, qemu_dir) as guest:
        with open(f"/proc/{guest.pid}/fd/{LOG}", "rb"):
            assert guest.run_until_stop().reason == "exit"
        assert guest.problems == [
            "the program opened its emulator's log: what the record says of its calls may be its own"
        ]


@pytest.mark.usefixtures("each_carrier", "unknown_emulator")
def test_what_is_refused_does_not_depend_on_the_log(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "disturb")) as guest:
        assert guest.run_until_stop().reason == "exit"
        told = said(guest)
        assert (told["mount"], told["kill"]) == (errno.EPERM, errno.EPERM)


@pytest.mark.usefixtures("each_carrier", "unknown_emulator")
def test_a_rule_that_cannot_be_asked_is_a_problem(tmp_path: Path, qemu_dir: Path) -> None:
    rule = b"function do_syscall() return 1, 1234 end"
    access = RuleAccess(by_name("arm"))
    names = ("getuid", "getuid32")
    sources = [RuleSource(f"rule-{name}", name, rule) for name in names]
    with (
        RuleHost(sources, access) as host,
        Guest.start(start_of(tmp_path, qemu_dir, "disturb"), host, access=access) as guest,
    ):
        assert guest.run_until_stop().reason == "exit"
        if said(guest)["uid"] != 1234:
            assert any(problem.startswith("no rule was asked about a getuid") for problem in guest.problems)


@pytest.mark.usefixtures("carrier")
@carried("arch", "arm", "mips", "aarch64")
def test_the_log_takes_no_text_of_a_programs_own(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "forge", arch)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 5)
        assert said(guest) == {"before": 0, "write": errno.EBADF}
        assert guest.problems == []
        assert "whether" not in {what.split()[0] for what, _why in guest.not_observed()}
        writes = [call for call in guest.history() if call.name == "write" and int(call.arguments[0]) > 1024]
        assert len(writes) == 67
        assert {call.errno for call in writes} == {"EBADF"}
        of_log = [call for call in writes if call.arguments[0] == LOG]
        assert {call.note for call in of_log} == {"refused by containment: a descriptor of the emulator"}
        assert "/forged" not in {call.path for call in guest.history()}


def test_nor_does_that_of_a_program_for_another_machine(tmp_path: Path, qemu_dir: Path) -> None:
    started = start_of(tmp_path, qemu_dir, "forge")
    assert started.rootfs is not None
    shutil.copy(build("own_fds", "mips64el"), started.rootfs / "bin" / "other")
    with Guest.start(replace(started, argv=["own_fds", "forge", LOG, "/bin/other"])) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 5)
        assert guest.history()[-1].arch == "mips64el"
        assert guest.problems == []
        assert "/forged" not in {call.path for call in guest.history()}


def test_a_rule_that_hooks_write_is_asked_and_the_log_stays_the_emulators(
    tmp_path: Path, qemu_dir: Path
) -> None:
    access = RuleAccess(by_name("arm"))
    sources = [RuleSource("one", "write", b"function do_syscall() return 0 end")]
    with (
        RuleHost(sources, access) as host,
        Guest.start(start_of(tmp_path, qemu_dir, "forge"), host, access=access) as guest,
    ):
        assert guest.run_until_stop().reason == "exit"
        assert said(guest) == {"before": 0, "write": errno.EBADF}
        assert "/forged" not in {call.path for call in guest.history()}


@pytest.mark.usefixtures("each_carrier", "unknown_emulator")
def test_who_writes_to_the_log_is_named_in_the_record(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "forge")) as guest:
        assert guest.run_until_stop().reason == "exit"
        assert [problem for problem in guest.problems if "of its own making" in problem] == guest.problems
        assert len(guest.problems) == 2
        ((what, why), _child) = guest.not_observed()
        assert what == "whether process 2 made the calls that the trace has of it"
        assert "may be its log" in why


def test_a_program_that_writes_elsewhere_is_not_suspected(tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(start_of(tmp_path, qemu_dir, "shorten")) as guest:
        guest.run_until_stop()
        assert guest.not_observed() == ()
