"""Read what the engine needs from a guest program's ELF header (System V gABI, chapter 4).

The file may be anything: every size is bounded and every failure is one sentence.
"""

from __future__ import annotations

import os
import struct
from typing import Literal

import msgspec

from triage_tui.errors import TriageError

PT_LOAD, PT_INTERP = 1, 3
_PT_GNU_STACK = 0x6474E551
_PF_X, _PF_W, _PF_R = 1, 2, 4
_MAX_HEADERS = 1024
_MAX_INTERPRETER = 4096
_PAGE = 4096


class ElfInfo(msgspec.Struct, frozen=True):
    """The part of an ELF file's header that decides how it is run. Addresses are the file's own."""

    machine: int
    bits: Literal[32, 64]
    little_endian: bool
    flags: int
    position_independent: bool
    entry: int
    program_headers: int
    """Offset of the program headers in the file (e_phoff)."""
    lowest: int
    """Address of the page that holds the file's first loaded byte."""
    interpreter: str | None
    """A path as the file system has it: bytes that are no UTF-8 are surrogates (PEP 383)."""
    segments: tuple[tuple[int, int, str], ...]
    """(start, end, permissions as "rwx" with dashes) of what is loaded, zero-filled memory included."""
    file_ranges: tuple[tuple[int, int], ...]
    """(start, end) in the file of what each of `segments` is loaded from."""
    executable_stack: bool
    """Whether the program asks for a stack that can be executed (PT_GNU_STACK)."""
    header: bytes
    """The ELF header itself, as it lies at the start of the loaded image."""


class FileBytes:
    """The bytes of an open file, read where they are asked for: a program may be large, or mostly holes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, end, _step = part.indices(self._size)
        return os.pread(self._fd, max(0, end - start), start)


def is_elf(data: bytes | FileBytes) -> bool:
    """Return whether `data` begins like an ELF file."""
    return data[:4] == b"\x7fELF"


def read_elf(data: bytes | FileBytes, name: str) -> ElfInfo:
    """Read the header of the ELF executable in `data` (at least its start, up to the interpreter's name).

    Raises:
        TriageError: it is not an ELF executable, or it is damaged. `name` says of what.
    """
    if not is_elf(data):
        what = "a script" if data[:2] == b"#!" else "no ELF file"
        raise TriageError(f"{name} is {what}: give the program that the emulator should start")
    if len(data) < 20:
        raise TriageError(f"{name} is cut off inside its ELF header")
    bits, byte_order = data[4:6]
    if bits not in (1, 2) or byte_order not in (1, 2):
        raise TriageError(f"{name} has a damaged ELF header")
    wide, little = bits == 2, byte_order == 1
    order = "<" if little else ">"
    layout = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    size = 16 + struct.calcsize(layout)
    if len(data) < size:
        raise TriageError(f"{name} is cut off inside its ELF header")
    kind, machine, _version, entry, phoff, _shoff, flags, _ehsize, entry_size, count, *_rest = struct.unpack(
        layout, data[16:size]
    )
    if kind not in (2, 3):
        raise TriageError(f"{name} is an ELF file but no executable")
    header_layout = order + ("IIQQQQQQ" if wide else "IIIIIIII")
    if entry_size != struct.calcsize(header_layout) or not 0 < count <= _MAX_HEADERS:
        raise TriageError(f"{name} has damaged ELF program headers")
    interpreter: str | None = None
    lowest: int | None = None
    executable_stack = False
    segments: list[tuple[int, int, str]] = []
    file_ranges: list[tuple[int, int]] = []
    for index in range(count):
        at = phoff + index * entry_size
        fields = data[at : at + entry_size]
        if len(fields) < entry_size:
            raise TriageError(f"{name} is cut off inside its ELF program headers")
        if wide:
            segment, access, offset, address, _physical, file_size, memory, _align = struct.unpack(
                header_layout, fields
            )
        else:
            segment, offset, address, _physical, file_size, memory, access, _align = struct.unpack(
                header_layout, fields
            )
        if segment == PT_LOAD:
            # The header itself lies where file offset 0 is loaded; that segment settles it.
            if lowest is None or offset == 0:
                lowest = max(0, address - offset) & ~0xFFF
            perms = "".join(
                sign if access & bit else "-" for bit, sign in ((_PF_R, "r"), (_PF_W, "w"), (_PF_X, "x"))
            )
            segments.append((address, address + memory, perms))
            file_ranges.append((offset, offset + file_size))
        elif segment == _PT_GNU_STACK:
            executable_stack = bool(access & _PF_X)
        elif segment == PT_INTERP:
            text = data[offset : offset + min(file_size, _MAX_INTERPRETER)].split(b"\0")[0]
            if not data[offset : offset + 1]:
                raise TriageError(f"{name} is cut off before its interpreter's name")
            if not text.startswith(b"/"):
                raise TriageError(f"{name} names a damaged interpreter")
            interpreter = os.fsdecode(text)
    if lowest is None:
        raise TriageError(f"{name} has nothing to load: its ELF program headers hold no PT_LOAD")
    return ElfInfo(
        machine=machine,
        bits=64 if wide else 32,
        little_endian=little,
        flags=flags,
        position_independent=kind == 3,
        entry=entry,
        program_headers=phoff,
        lowest=lowest,
        interpreter=interpreter,
        segments=tuple(segments),
        file_ranges=tuple(file_ranges),
        executable_stack=executable_stack,
        header=data[:size],
    )


def check_whole(elf: ElfInfo, size: int, name: str) -> None:
    """Check that a file of `size` bytes holds everything that `elf`, its header, loads from it.

    What lacks within a page is zero in memory, elf(5) and mmap(2), and may be as wanted; the emulator dies of
    SIGBUS when a whole page lacks.

    Raises:
        TriageError: the file is cut off. `name` says of what.
    """
    for (start, end, perms), (first, last) in zip(elf.segments, elf.file_ranges, strict=True):
        if first < last and last > (size + _PAGE - 1) // _PAGE * _PAGE:
            raise TriageError(
                f"{name} is cut off: its segment {perms} at 0x{start:x}-0x{end:x} needs {last} bytes of the "
                f"file, and the file has {size}: copy it again"
            )


def check_entry(elf: ElfInfo, name: str) -> None:
    """Check that the program begins inside of what is loaded.

    Raises:
        TriageError: it does not. `name` says of what.
    """
    if not any(start <= elf.entry < end for start, end, _perms in elf.segments):
        raise TriageError(
            f"{name} has a damaged ELF header: it begins at 0x{elf.entry:x}, which none of its segments holds"
        )
