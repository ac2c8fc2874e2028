"""The filter of the syscalls."""

from __future__ import annotations

import pytest

from triage_tui.runs.model import Syscall
from triage_tui.ui.calls_filter import compile_filter

CALLS = [
    Syscall(seq=1, name="openat", arguments=["AT_FDCWD", '"/etc/passwd"'], ret=3, path="/etc/passwd", pid=2),
    Syscall(seq=2, name="read", arguments=["3", "0x1000", "64"], ret=64, pid=2, tid=2),
    Syscall(seq=3, name="open", arguments=['"/dev/mtd0"'], ret=-2, errno="ENOENT", path="/dev/mtd0", pid=2),
    Syscall(seq=4, name="socket", arguments=["PF_INET", "SOCK_RAW"], ret=-1, errno="EPERM", pid=7, tid=9),
    Syscall(seq=5, name="write", arguments=["2", "0x2000", "9"], ret=9, pid=2, note="short", pc=0x400D10),
    Syscall(seq=6, name="ioctl", arguments=["3", "SIOCGIFINDEX"], ret=0, rule="fix-ioctl-1", pid=2),
]
PRINTED = {5: ["no Device", "bye"]}


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("", [1, 2, 3, 4, 5, 6]),
        ("passwd", [1]),
        ("OPEN", [1, 3]),
        ('"etc/pass"', [1]),
        ("name:open", [1, 3]),
        ("name:open*", [1, 3]),
        ("name:*at", [1]),
        ("errno:enoent", [3]),
        ("errno:E*", [3, 4]),
        ("path:/dev", [3]),
        ("path:/dev/*0", [3]),
        ("fd:3", [1, 2, 6]),
        ("tid:9", [4]),
        ("tid:2", [1, 2, 3, 5, 6]),
        ("pid:7", [4]),
        ("seq:2-3", [2, 3]),
        ("seq:5-", [5, 6]),
        ("seq:4", [4]),
        ("pc:400d10", [5]),
        ("pc:0x400d10", [5]),
        ("failed", [3, 4]),
        ("rule", [6]),
        ("rule:fix", [6]),
        ("noted", [5]),
        ("printed", [5]),
        ("device", [5]),
        ("!failed", [1, 2, 5, 6]),
        ("!name:open !fd:3", [4, 5]),
        ("failed !errno:ENOENT", [4]),
        ("name:", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_terms(text: str, passing: list[int]) -> None:
    test, problem = compile_filter(text, PRINTED)
    assert [call.seq for call in CALLS if test is None or test(call)] == passing
    assert problem == ""


@pytest.mark.parametrize(
    ("text", "says", "passing"),
    [
        ("fd:x", "fd: wants a number", 6),
        ("tid:-1 failed", "tid: wants a number", 2),
        ("seq:1-x", "seq: wants a number or a range", 6),
        ("pc:main", "pc: wants an address in hex", 6),
        ("nam:open", "nam: is no term", 0),
    ],
)
def test_a_wrong_term_is_told_and_hides_nothing_by_itself(text: str, says: str, passing: int) -> None:
    test, problem = compile_filter(text)
    assert says in problem
    assert len([call for call in CALLS if test is None or test(call)]) == passing


@pytest.mark.parametrize("text", ["unix:/var/run/x.sock", "inet:127.0.0.1:80", "eth0:1"])
def test_text_with_a_colon_is_no_wrong_term(text: str) -> None:
    assert compile_filter(text).problem == ""
