"""The guest's mappings, told apart from the emulator's own, with the permissions that the guest gave them."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable
from collections.abc import Mapping as MappingABC

from triage_tui.guest.arch import Arch
from triage_tui.guest.host import process
from triage_tui.guest.log.ranges import RangeMap
from triage_tui.runs.process_model import Mapping

_HOST_ONLY = frozenset(("[heap]", "[stack]", "[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]"))
_RESERVED_64 = 1 << 40
"""Below this lies a 64-bit guest in QEMU user mode; above it the emulator, and what a call of the guest or
its program is known to have put there (QEMU 10 places position-independent programs among its own parts)."""
_PAGE_MASK = 0xFFF


def guest_mappings(
    pid: int, base: int, arch: Arch, permitted: RangeMap, knows_all: bool = True
) -> list[Mapping]:
    """Return the mappings of the guest in QEMU process `pid`, in guest addresses, lowest first.

    `base` is the host address of guest address 0; `permitted` says what the guest's calls and its program
    made of which range, and of everything if it `knows_all`. Elsewhere the host's permissions hold: QEMU maps
    guest code without execute permission, and takes write permission from pages that it has translated.
    """
    top = base + (1 << 32 if arch.bits == 32 else _RESERVED_64)
    emulator = _emulator_file(pid)
    found: list[Mapping] = []
    for mapping in process.read_maps(pid):
        far = mapping.start >= top
        if mapping.start < base or (far and arch.bits == 32) or mapping.path in _HOST_ONLY:
            continue
        if mapping.inode and (mapping.device, mapping.inode) == emulator:
            continue
        first = mapping.start - base
        for start, end, perms in permitted.pieces(first, mapping.end - base):
            if perms is None and knows_all and _is_emulators_page(mapping, start, end):
                perms = "r-x"
            if perms is None and (far or mapping.perms.startswith("---")):
                # Not the guest's, or not known to be: QEMU reserves what the guest may map.
                continue
            shown = mapping.perms if perms is None else perms + mapping.perms[3:]
            offset = mapping.offset + (start - first if mapping.inode else 0)
            found.append(Mapping(start=start, end=end, perms=shown, offset=offset, path=mapping.path))
    return found


def _is_emulators_page(mapping: process.HostMapping, start: int, end: int) -> bool:
    """Return whether [start, end) is a page that QEMU gave the guest: for returns from signal handlers
    (setup_sigtramp), or ARM's helpers (init_guest_commpage of linux-user/elfload.c). Both are executable."""
    return mapping.perms == "r--p" and not mapping.inode and end - start == _PAGE_MASK + 1


def stack_range(pid: int, base: int, inside: int, last: int) -> tuple[int, int] | None:
    """Return the range of the first thread's stack, which holds `inside` and ends with the page of `last`.

    Below it is a page that nobody can use; what follows above it without a gap is the emulator's. None where
    nothing is mapped there.
    """
    for mapping in process.read_maps(pid):
        start, end = mapping.start - base, mapping.end - base
        if start <= inside < end:
            return start, min(end, page_range(last, last + 1)[1])
    return None


def page_range(start: int, end: int) -> tuple[int, int]:
    """Return the range of whole pages that holds [start, end)."""
    return start & ~_PAGE_MASK, (end + _PAGE_MASK) & ~_PAGE_MASK


def name_mappings(
    mappings: Iterable[Mapping],
    program: Iterable[tuple[int, int]],
    heap: tuple[int, int] | None,
    stack: int,
    vdso: int,
) -> list[Mapping]:
    """Return the mappings with names for those that no file names; the heap is cut from what it continues.

    `program` are the ranges that the program's file asks for, `heap` is the range that brk gave, `stack` an
    address in the first thread's stack, `vdso` the start of the kernel's library, 0 where there is none.
    """
    named = RangeMap()
    for start, end in program:
        named.set(*page_range(start, end), "[bss]")
    if heap is not None:
        named.set((heap[0] + _PAGE_MASK) & ~_PAGE_MASK, page_range(*heap)[1], "[heap]")
    result: list[Mapping] = []
    for mapping in mappings:
        if mapping.path:
            result.append(mapping)
            continue
        inside = [name for name, at in (("[stack]", stack), ("[vdso]", vdso)) if _holds(mapping, at)]
        whole = [(mapping.start, mapping.end, name) for name in inside[:1]]
        cut = whole or named.pieces(mapping.start, mapping.end)
        result += [
            Mapping(start=start, end=end, perms=mapping.perms, name=name or "") for start, end, name in cut
        ]
    return result


def name_stacks(mappings: Iterable[Mapping], stacks: MappingABC[int, str]) -> None:
    """Name the mappings that nothing names yet; `stacks` gives for an address in a stack its name."""
    addresses = sorted(stacks)
    for mapping in mappings:
        index = bisect_left(addresses, mapping.start)
        if index < len(addresses) and addresses[index] < mapping.end and not (mapping.path or mapping.name):
            mapping.name = stacks[addresses[index]]


def _holds(mapping: Mapping, address: int) -> bool:
    return address > 0 and mapping.start <= address < mapping.end


def _emulator_file(pid: int) -> tuple[str, int]:
    """Return (device, inode) of the emulator's executable as /proc/<pid>/maps shows them."""
    try:
        status = os.stat(f"/proc/{process.living_id(pid)}/exe")
    except OSError:
        return ("", 0)
    return (f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", status.st_ino)
