"""A rule is asked about the call that it is named after, or the run says that it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import build, qemu_name, root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.calls.hookable import never_hookable
from triage_tui.guest.spec import TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource

PASS = b"function do_syscall() return 0, 0 end"
PATIENT = TriggerLimits(idle_s=10, time_limit_s=120, sleep_repeats=99)


def asked(tmp_path: Path, qemu_dir: Path, arch: str, *options: str) -> tuple[list[str], set[str], list[str]]:
    """Return the calls that the program makes, those that rules were asked about, and the problems."""
    root = root_with(tmp_path / "root", arch, "seldom")
    if options:
        (root / "bin/seldom").write_bytes(build("seldom", arch, *options).read_bytes())
    how = spec(root, qemu_dir, "/bin/seldom", triggers=PATIENT)
    with Guest.start(how) as guest:
        guest.run_until_stop()
        made = guest.output().decode().split()
    access = RuleAccess(by_name(qemu_name(arch)))
    sources = [RuleSource(name, name, PASS) for name in made]
    with RuleHost(sources, access) as host, Guest.start(how, host, access=access) as guest:
        assert guest.run_until_stop().exit_code == 0
        return made, {hit.rule for hit in host.hits() if hit.calls}, guest.problems


@pytest.mark.parametrize("arch", ["arm", "mipsel", "aarch64", "x86_64"])
def test_calls_that_are_seldom_made_can_be_hooked(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    made, seen, problems = asked(tmp_path, qemu_dir, arch)
    assert sorted(set(made) - seen) == []
    assert problems == []


@pytest.mark.parametrize("arch", ["arm", "x86_64"])
def test_calls_that_the_emulator_serves_unseen_are_named(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    made, seen, problems = asked(tmp_path, qemu_dir, arch, "-DSERVED")
    unseen = sorted(set(made) - seen)
    assert "brk" in unseen
    assert problems == [f"no rule is ever asked about {', '.join(unseen)}: no call of the host shows it"]


def test_a_name_that_no_kernel_has_is_named_and_one_of_a_driver_is_not() -> None:
    names = ["opne", "getsid", "ioctl", "syscall_4321", "bpf", "mmap2", "nice"]
    assert never_hookable(names) == {"opne"}
