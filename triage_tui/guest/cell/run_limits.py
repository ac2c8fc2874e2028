"""Tell which limit of this run a failed call has met, where the kernel's figures show that it was one.

What a program sets for these itself (setrlimit) is kept and not enforced: `triage_tui.guest.cell.limits`.
"""

from __future__ import annotations

import os
import resource

from triage_tui.guest.cell import limits
from triage_tui.guest.host import process_state
from triage_tui.runs.model import Syscall

_WRITING = frozenset(
    (
        *("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile", "sendfile64", "splice"),
        *("copy_file_range", "ftruncate", "ftruncate64", "truncate", "truncate64", "fallocate"),
        *("open", "openat", "openat2", "creat", "mkdir", "mkdirat", "mknod", "mknodat"),
        *("symlink", "symlinkat", "link", "linkat", "rename", "renameat", "renameat2"),
    )
)
_ALLOCATES = "fallocate"
"""The call that is refused as a whole, however much room is left."""
_MAPPING = {"mmap": 1, "mmap2": 1, "mprotect": 1, "mremap": 2}
"""Call that takes memory -> index of how much."""
_NEARLY = 1 << 20
"""Bytes: what is short of a limit by less has reached it. The figures are younger than the failure."""


def why_limited(record: Syscall, pid: int, disk_bytes: int) -> str | None:
    """Return which limit kept a failed call of the process `pid` (a host id) from its end, None if none did.

    `disk_bytes` is what the guest's files may hold.
    """
    if record.intercepted:
        return None
    try:
        if record.errno == "ENOSPC" and record.name in _WRITING and _is_full(record, pid, disk_bytes):
            return f"the limit of {disk_bytes >> 20} MiB for written files of this run"
        if record.errno == "ENOMEM" and record.name in _MAPPING and _is_writable(record):
            most = limits.host_limit(pid, resource.RLIMIT_DATA)[0]
            if _private_memory(pid) + _wanted(record) + _NEARLY >= most:
                return f"the limit of {most >> 20} MiB for the memory of one process of this run"
    except OSError:
        # It is gone, and its figures with it.
        return None
    return None


def _is_full(record: Syscall, pid: int, disk_bytes: int) -> bool:
    """Return whether the guest's root is the one of limited size, and full.

    Raises:
        OSError: the process is gone.
    """
    root = os.statvfs(f"/proc/{pid}/root")
    if root.f_blocks * root.f_frsize > disk_bytes + _NEARLY:
        return False
    full = root.f_bavail * root.f_frsize < _NEARLY or (root.f_files > 0 and root.f_favail == 0)
    return full or record.name == _ALLOCATES


def _private_memory(pid: int) -> int:
    """Return what of a process's memory counts for RLIMIT_DATA, in bytes.

    Raises:
        OSError: the process is gone.
    """
    return int(process_state.status(f"/proc/{pid}").get("VmData", "0 kB").split()[0]) << 10


def _is_writable(record: Syscall) -> bool:
    """Return whether the memory is of the kind that the limit is about; mremap does not say."""
    return record.name == "mremap" or "PROT_WRITE" in "".join(record.arguments[2:3])


def _wanted(record: Syscall) -> int:
    at = _MAPPING[record.name]
    if len(record.args) > at:
        return record.args[at]
    try:
        return int(record.arguments[at], 0)
    except (IndexError, ValueError):
        return 0
