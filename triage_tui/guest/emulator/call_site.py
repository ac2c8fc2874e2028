"""Tell the calls that QEMU makes for its guest from those that it makes for itself.

Of a call that may block, write(2) among them, QEMU has the guest's own made at one place of its code
(safe_syscall_base of common-user/host/*/safe-syscall.inc.S). Its own go through its C library. What the
kernel tells of a call is the address behind its instruction. The image is loaded where the kernel likes, but
at whole pages, so that the place within its page is known from the file.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name, known_names
from triage_tui.guest.emulator.elf import read_elf
from triage_tui.guest.emulator.qemu import Searched, find_qemu, searched
from triage_tui.guest.host import host_memory, host_syscalls
from triage_tui.guest.host.descriptor_reserve import is_exhausted

PAGE_MASK = 0xFFF
_SITES = {
    # cmpl $0,(%rbp); jnz; syscall
    "x86_64": re.compile(rb"\x83\x7d\x00\x00(?:\x75.|\x0f\x85....)\x0f\x05", re.DOTALL),
    # ldr w10,[x9]; cbnz w10; svc #0
    "aarch64": re.compile(rb"\x2a\x01\x40\xb9...\x35\x01\x00\x00\xd4", re.DOTALL),
}
"""Host machine -> the end of safe_syscall_base, up to its system call."""
_WRITES = {
    # mov $1,%eax; syscall
    "x86_64": re.compile(rb"\xb8\x01\x00\x00\x00\x0f\x05"),
    # mov x8,#64; svc #0
    "aarch64": re.compile(rb"\x08\x08\x80\xd2\x01\x00\x00\xd4"),
}
"""Host machine -> how a C library makes write(2)."""
_LONGEST = 16
"""Bytes of the longest of `_SITES`."""
_USUAL = 1 << 18
"""The place is among the first so many bytes of the code, where it was in QEMU 7.2 to 10.0."""
_HEADER = 1 << 16


@cache
def _in_page(path: Path, _changed: int) -> int | None:
    """Return where in its page the address behind the guest's calls is, None if it was not found."""
    pattern = _SITES.get(host_syscalls.host_machine())
    if pattern is None:
        return None
    for most in _USUAL, None:
        for start, data in _code(path, most):
            if found := pattern.search(data):
                return start + found.end() & PAGE_MASK
    return None


def _code(path: Path, most: int | None) -> Iterable[tuple[int, bytes]]:
    """Yield (address, bytes) of the code of an ELF file, at most `most` bytes of each segment."""
    with path.open("rb") as file:
        elf = read_elf(file.read(_HEADER), path.name)
        for (address, _end, perms), (start, end) in zip(elf.segments, elf.file_ranges, strict=True):
            if "x" in perms:
                file.seek(start)
                yield address, file.read(end - start if most is None else min(most, end - start))


def places(emulator: Path, directory: Path | None = None) -> dict[str, int]:
    """Return where in their pages the guest's calls end, by architecture, for all emulators that there are.

    `emulator` is the one that runs first: places that are those of its own writes are left out, since all of
    them would be taken for the guest's until looked at. Emulators without a known place are left out.
    """
    found: dict[str, int] = {}
    emulators: dict[str, Path] = {}
    with contextlib.suppress(TriageError):
        emulators = _emulators(searched(directory))
    for name, path in emulators.items():
        with contextlib.suppress(OSError, TriageError):
            place = _in_page(path, path.stat().st_mtime_ns)
            if place is not None:
                found[name] = place
    taken: frozenset[int] = frozenset()
    with contextlib.suppress(OSError, TriageError):
        taken = _own_writes(emulator, emulator.stat().st_mtime_ns)
    return {name: place for name, place in found.items() if place not in taken}


@lru_cache(maxsize=4)
def _emulators(where: Searched) -> dict[str, Path]:
    """Return the emulators that there are, by architecture: looked for again when something changes there.

    A dozen of them in as many directories cost a few milliseconds of each start.

    Raises:
        TriageError: no descriptor is left to look at one.
    """
    found: dict[str, Path] = {}
    for name in known_names():
        try:
            found[name] = find_qemu(by_name(name), where.directory)
        except (OSError, TriageError) as error:
            # This may be other the next time.
            if error.__cause__ is not None and is_exhausted(error.__cause__):
                raise
    return found


@cache
def _own_writes(path: Path, _changed: int) -> frozenset[int]:
    pattern = _WRITES.get(host_syscalls.host_machine())
    if pattern is None:
        return frozenset()
    code = _code(path, None)
    return frozenset(
        start + found.end() & PAGE_MASK for start, data in code for found in pattern.finditer(data)
    )


def is_for_guest(tid: int, address: int) -> bool:
    """Return whether the thread `tid`, whose call returns to `address`, is in a call for the guest.

    Raises:
        OSError: its code cannot be read.
    """
    pattern = _SITES.get(host_syscalls.host_machine())
    if pattern is None or address < _LONGEST:
        return False
    try:
        code = host_memory.read_memory(tid, address - _LONGEST, _LONGEST)
    except OSError as error:
        if error.errno not in (errno.EFAULT, errno.ESRCH):
            raise
        return False
    return any(found.end() == _LONGEST for found in pattern.finditer(code))
