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
from triage_tui.guest.state.address_space import guest_mappings, name_mappings
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
    assert _pages(ours) == _pages(shown)


def _pages(mappings: list[tuple[int, int, str]]) -> dict[int, str]:
    return {page: perms for start, end, perms in mappings for page in range(start, end, mmap.PAGESIZE)}
