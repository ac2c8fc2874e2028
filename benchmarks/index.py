"""How long the index of a program takes, against capstone alone going over the same bytes.

`python -m benchmarks.index [rounds]`. The programs are the tests' own, linked statically by Debian's linkers
and with their symbols; the larger ones are stripped and repeat the code of one, so that calls stay what
they are in real code.
"capstone alone" decodes all code to text in the same pieces and looks at nothing.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import print_table, take_turns, timed
from tests.programs import ARCHES, build
from triage_tui.binary import index_store
from triage_tui.binary.disassembly import lite_engine
from triage_tui.binary.elf_machine import instruction_set_of
from triage_tui.binary.indexing import build_index
from triage_tui.binary.symbols import parse_image

ROUNDS = 5
SIZES_MB = (1, 2.5, 5)
_CHUNK = 8192


def code_of(data: bytes) -> list[tuple[int, bytes]]:
    """Return (address, bytes) of the executable segments."""
    image = parse_image(data)
    return [
        (one.vaddr, data[one.offset : one.offset + one.file_size]) for one in image.segments if one.executable
    ]


def capstone_alone(arch: str, pieces: list[tuple[int, bytes]], thumb: bool) -> int:
    engine = lite_engine(arch, thumb)
    count = 0
    for base, code in pieces:
        for at in range(0, len(code), _CHUNK):
            for _ in engine.disasm_lite(code[at : at + _CHUNK], base + at):
                count += 1
    return count


def arm_of_size(size: int) -> bytes:
    """Return a stripped program for ARM, without section headers, whose code has about `size` bytes."""
    [(_, code)] = code_of(build("chain", "arm").read_bytes())[:1]
    code = code[: len(code) & ~3]
    text = (code * (size // len(code) + 1))[: size & ~3]
    start = 84
    header = b"\x7fELF\x01\x01\x01" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, 0x10000 + start, 52, 0, 0x5000000, 52, 32, 1, 0, 0, 0)
    whole = start + len(text)
    return header + struct.pack("<8I", 1, 0, 0x10000, 0x10000, whole, whole, 5, 0x1000) + text


def measure(title: str, data: bytes, rounds: int, thumb: bool = False) -> None:
    arch = instruction_set_of(data)
    assert arch is not None
    pieces = code_of(data)
    size = sum(len(code) for _, code in pieces)
    cases = {
        "capstone alone": timed(lambda: capstone_alone(arch, pieces, thumb)),
        "index": timed(lambda: build_index(data)),
    }
    index = build_index(data)
    note = f"{len(index.functions)} functions, {len(index.edges)} calls, {len(index.uses)} uses of strings"
    print_table(f"{title}, {size / 1e6:.1f} MB of code", take_turns(cases, rounds), note)


def whole(data: bytes, rounds: int) -> None:
    """What a command waits for: the process that makes the index, and reading a kept one."""

    def fresh() -> None:
        index_store._memory.clear()
        for path in index_store.directory().glob("*"):
            path.unlink()
        index_store.index_of(data)

    def kept() -> None:
        index_store._memory.clear()
        index_store.index_of(data)

    with tempfile.TemporaryDirectory() as work:
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(Path(work))
        try:
            cases = {"made, in its own process": timed(fresh), "read from the cache": timed(kept)}
            print_table(f"ARM, {len(data) / 1e6:.1f} MB, as a command gets it", take_turns(cases, rounds))
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    programs = {arch: build("chain", arch).read_bytes() for arch in ARCHES}
    large = [arm_of_size(int(size * 1e6)) for size in SIZES_MB]
    for arch, data in programs.items():
        measure(arch, data, rounds, arch == "thumb")
    for data in large:
        measure("ARM, stripped, without section headers", data, rounds)
    whole(large[-1], rounds)


if __name__ == "__main__":
    main()
