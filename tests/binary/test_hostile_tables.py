"""Unwind tables that are damaged or made to harm: nothing is raised, and the work is bounded."""

from __future__ import annotations

import random
import struct

import pytest

from tests.binary.tables import damaged, table_ranges
from tests.guest.test_frames import TABLES
from tests.guest.work import within
from tests.programs import ARCHES, build
from triage_tui.binary.cfi import MAX_RULES, CallFrameTable
from triage_tui.binary.exidx import ExceptionIndex
from triage_tui.binary.symbols import parse_image

WORK = 3_000_000
"""Calls of functions to read one file and a hundred of its rows."""
ROW = 250_000
"""The same for one row at most."""


@pytest.mark.parametrize("arch", ARCHES)
def test_mutated_tables_of_a_real_program(arch: str) -> None:
    source = random.Random(arch)
    data = build("frames", arch, *TABLES).read_bytes()
    ranges = table_ranges(data)
    assert ranges
    addresses = [symbol.start + 8 for symbol in parse_image(data).symbols if symbol.is_function]
    found = 0
    for _ in range(6):
        unwind = parse_image(damaged(data, ranges, source)).unwind

        def look() -> int:
            count = 0
            for addr in source.choices(addresses, k=100):
                rows = (unwind.row(addr), unwind.start_of(addr), unwind.exception_code(addr))  # noqa: B023
                count += any(row is not None for row in rows)
            return count

        found += within(WORK, look)
    assert found > 50


def table(instructions: bytes, *, common: bytes = b"") -> CallFrameTable:
    """Return a `.debug_frame` whose one entry covers 0x1000 to 0x2000."""

    def block(body: bytes) -> bytes:
        return struct.pack("<I", len(body)) + body

    first = block(b"\xff\xff\xff\xff\x01\0\x01\x7c\x0e" + common)
    data = first + block(struct.pack("<III", 0, 0x1000, 0x1000) + instructions)
    return CallFrameTable(data, 0, little=True, word=4, is_eh=False)


def uleb(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


CFA = b"\x0c\x0d\x08"
"""DW_CFA_def_cfa: register 13 + 8"""


@pytest.mark.parametrize(
    "instructions",
    [
        b"".join(b"\x05" + uleb(number) + b"\x01" for number in range(MAX_RULES + 1)),
        b"\x05\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\x0a" * 100,
        b"\x0b",
        b"\x00" * 30_000,
        b"\x0a\x0b" * 15_000,
        b"\x0f" + uleb(5000) + b"\x96" * 5000,
        b"\x10\x04" + uleb(1 << 60),
        b"\x3f",
        b"\x0f",
    ],
    ids=[
        *("registers", "endless number", "states", "no state", "nops", "states in turn"),
        *("long expression", "expression beyond the end", "unknown", "cut off"),
    ],
)
def test_hostile_instructions_give_no_row(instructions: bytes) -> None:
    assert within(ROW, lambda: table(CFA + instructions).row(0x1800)) is None
    assert within(ROW, lambda: table(b"", common=CFA + instructions).row(0x1800)) is None


def test_the_same_table_gives_a_row_without_them() -> None:
    row = table(CFA + b"\x8e\x01").row(0x1800)
    assert row is not None
    assert (row.start, row.cfa_register, row.cfa_offset, row.rules[14].number) == (0x1000, 13, 8, -4)


def test_states_that_copy_many_registers_are_bounded() -> None:
    many = b"".join(b"\x05" + uleb(number) + b"\x01" for number in range(MAX_RULES))
    assert within(ROW, lambda: table(CFA + many + b"\x0a\x0b" * 9000).row(0x1800)) is not None


@pytest.mark.parametrize("size", [0, 1, 7, 8, 4096, 800_000])
def test_any_bytes_are_an_exception_index(size: int) -> None:
    source = random.Random(size)
    data = source.randbytes(size)
    index = within(700_000, lambda: ExceptionIndex(data, 0x1000, lambda _addr, want: data[:want], True))
    for _ in range(200):
        code = index.at(source.getrandbits(32))
        assert code is None or len(code) < 300
