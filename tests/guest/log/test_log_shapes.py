"""Calls of all shapes are read one by one, none lost and none made of two."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.guest.log.strace import StraceReader
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import DOUBT, UNLOGGED

_NAMES = {
    "statfs": "statfs64",
    "mknodat": "mknod",
    "fchmodat2": "fchmodat",
    "mmap2": "mmap",
    "ugetrlimit": "getrlimit",
    "prlimit64": "getrlimit",
    "utimensat": "utimes",
    "futimesat": "utimes",
    "clone": "fork",
    "rt_sigaction": "signal",
    "truncate64": "truncate",
    "chown32": "chown",
}
"""What C libraries make of a call -> what the program called, where that differs."""
_EXPECTED = str.split(
    "getppid mknod mknod umask mkdir chmod fchmodat chown fchownat symlink link rename renameat unlink "
    "unlinkat rmdir truncate statfs64 utimes mount umount2 chroot chdir setitimer getrlimit signal getpid "
    "kill sigreturn fork wait4 wait4 mmap getppid"
)


@pytest.mark.parametrize("arch", ["arm", "mipsel", "ppc"])
def test_each_call_is_one_record(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    root = root_with(tmp_path, arch, "log_shapes")
    with Guest.start(spec(root, qemu_dir, "/bin/log_shapes")) as guest:
        assert guest.run_until_stop().reason == "exit"
        own = [call for call in guest.history() if call.pid == 2]
        names = [_NAMES.get(call.name, call.name) for call in own]
        first = names.index("getppid")
        assert names[first : first + len(_EXPECTED)] == _EXPECTED
        assert DOUBT not in {call.note for call in own}
        device = own[first + 2]
        assert device.errno == "EPERM"
        assert device.arguments[-1] == "makedev(1,3)"


def test_a_call_may_have_no_text_for_its_result() -> None:
    reader = StraceReader()
    text = b"2 wait4(4,0x40800b94,0,(nil)) = \n2 wait4(-1,0x40800b94,1,(nil)) = -1 errno=10 (No child)\n"
    for at in range(len(text)):
        reader.feed(text[at : at + 1])
    assert [(call.name, call.result) for call in reader.finished] == [
        ("wait4", b""),
        ("wait4", b"-1 errno=10 (No child)"),
    ]


def test_what_a_wait_returned_is_told_where_it_can_be(tmp_path: Path, qemu_dir: Path) -> None:
    """QEMU 10 logs no result of a wait that did not fail."""
    with Guest.start(spec(root_with(tmp_path, "arm", "collects"), qemu_dir, "/bin/collects")) as guest:
        assert guest.run_until_stop().reason == "exit"
        calls = [call for call in guest.history() if call.pid == 2]
    children = [call.ret for call in calls if call.name in ("clone", "fork", "vfork")]
    early, killed, any_child, one, none = [call for call in calls if call.name == "wait4"]
    assert (killed.ret, one.ret, none.errno) == (children[0], children[2], "ECHILD")
    for call, ret in ((early, 0), (any_child, children[1])):
        assert call.ret == ret or (call.ret is None and UNLOGGED in (call.note or ""))
