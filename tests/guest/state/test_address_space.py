"""Which of a process's mappings are the guest's: looked at in this very process."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import ARCHES, root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.log.ranges import RangeMap
from triage_tui.guest.state.address_space import guest_mappings, name_mappings, stack_range
from triage_tui.guest.supervisor import Guest
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
        # Debian's own interpreter has memory below 4 GiB, which would be a guest's.
        found = guest_mappings(os.getpid(), 0, by_name("arm"), permitted)
        assert not [one for one in found if one.end > 1 << 32]


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


def test_the_stack_and_the_vdso_have_names() -> None:
    maps = [Mapping(start=at, end=at + 0x1000, perms="rw-p", offset=0, path="") for at in (0x1000, 0x3000)]
    assert [one.name for one in name_mappings(maps, [], None, 0x1800, 0x3000)] == ["[stack]", "[vdso]"]
    assert [one.name for one in name_mappings(maps, [], None, 0x3FFF, 0)] == ["", "[stack]"]


def test_a_stack_ends_with_the_page_of_its_last_string() -> None:
    size = 16 * mmap.PAGESIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        start = ctypes.addressof(ctypes.c_char.from_buffer(area)) + mmap.PAGESIZE
        libc = ctypes.CDLL(None)
        # Below is a page that nobody can use.
        assert libc.mprotect(ctypes.c_void_p(start - mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
        inside, last = start + 0x2010, start + 0x3FFF
        assert stack_range(os.getpid(), 0, inside, last) == (start, start + 0x4000)
        assert stack_range(os.getpid(), start, 0x2010, 0x4000) == (0, 0x5000)
        libc.mprotect(ctypes.c_void_p(start - mmap.PAGESIZE), mmap.PAGESIZE, mmap.PROT_READ)
    assert stack_range(os.getpid(), 0, 8, 8) is None


_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (...)[ps] ")


@pytest.mark.parametrize("arch", ARCHES)
def test_permissions_are_those_that_the_guest_itself_is_shown(
    qemu_dir: Path, tmp_path: Path, arch: str
) -> None:
    root = root_with(tmp_path, arch, "own_maps")
    with Guest.start(spec(root, qemu_dir, "/bin/own_maps")) as guest:
        guest.run_until_stop()
        shown = [
            (int(start, 16), int(end, 16), perms)
            for start, end, perms in _LINE.findall(guest.output().decode())
            # Without any, memory is only reserved; x86-64's page of old calls is the kernel's.
            if perms != "---" and int(start, 16) < 1 << 63
        ]
        ours = [(mapping.start, mapping.end, mapping.perms[:3]) for mapping in guest.maps()]
    assert len(shown) >= 5
    # What lies side by side with the same permissions is one mapping in the guest's eyes.
    ours_by_page, shown_by_page = _pages(ours), _pages(shown)
    if arch == "x86_64" and max(shown_by_page) >= _AMONG_EMULATORS:
        # Two pages of tables for the processor, which cannot be told from the emulator's own memory there.
        tables = [
            page
            for page, perms in shown_by_page.items()
            if perms == "rw-" and page not in ours_by_page and page >= _AMONG_EMULATORS
        ]
        assert len(tables) <= 2
        for page in tables:
            del shown_by_page[page]
    assert ours_by_page == shown_by_page


_AMONG_EMULATORS = 1 << 40
"""From here on QEMU 10 places what it maps of a 64-bit guest."""


def _pages(mappings: list[tuple[int, int, str]]) -> dict[int, str]:
    return {page: perms for start, end, perms in mappings for page in range(start, end, mmap.PAGESIZE)}
