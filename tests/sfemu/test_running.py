"""A rule directory of SFEmu that uses every helper and every hook, with real guests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import qemu_name, root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls import returns
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.spec import TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.retry.addresses import AddressNames
from triage_tui.sfemu import rules_dir
from triage_tui.sfemu.running.directory import DirectoryHost
from triage_tui.sfemu.running.opened import Opened

RULES = Path(__file__).with_name("rules")
PATIENT = TriggerLimits(idle_s=20, time_limit_s=120, sleep_repeats=99)
PROGRAM = "/bin/sfemu_calls"


@contextmanager
def guest_of(
    tmp_path: Path,
    qemu_dir: Path,
    arch: str,
    parts: str,
    *,
    asks_person: bool = False,
    idle_ms: int = 0,
    triggers: TriggerLimits = PATIENT,
    place: str = "rules",
) -> Iterator[tuple[Guest, DirectoryHost]]:
    """Start the test program with `parts`, under the rule directory of the tests."""
    directory = tmp_path / place
    shutil.copytree(RULES, directory)
    root = root_with(tmp_path / "root", arch, "sfemu_calls")
    names, machine = AddressNames(), by_name(qemu_name(arch))
    access = RuleAccess(machine, names.describe, names.callers)
    env = {"WORD": "guest"}
    how = spec(root, qemu_dir, PROGRAM, *parts.split(), triggers=triggers, env=env)
    found = rules_dir.find(directory)
    assert found is not None
    (rules_dir.made_home(found) / "target_id").write_text("kept\n")
    opened = Opened.of(found, machine, how, idle_ms=idle_ms, keep=256, has_stack=True)
    host = DirectoryHost(opened, access, asks_person=asks_person)
    try:
        with Guest.start(how, host, access=access) as guest:
            host.attach(guest)
            yield guest, host
    finally:
        host.close()


def said(guest: Guest, start: str) -> list[str]:
    return [line.removeprefix(start) for line in guest.rule_log if line.startswith(start)]


PARTS = "helpers answer float made written error high count fork fake wait plain again quit"
SHAPES = """
c_get_timestamp integer,integer|c_read_string string,integer|c_read_guest_string string,integer
c_read_guest_u32 integer,integer|c_read_guest_u64 integer,integer|c_read_guest_bytes string,integer
c_write_guest_u32 integer|c_write_guest_u64 integer|c_write_bytes integer,integer
c_write_guest_bytes integer,integer|c_list_regs table|c_get_reg integer,integer,integer
c_set_reg integer,integer|c_g2h userdata|c_h2g integer|c_resolve_addr table,integer
c_resolve_host_addr table,integer|c_get_shadowstack table|c_async_probe_http boolean,integer
c_watchdog_suspend boolean,integer|c_mkdir_p boolean,integer|c_open_host integer
"""


@pytest.mark.parametrize("arch", ["thumb", "mips", "aarch64"])
def test_every_helper_and_hook(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    with guest_of(tmp_path, qemu_dir, arch, PARTS) as (guest, host):
        stop = guest.run_until_stop()
        log, problems = list(guest.rule_log), list(guest.problems)
        assert (stop.reason, stop.exit_code) == ("exit", 21), "\n".join([*log, *problems])
        lines = guest.output().decode().splitlines()
        hits = {hit.syscall: hit for hit in host.hits()}
        trace = guest.full_trace()
    assert problems == []
    # Each helper gives what SFEmu's gives, in number and kind.
    shapes = dict(line.split(" ") for line in said(guest, "helper "))
    assert shapes == dict(line.split(" ") for part in SHAPES.split("\n") for line in part.split("|") if line)
    assert [line for line in said(guest, "check ") if not line.endswith(" ok")] == []
    assert said(guest, "order ") == [">" if arch == "mips" else "<"] * 2
    cut = lines.index(f"again 1 the-tag {len(PARTS.split()) + 1}")
    first, again = lines[:cut], lines[cut + 1 :]
    fork = {"count 2 0", "child 3 0", "parent 3 0"}
    assert set(first) - fork == {
        "helpers 7 0", "answer -1 13", "float 0 0", "made 0 0", "from a rule", "error -1 2",
        "high -1 12" if arch == "mips" else "high 1 0", "count 1 0", "fake_read 16 0",
        "fake_text played by a rule", "fake_end 0 0", "fake_close 0 0",
        "fake_there 0 0", "wait 0 0", "plain -1 2", *(line for line in first if line.startswith("written "))
    }  # fmt: skip
    # A forked child has a copy of its parent's Lua.
    assert fork <= set(first)
    # It opened what the rule made of the path; the program that was started again has a fresh Lua state.
    assert any(line.startswith("written ") and not line.startswith("written -1") for line in first)
    assert [line for line in again if line.startswith("count")] == ["count 1 0", "count 2 0"]
    # Registers are those of the call that is asked about, whatever the thread does in between.
    assert said(guest, "still at ") == ["sfemu_calls true"] * 2
    assert said(guest, "made ")[0].startswith("written=12 opened=true refused=-14")
    # A 32-bit pointer from 0x80000000 on; MIPS has none in user space.
    assert said(guest, "high pointer ")[:1] == {"thumb": ["negative"], "mips": []}.get(arch, ["positive"])
    assert said(guest, "waited ")[0] == "false -5"
    assert "error in entry()" in "\n".join(log)
    assert any("reexec 1 of at most 3" in line and "the-tag" in line for line in log)
    # finish: after answered calls, and after those that were made.
    finished = said(guest, "finish ")
    assert "/sfemu/answer number -13 true" in finished
    assert "/sfemu/plain number -2 false" in finished
    assert "of an end" not in finished
    # What it wrote: its own records are there, the rest went with the guest.
    calls = dict(line.split(" ") for line in (tmp_path / "rules/cache/calls.txt").read_text().splitlines())
    assert "unnamed" in calls
    assert int(calls["openat"]) == by_name(qemu_name(arch)).syscall_nr("openat")
    assert (tmp_path / "rules/cache/ai_runs/20260102_030405_00000001").is_dir()
    assert not (tmp_path / "rules/plugins/parts/config").exists()
    assert sorted(path.name for path in (tmp_path / "root/etc").iterdir()) == []
    # Its records are its own; ours, and what persons decided, are not, but for how the plugin and we meet.
    home = tmp_path / "rules/cache/triage_tui"
    assert (home / "target_id").read_text() == "kept\n"
    assert (home / "waiting/here").is_file()
    # Nor does it leave a program that runs as who started it.
    assert (tmp_path / "rules/cache/owned").stat().st_mode & 0o7777 == 0o755
    # The account.
    assert hits["openat"].hits >= 12
    assert hits["openat"].errors == 2
    assert hits["openat"].asked_restart == "the-tag"
    assert len(hits["openat"].sha256) == 64
    assert not any(call.name in ("lseek", "_llseek") for call in trace)


@pytest.mark.parametrize("arch", ["mips64el", "thumb"])
def test_a_program_without_room_behind_its_code_makes_other_calls_all_the_same(
    tmp_path: Path, qemu_dir: Path, monkeypatch: pytest.MonkeyPatch, arch: str
) -> None:
    monkeypatch.setattr(returns, "find_room", lambda *_: None)
    with guest_of(tmp_path, qemu_dir, arch, "made plain written") as (guest, _host):
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 3)
        assert said(guest, "made ")[0].startswith("written=12 opened=true refused=-14")
        assert guest.problems == []


def test_a_person_is_asked_at_a_call_and_between_calls(tmp_path: Path, qemu_dir: Path) -> None:
    triggers = TriggerLimits(idle_s=4, time_limit_s=60, sleep_repeats=99)
    parts = "wait spin"
    how = guest_of(tmp_path, qemu_dir, "arm", parts, asks_person=True, idle_ms=300, triggers=triggers)
    with how as (guest, _host):
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("requested", "openat")
        assert stop.trigger.detail == "the rule directory asks: go on?\\x1b[31m"
        assert guest.registers()["r7"] == by_name("arm").syscall_nr("openat")
        # It goes on, and then computes without a call.
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("requested", "")
        assert (stop.trigger.detail or "").startswith("the rule directory asks: it computes")
        assert "wait 1 0" in guest.output().decode()
        assert said(guest, "waited ") == ["true 0"]
        stop = guest.run_until_stop()
        assert stop.reason in ("requested", "idle")
        assert said(guest, "idle ")[0].startswith("integer ms=true length=")
        assert said(guest, "idle ")[0].endswith("waited=true 0")
        assert said(guest, "in idle ") == ["-38"]


def test_a_directory_that_never_comes_back_costs_itself(
    tmp_path: Path, qemu_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage_tui.sfemu.running.directory._HOOK_S", 0.5)
    # In the guest's root, where SFEmu has it: it is known by its path there.
    place = "root/rules_examples"
    with guest_of(tmp_path, qemu_dir, "arm", "answer error endless answer", place=place) as (guest, host):
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 3)
        assert guest.output().decode().splitlines() == [
            *("answer -1 13", "error -1 2", "endless -1 2", "answer -1 2")
        ]
        assert any(": /rules_examples/entry.lua:" in line for line in guest.rule_log)
        assert (tmp_path / place / "cache/calls.txt").is_file()
        off = "it took too long in entry() for openat"
        assert guest.problems == [f"The rule directory sfemu:rules_examples is not asked any more: {off}."]
        assert {hit.disabled for hit in host.hits()} == {off}
