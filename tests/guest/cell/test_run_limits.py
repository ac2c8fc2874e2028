"""A limit of the run is named only where the kernel's figures show it; with real guests, see
tests/guest/test_containment_limits.py.
"""

from __future__ import annotations

import os

from triage_tui.guest.cell.run_limits import why_limited
from triage_tui.runs.model import Syscall

SIZE = os.statvfs("/").f_blocks * os.statvfs("/").f_frsize


def allocates(errno: str = "ENOSPC") -> Syscall:
    return Syscall(seq=1, name="fallocate", errno=errno)


def test_a_file_system_of_another_size_is_not_the_cells() -> None:
    assert why_limited(allocates(), os.getpid(), SIZE) == (
        f"the limit of {SIZE >> 20} MiB for written files of this run"
    )
    assert why_limited(allocates(), os.getpid(), SIZE // 2) is None
    assert why_limited(allocates("EIO"), os.getpid(), SIZE) is None


def test_one_with_room_did_not_refuse_to_write() -> None:
    assert os.statvfs("/").f_bavail > 0
    assert why_limited(Syscall(seq=1, name="write", errno="ENOSPC"), os.getpid(), SIZE) is None


def test_other_calls_have_other_limits() -> None:
    assert why_limited(Syscall(seq=1, name="inotify_add_watch", errno="ENOSPC"), os.getpid(), SIZE) is None
    assert why_limited(Syscall(seq=1, name="io_setup", errno="ENOMEM"), os.getpid(), SIZE) is None


def test_what_a_rule_answered_met_no_limit() -> None:
    call = allocates()
    call.intercepted = True
    assert why_limited(call, os.getpid(), SIZE) is None


def test_a_process_that_is_gone_tells_nothing() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert why_limited(allocates(), pid, SIZE) is None
