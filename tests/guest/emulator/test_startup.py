"""What the emulator's own start-up leaves in a guest's view: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import qemu_name, root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource

RULE = b"""function after_syscall(num, ret, path)
  c_log(c_read_string(path) .. " " .. ret)
  return 1, ret
end"""


@pytest.mark.parametrize("arch", ["arm", "mips", "x86_64"])
def test_a_path_is_looked_for_once_and_where_it_leads(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    root = root_with(tmp_path / "root", arch, "looks")
    for prefix in (f"etc/qemu-binfmt/{qemu_name(arch)}", "usr/gnemul", "etc"):
        (root / prefix / "etc").mkdir(parents=True, exist_ok=True)
        (root / prefix / "etc/named").write_text(f"in {prefix}")
    (root / "etc/named").write_text("its own")
    access = RuleAccess(by_name(qemu_name(arch)))
    for path, said, result in (("/etc/named", "its own", "0"), ("/etc/none", "", "-2")):
        how = spec(root, qemu_dir, "/bin/looks", path)
        with (
            RuleHost([RuleSource("r", "access", RULE)], access) as host,
            Guest.start(how, host, access=access) as guest,
        ):
            assert guest.run_until_stop().exit_code == 0
            number = 0 if result == "0" else 2
            assert guest.output().decode() == f"access {min(0, -number) and -1} {number}\nread {said}\n"
            assert guest.rule_log == [f"{path} {result}"]
            assert guest.problems == []
