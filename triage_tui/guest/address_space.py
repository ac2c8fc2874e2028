"""The guest's mappings, told apart from the emulator's own."""

from __future__ import annotations

import os

from triage_tui.guest import process
from triage_tui.guest.arch import Arch
from triage_tui.runs.model import Mapping

_HOST_ONLY = frozenset(("[heap]", "[stack]", "[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]"))
_RESERVED_64 = 1 << 40
"""A 64-bit guest's own addresses end far below this in QEMU user mode; the emulator lives far above."""


def guest_mappings(pid: int, base: int, arch: Arch, executable: list[tuple[int, int]]) -> list[Mapping]:
    """Return the mappings of the guest in QEMU process `pid`, in guest addresses.

    `base` is the host address of guest address 0. QEMU maps guest code without execute permission, so `x` is
    set where `executable` (guest ranges) says so.
    """
    top = base + (1 << 32 if arch.bits == 32 else _RESERVED_64)
    emulator = _emulator_file(pid)
    found: list[Mapping] = []
    for mapping in process.read_maps(pid):
        if not base <= mapping.start < top or mapping.path in _HOST_ONLY or mapping.perms.startswith("---"):
            continue
        if mapping.inode and (mapping.device, mapping.inode) == emulator:
            continue
        start, end = mapping.start - base, mapping.end - base
        perms = mapping.perms
        if any(low < end and start < high for low, high in executable):
            perms = perms[:2] + "x" + perms[3:]
        found.append(Mapping(start=start, end=end, perms=perms, offset=mapping.offset, path=mapping.path))
    return found


def _emulator_file(pid: int) -> tuple[str, int]:
    """Return (device, inode) of the emulator's executable as /proc/<pid>/maps shows them."""
    try:
        status = os.stat(f"/proc/{pid}/exe")
    except OSError:
        return ("", 0)
    return (f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", status.st_ino)
