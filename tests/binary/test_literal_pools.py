"""Words of data between ARM instructions are shown as data, and what lies behind them is decoded anew."""

from __future__ import annotations

import struct

import pytest

from triage_tui.binary.code import CodeReader
from triage_tui.binary.modules import ModuleMap

BASE = 0x10000
_A32 = struct.pack("<6I", 0xE59F0004, 0xE12FFF1E, 0, 0xEAFFFFFE, 0xE59F0000, 0xE12FFF1E)
"""ldr r0, [pc, #4]; bx lr; padding; a literal that reads as a branch; ldr r0, [pc]; bx lr"""
_THUMB = struct.pack("<4HI2H", 0x4801, 0x4770, 0xBF00, 0xBF00, 0xE7FEE7FE, 0x2000, 0x4770)
"""ldr r0, [pc, #4]; bx lr; nop; nop; a literal that reads as two branches; movs r0, #0; bx lr"""


@pytest.mark.parametrize(
    ("code", "thumb", "literal", "behind"),
    [(_A32, False, 0xEAFFFFFE, "ldr"), (_THUMB, True, 0xE7FEE7FE, "movs")],
    ids=["a32", "thumb"],
)
def test_a_literal_is_no_branch(code: bytes, thumb: bool, literal: int, behind: str) -> None:
    def read(at: int, size: int) -> bytes:
        return code[at - BASE : at - BASE + size] if at >= BASE else b""

    maps = ModuleMap([], None, lambda _path: None)
    reader = CodeReader("arm", 4, True, read, maps)
    whole = reader.listing(BASE, thumb=thumb, start=BASE, end=BASE + len(code)).lines
    [line] = [line for line in whole if ".word" in line]
    assert f"0x{literal:08x}" in line.split(".word")[1]
    assert behind in whole[whole.index(line) + 1]
    # Where nobody knows the end, the function ends with its literals.
    assert ".word" in reader.listing(BASE, thumb=thumb, start=BASE).lines[-1]
