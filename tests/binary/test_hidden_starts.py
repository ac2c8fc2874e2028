"""Functions that nobody calls, behind the ends of others; tables in the code are not taken for them."""

from __future__ import annotations

import struct

import pytest

from triage_tui.binary.call_graph import CallGraph
from triage_tui.binary.index_model import Function
from triage_tui.binary.indexing import build_index

BASE = 0x10054
"""Where the code begins: behind the headers."""


def functions(code: bytes, *, thumb: bool) -> list[Function]:
    """Return the functions of a stripped ARM program without section headers that begins with `code`."""
    entry = BASE | (1 if thumb else 0)
    header = b"\x7fELF\x01\x01\x01" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, entry, 52, 0, 0x5000000, 52, 32, 1, 0, 0, 0)
    # Long enough that what kind of code it is can be told.
    code += (b"\x70\x47" if thumb else b"\x1e\xff\x2f\xe1") * 200
    size = 84 + len(code)
    return CallGraph(
        build_index(header + struct.pack("<8I", 1, 0, 0x10000, 0x10000, size, size, 5, 0x1000) + code)
    ).index.functions


def starts(code: bytes, *, thumb: bool) -> list[int]:
    return [one.start - BASE for one in functions(code, thumb=thumb) if one.start < BASE + len(code)]


def a32(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def t16(*halves: int) -> bytes:
    return struct.pack(f"<{len(halves)}H", *halves)


BX_LR, MOV, CMP0, ADD = 0xE12FFF1E, 0xE3A00000, 0xE3500000, 0xE2800001


@pytest.mark.parametrize(
    ("code", "found"),
    [
        pytest.param(a32(MOV, BX_LR, CMP0, BX_LR, ADD, BX_LR), [0, 8, 16], id="leaf functions"),
        # ldr r0, [pc]; bx lr; a literal; the next one
        pytest.param(a32(0xE59F0000, BX_LR, 0x12345678, CMP0, BX_LR), [0, 12], id="behind a literal"),
        # cmp r0, #0; beq +3 words; mov; bx lr; add; bx lr
        pytest.param(a32(CMP0, 0x0A000001, MOV, BX_LR, ADD, BX_LR), [0], id="a branch leads there"),
        # b to the test at the end of a loop
        pytest.param(a32(MOV, 0xEA000000, ADD, CMP0, 0x1AFFFFFC, BX_LR), [0], id="a loop"),
        # cmp r0, #2; addls pc, pc, r0, lsl #2; b 2; b 3; b 4; b 5; then the cases
        pytest.param(
            a32(0xE3500002, 0x908FF100, 0xEA000006, 0xEA000001, 0xEA000002, 0xEA000003)
            + a32(MOV, BX_LR, ADD, BX_LR, MOV, BX_LR),
            [0],
            id="a table of branches",
        ),
        # ldr pc, [sp], #4 is a return
        pytest.param(a32(0xE52DE004, MOV, 0xE49DF004, CMP0, BX_LR), [0, 12], id="a return by a load"),
    ],
)
def test_a32_functions_that_nobody_calls(code: bytes, found: list[int]) -> None:
    assert starts(code, thumb=False) == found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        pytest.param(t16(0x2000, 0x4770, 0x3001, 0x4770), [0, 4], id="leaf functions"),
        pytest.param(t16(0x2000, 0x4770, 0xBF00, 0xBF00, 0x3001, 0x4770), [0, 8], id="behind padding"),
        # tbb [pc, r0]; 2 entries; case; case
        pytest.param(
            t16(0xE8DF, 0xF000, 0x0301, 0x2000, 0x4770, 0x3001, 0x4770, 0x2100, 0x4770), [0, 14], id="tbb"
        ),
        # adr r1, table; ldr.w r0, [r1, r0, lsl #2]; add r0, r1; bx r0; two distances; case; case
        pytest.param(
            t16(0xA102, 0xF851, 0x0020, 0x4408, 0x4700, 0xBF00)
            + struct.pack("<2i", 9, 13)
            + t16(0x2000, 0x4770, 0x3001, 0x4770),
            [0],
            id="distances",
        ),
    ],
)
def test_thumb_functions_that_nobody_calls(code: bytes, found: list[int]) -> None:
    assert starts(code, thumb=True) == found
    assert all(one.thumb for one in functions(code, thumb=True))
