"""Answers for an interface: wireless questions on a real program, ethtool's on both byte orders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.proposals.test_blocked_and_copied import ENOSYS, ask, rules, run_of
from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import Endian

Rootfs = Callable[[str], Path]


def test_a_wireless_tool_finds_the_interface_that_a_rule_answers_for(
    rootfs: Rootfs, qemu_dir: Path, tmp_path: Path
) -> None:
    run = run_of(
        '2 ioctl(3,SIOCGIFFLAGS,{"wlan0\0",0}) = -1 errno=19 (No such device)\n2 exit_group(1)\n',
        tmp_path,
        "i386",
    )
    _, sources = rules(run, "interface_answers")
    access = RuleAccess(by_name("i386"))
    how = spec(rootfs("iwconfig-i386"), qemu_dir, "/sbin/iwconfig", "wlan0")
    with RuleHost(sources, access) as host, Guest.start(how, host, access=access) as guest:
        assert guest.run_until_stop().exit_code == 0
        output = guest.output()
    for told in (b"IEEE 802.11", b"Mode:Managed", b"2.437 GHz", b"02:00:00:00:00:02", b"54 Mb/s"):
        assert told in output


@pytest.mark.parametrize(("arch", "word", "order"), [("arm", 4, "little"), ("s390x", 8, "big")])
def test_ethtool_is_answered_through_the_pointer_behind_the_name(
    arch: str, word: int, order: Endian, tmp_path: Path
) -> None:
    run = run_of(f"2 ioctl(3,0x8946,0x1000) = {ENOSYS}\n2 exit_group(1)\n", tmp_path, arch)
    _, sources = rules(run, "ethtool_answers")
    for command, at, value in ((0x0A, 4, 1), (0x01, 12, 100)):
        guest = MemoryGuest(endian=order, word=word)
        guest.map(0x1000, b"eth0".ljust(16, b"\0") + (0x2000).to_bytes(word, order) + bytes(16))
        guest.map(0x2000, command.to_bytes(4, order) + bytes(60))
        answer = ask(sources, guest, "ioctl", 3, 0x8946, 0x1000)
        assert (answer.intercept, answer.ret) == (True, 0)
        size = 4 if command == 0x0A else 2
        assert int.from_bytes(guest.read_bytes(0x2000 + at, size), order) == value
    guest.map(0x2000, (0x4C).to_bytes(4, order) + bytes(60))
    assert ask(sources, guest, "ioctl", 3, 0x8946, 0x1000).ret == -122, "EOPNOTSUPP of this guest"
    assert not ask(sources, guest, "ioctl", 3, 0x8947, 0x1000).intercept
