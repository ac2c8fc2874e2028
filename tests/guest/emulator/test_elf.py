"""The ELF reader on whole, broken and hostile files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import struct
from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.guest.emulator.elf import FileBytes, check_whole, read_elf
from triage_tui.guest.spec import LaunchSpec, resolve_target


def make(
    wide: bool = False, little: bool = True, machine: int = 8, interpreter: bytes = b"/lib/ld.so.1\0"
) -> bytes:
    """Return a small dynamically linked executable's headers."""
    order = "<" if little else ">"
    header_size, entry_size = (64, 56) if wide else (52, 32)
    text_at = header_size + 2 * entry_size
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if little else 2, 1]) + bytes(9)
    layout = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    data = ident + struct.pack(
        layout, 2, machine, 1, 0x400100, header_size, 0, 0x1000, header_size, entry_size, 2, 0, 0, 0
    )
    if wide:
        load = struct.pack(order + "IIQQQQQQ", 1, 5, 0, 0x400000, 0, 0x1000, 0x1000, 0x1000)
        interp = struct.pack(order + "IIQQQQQQ", 3, 4, text_at, 0, 0, len(interpreter), len(interpreter), 1)
    else:
        load = struct.pack(order + "IIIIIIII", 1, 0, 0x400000, 0, 0x1000, 0x1000, 5, 0x1000)
        interp = struct.pack(order + "IIIIIIII", 3, text_at, 0, 0, len(interpreter), len(interpreter), 4, 1)
    return data + load + interp + interpreter


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("little", [False, True])
def test_reads_all_layouts(wide: bool, little: bool) -> None:
    elf = read_elf(make(wide, little), "x")
    assert (elf.bits, elf.little_endian, elf.machine) == (64 if wide else 32, little, 8)
    assert elf.interpreter == "/lib/ld.so.1"
    assert (elf.lowest, elf.flags, elf.position_independent) == (0x400000, 0x1000, False)
    assert elf.segments == ((0x400000, 0x401000, "r-x"),)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no ELF file"),
        (b"#!/bin/sh\n", "a script"),
        (b"\x7fELF", "cut off inside its ELF header"),
        (b"\x7fELF\x01\x01" + bytes(20), "cut off inside its ELF header"),
        (b"\x7fELF\x09\x01" + bytes(60), "damaged"),
        (make()[:80], "cut off inside its ELF program headers"),
        (make()[:116], "cut off before its interpreter's name"),
        (make(interpreter=b"ld.so\0"), "damaged interpreter"),
    ],
)
def test_says_what_is_wrong(data: bytes, words: str) -> None:
    with pytest.raises(TriageError, match=words) as caught:
        read_elf(data, "the program")
    assert "the program" in str(caught.value)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_never_raise_anything_else(seed: int) -> None:
    generator = random.Random(seed)
    data = bytearray(make(wide=seed % 2 == 0))
    for _ in range(6):
        data[generator.randrange(4, len(data))] = generator.randrange(256)
    with contextlib.suppress(TriageError):
        read_elf(bytes(data), "x")


def test_a_file_without_a_whole_page_of_a_segment_is_cut_off() -> None:
    elf = read_elf(make(), "x")
    assert elf.file_ranges == ((0, 0x1000),)
    # What lacks of the last page is zero, whoever loads it.
    for size in (0x1000, 0x2000, 1):
        check_whole(elf, size, "x")
    with pytest.raises(TriageError) as caught:
        check_whole(elf, 0, "the program")
    assert str(caught.value) == (
        "the program is cut off: its segment r-x at 0x400000-0x401000 needs 4096 bytes of the file, "
        "and the file has 0: copy it again"
    )


def test_a_file_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "program"
    with path.open("wb+") as file:
        file.write(make())
        file.truncate(1 << 40)
        data = FileBytes(file.fileno())
        assert (len(data), data[:4], data[1 << 41 : 1 << 42]) == (1 << 40, b"\x7fELF", b"")
        assert read_elf(data, "x").interpreter == "/lib/ld.so.1"


def test_an_interpreter_with_any_name_is_found(tmp_path: Path) -> None:
    image = make(interpreter=b"/ld\xff\0").ljust(0x1000, b"\0")
    (tmp_path / "program").write_bytes(image)
    (tmp_path / "program").chmod(0o755)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/ld\xff")).write_bytes(b"")
    target, elf = resolve_target(LaunchSpec(program="/program", rootfs=tmp_path))
    assert (target.interpreter, elf.interpreter) == (r"/ld\xff", "/ld\udcff")
    assert target.program_sha256 == hashlib.sha256(image).hexdigest()
