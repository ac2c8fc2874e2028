"""Which of a process's mappings are the guest's: looked at in this very process."""

from __future__ import annotations

import ctypes
import mmap
import os

from triage_tui.guest.arch import by_name
from triage_tui.guest.log.ranges import RangeMap
from triage_tui.guest.state.address_space import guest_mappings


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
