"""Rules learn the function names of a real guest's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.supervisor import Guest
from triage_tui.retry.addresses import AddressNames
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource

RULE = b"""
function do_syscall(num, ...)
    local info, rc = c_resolve_addr((c_get_reg("pc")))
    c_log(("%s %s %s %d"):format(info.func_name, info.module_name, info.map_path, rc))
    local at = info.func_entry + info.func_offset
    c_log(tostring(at == info.analysis_addr and info.func_size > info.func_offset))
    c_log(tostring(select(2, c_resolve_addr(16))))
    return 0, 0
end
"""


@pytest.mark.parametrize("arch", ["arm", "mips", "riscv64"])
def test_the_function_that_calls_is_named(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    access = RuleAccess(by_name(arch), AddressNames().describe)
    name = "open" if arch not in ("riscv64",) else "openat"
    rules = [RuleSource("r", one, RULE) for one in dict.fromkeys((name, "openat"))]
    with (
        RuleHost(rules, access) as host,
        Guest.start(
            spec(root_with(tmp_path, arch, "chain"), qemu_dir, "/bin/chain"), host, access=access
        ) as guest,
    ):
        assert guest.run_until_stop().exit_code == 9
        first, consistent, nowhere = guest.rule_log[:3]
    function, module, path, rc = first.split()
    assert "open" in function or "syscall" in function
    assert (module, path, rc) == ("chain", "/bin/chain", "0")
    assert (consistent, nowhere) == ("true", "-2")


SIGNATURE = b"""
function do_syscall(num, ...)
    local names = {}
    for _, frame in ipairs(c_callers()) do
        names[#names + 1] = (frame.module_name or "?") .. "!" .. (frame.func_name or "?")
    end
    c_log(table.concat(names, " "))
    c_log(tostring(c_called_from("chain", "inner")) .. " " .. tostring(c_called_from(nil, "inner")))
    c_log(tostring(c_called_from("chain", "main_")) .. " " .. tostring(c_called_from("other", "inner")))
    c_log(#c_callers(1))
    return 0, 0
end
"""


@pytest.mark.parametrize("arch", ["arm", "mips", "aarch64"])
def test_a_rule_can_ask_from_where_a_call_is_made(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    names = AddressNames()
    access = RuleAccess(by_name(arch), names.describe, names.callers)
    rules = [RuleSource(one, one, SIGNATURE) for one in ("open", "openat")]
    how = spec(root_with(tmp_path, arch, "chain"), qemu_dir, "/bin/chain")
    with RuleHost(rules, access) as host, Guest.start(how, host, access=access) as guest:
        assert guest.run_until_stop().exit_code == 9
        stack, here, elsewhere, one = guest.rule_log[:4]
    # The first frame is the C library's; `inner` calls it.
    assert stack.split()[1] == "chain!inner"
    assert (here, elsewhere, one) == ("true true", "false false", "1")
