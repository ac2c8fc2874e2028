"""A rule that is approved on a run of SFEmu acts on a real program that its rule directory then runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.guest.helpers import spec
from tests.sfemu.loader import LOADER
from tests.sfemu.records import rules_directory, write_run
from tests.sfemu.scenes import mips_scene
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.supervisor import Guest
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.addresses import AddressNames
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches
from triage_tui.sfemu import rules_dir
from triage_tui.sfemu.running.directory import DirectoryHost
from triage_tui.sfemu.running.opened import Opened

ENTRY = f"""local function loads(...)
{LOADER}
end
loads(debug.getinfo(1, "S").source:match("@?(.*/)"), false, c_log)
"""
RULE = b"""-- triage-rule: 1
-- id: fix-openat-1
-- hit-limit: 2

function do_syscall(num, a1, a2)
  if c_read_string(a2) == "/etc/answered" then
    return 1, -c_errno("ETIMEDOUT")
  end
  return 0, 0
end

function after_syscall(num, ret, a1, a2)
  if c_read_string(a2) == "/etc/changed" then
    return 1, -c_errno("ELOOP")
  end
  return 0, 0
end
"""
BASELINE = """function do_syscall(num, a1, a2)
  return c_read_string(a2, 12) == "/etc/hidden", -13
end
"""


def test_an_approved_rule_acts_and_so_does_what_it_hides(
    tmp_path: Path, qemu_dir: Path, rootfs: Callable[[str], Path]
) -> None:
    rules = rules_directory(tmp_path / "rules")
    (rules / "entry.lua").write_text(ENTRY)
    (rules / "syscall" / "openat.lua").write_text(BASELINE)
    run_id = write_run(rules, mips_scene()).name
    workspace = Workspace.at(rules)
    run = workspace.load(run_id)
    assert run.snapshot.target.arch == "mipsel"
    name = "fix/syscall/openat@fix-openat-1.lua"
    patches.write_rule(run.dir, name, RULE)
    LocalActions(workspace, "ann").approve(run_id, [name])

    machine, names = by_name("mipsel"), AddressNames()
    access = RuleAccess(machine, names.describe, names.callers)
    files = ("/etc/answered", "/etc/changed", "/etc/hidden")
    how = spec(rootfs("busybox-mipsel"), qemu_dir, "/bin/busybox", "cat", *files)
    found = rules_dir.find(rules)
    assert found is not None
    opened = Opened.of(found, machine, how, idle_ms=0, keep=0, has_stack=False)
    host = DirectoryHost(opened, access, asks_person=False)
    try:
        with Guest.start(how, host, access=access) as guest:
            host.attach(guest)
            guest.run_until_stop()
            said, log = guest.output().decode(), list(guest.rule_log)
    finally:
        host.close()
    # The numbers of these errors are others on MIPS.
    assert [line.rpartition(": ")[2] for line in said.splitlines()] == [
        "Connection timed out",
        "Too many levels of symbolic links",
        "Permission denied",
    ], log
