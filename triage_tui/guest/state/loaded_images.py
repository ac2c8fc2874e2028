"""What QEMU mapped for a program before its first instruction; no call of the guest tells of it."""

from __future__ import annotations

import contextlib

from triage_tui.errors import TriageError
from triage_tui.guest.emulator.elf import ElfInfo, read_elf
from triage_tui.guest.emulator.env_locator import AT_BASE, AT_EXECFN, AT_RANDOM, AT_SYSINFO_EHDR, Location
from triage_tui.guest.state.initial_stack import Reader

_MAX_NAME = 4096
"""Bytes of a program's path (PATH_MAX)."""
_MAX_HEADERS = 1 << 16


def segments(read: Reader, elf: ElfInfo, location: Location) -> list[tuple[int, int, str]]:
    """Return what program, interpreter and vDSO have: (start, end, permissions), in guest addresses."""
    found = [
        (start + location.load_bias, end + location.load_bias, perms) for start, end, perms in elf.segments
    ]
    found += _image_at(read, location.auxv.get(AT_BASE, 0))
    # Whatever the vDSO's file asks for, nobody may write there.
    found += [(start, end, "r-x") for start, end, _ in _image_at(read, location.auxv.get(AT_SYSINFO_EHDR, 0))]
    return found


def _image_at(read: Reader, base: int) -> list[tuple[int, int, str]]:
    """Return the segments of the ELF file that is mapped at `base`, none where none is."""
    if not base:
        return []
    try:
        elf = read_elf(read(base, _MAX_HEADERS), "an image in memory")
    except TriageError:
        return []
    bias = base - elf.lowest
    return [(start + bias, end + bias, perms) for start, end, perms in elf.segments]


def first_stack(read: Reader, location: Location) -> tuple[int, int]:
    """Return two guest addresses in the first thread's stack, the second one in its last page."""
    inside = location.auxv.get(AT_RANDOM, 0)
    # The program's path is what lies highest (linux-user/linuxload.c).
    last = location.auxv.get(AT_EXECFN, inside)
    with contextlib.suppress(TriageError):
        last += max(0, read(last, _MAX_NAME).find(b"\0"))
    return inside, max(inside, last)
