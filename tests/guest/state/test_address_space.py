"""Which of a process's mappings are the guest's: looked at in this very process."""

from __future__ import annotations

import ctypes
import mmap
import os

from triage_tui.guest.arch import by_name
from triage_tui.guest.log.ranges import RangeMap
from triage_tui.guest.state.address_space import guest_mappings, name_mappings
from triage_tui.runs.process_model import Mapping


def test_what_a_64_bit_guest_was_seen_to_map_among_the_emulators_parts_is_its_own() -> None:
    with mmap.mmap(-1, 4 * mmap.PAGESIZE) as area:
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        assert start > 1 << 40
        permitted = RangeMap()
        permitted.set(start, start + mmap.PAGESIZE, "r-x")
        found = guest_mappings(os.getpid(), 0, by_name("aarch64"), permitted)
        assert [(one.start, one.end, one.perms[:3]) for one in found if one.start >= 1 << 40] == [
            (start, start + mmap.PAGESIZE, "r-x")
        ]
        assert not guest_mappings(os.getpid(), 0, by_name("arm"), permitted)


def test_a_page_of_the_emulators_making_is_executable() -> None:
    size = 16 * mmap.PAGESIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        start = ctypes.addressof(ctypes.c_char.from_buffer(area)) + 8 * mmap.PAGESIZE
        libc = ctypes.CDLL(None)
        assert libc.mprotect(ctypes.c_void_p(start), mmap.PAGESIZE, mmap.PROT_READ) == 0
        base = start - 8 * mmap.PAGESIZE
        found = guest_mappings(os.getpid(), base, by_name("aarch64"), RangeMap())
        assert [one.perms for one in found if one.start == 8 * mmap.PAGESIZE] == ["r-xp"]
        known = RangeMap()
        known.set(8 * mmap.PAGESIZE, 9 * mmap.PAGESIZE, "r--")
        found = guest_mappings(os.getpid(), base, by_name("aarch64"), known)
        assert [one.perms for one in found if one.start == 8 * mmap.PAGESIZE] == ["r--p"]
        libc.mprotect(ctypes.c_void_p(start), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)


def test_a_stack_has_the_permissions_that_the_program_asks_for() -> None:
    def stack() -> list[Mapping]:
        return [Mapping(start=0x1000, end=0x9000, perms="rw-p", offset=0, path="")]

    assert [one.perms for one in name_mappings(stack(), [], None, 0x8000, "rwx")] == ["rwxp"]
    assert [one.perms for one in name_mappings(stack(), [], None, 0x8000)] == ["rw-p"]
    assert [one.perms for one in name_mappings(stack(), [], None, 0x10000, "rwx")] == ["rw-p"]
