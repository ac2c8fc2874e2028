"""Reading the clock reaches no host call, and a rule sees it all the same, on every architecture."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import qemu_name, root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.calls.served_calls import CLOCKS
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource

ANOTHER_TIME = b"""
function after_syscall(num, ret, a1, a2)
  if ret < 0 then return 0, 0 end
  if __syscall_name == "time" then return 1, 86400 end
  local guest = c_guest_info()
  local size = __syscall_name == "clock_gettime64" and 8 or guest.word
  local number = guest.order .. "i" .. size
  local at = __syscall_name == "gettimeofday" and a1 or a2
  c_write_bytes(at, string.pack(number, 86400) .. string.pack(number, 5))
  return 0, 0
end
"""


def run(root: Path, qemu_dir: Path, arch: str, *argv: str, **more: object) -> tuple[str, list[str]]:
    """Return what the program wrote with a rule on each call that reads the clock, and the run's problems."""
    access = RuleAccess(by_name(qemu_name(arch)))
    rules = [RuleSource(name, name, ANOTHER_TIME) for name in sorted(CLOCKS)]
    how = spec(root, qemu_dir, *argv, **more)
    with RuleHost(rules, access) as host, Guest.start(how, host, access=access) as guest:
        assert guest.run_until_stop().exit_code == 0
        return guest.output().decode(), guest.problems


@pytest.mark.parametrize("arch", ["mips", "ppc", "thumb", "aarch64", "s390x", "x86_64"])
def test_every_reading_of_the_clock_can_be_changed(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    root = root_with(tmp_path / "root", arch, "clocks")
    output, problems = run(root, qemu_dir, arch, "/bin/clocks")
    lines = [line.split() for line in output.splitlines()]
    assert len(lines) >= 2
    assert [line[1:] for line in lines] == [
        ["86400"] if line[0] == "time" else ["86400", "5"] for line in lines
    ]
    assert problems == []


def test_where_calls_are_not_logged_the_run_says_that_no_rule_sees_them(
    tmp_path: Path, qemu_dir: Path
) -> None:
    root = root_with(tmp_path / "root", "mips", "clocks")
    output, problems = run(root, qemu_dir, "mips", "/bin/clocks", observe="watched")
    assert " 5\n" not in output
    assert problems == [
        f"no rule is ever asked about {', '.join(sorted(CLOCKS))}: no call of the host shows it"
    ]
