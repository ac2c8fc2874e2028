"""Searching recorded memory: patterns, borders of blocks, holes, what cannot be read, and an end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.runs.memory_files import BlockWriter, RegionReader
from triage_tui.runs.memory_model import FileExtent, MemoryExtent, MemoryRegion
from triage_tui.runs.memory_search import BLOCK, MAX_HITS, Found, Hit, pattern_of, search

START = 0x10000


def region(run_dir: Path, *pieces: tuple[int, bytes], files: list[FileExtent] | None = None) -> RegionReader:
    """Keep pieces of memory (address, bytes) as one region of 1 GiB."""
    writer = BlockWriter(run_dir, "memory/kept.mem")
    extents, offset = [], 0
    for address, data in pieces:
        writer.write(data)
        extents.append(MemoryExtent(address, len(data), offset))
        offset += len(data)
    writer.finish()
    kept = MemoryRegion(
        pid=2,
        start=START,
        end=START + (1 << 30),
        perms="rw-",
        name="[heap]",
        file="memory/kept.mem",
        size=writer.size,
        hashes=writer.hashes,
        extents=extents,
        files=files or [],
    )
    return RegionReader(run_dir, kept, run_dir)


def hits(found: list[Found]) -> list[Hit]:
    return [hit for step in found for hit in step.hits]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("de ad be ef", b"\xde\xad\xbe\xef"),
        ("DE  AD", b"\xde\xad"),
        ("0xdeadbeef", b"\xde\xad\xbe\xef"),
        ("dead", b"dead"),
        ("de", b"de"),
        ('"de ad"', b"de ad"),
        ("eth0", b"eth0"),
        ("caf\u00e9", b"caf\xc3\xa9"),
        ("0xabc", b"0xabc"),
        (" x", b" x"),
    ],
)
def test_what_a_person_means(typed: str, meant: bytes) -> None:
    assert pattern_of(typed) == meant


@pytest.mark.parametrize("typed", ["", '""', "x" * 5000])
def test_what_cannot_be_searched_is_refused(typed: str) -> None:
    with pytest.raises(TriageError):
        pattern_of(typed)


def test_objects_come_first_and_every_hit_is_found(tmp_path: Path) -> None:
    reader = region(tmp_path, (START, b"..eth0.."))
    found = list(search(b"eth0", [(0x50, b"eth0eth0"), (0x90, b"none")], [reader]))
    assert hits(found) == [Hit("object", 0, 0x50), Hit("object", 0, 0x54), Hit("region", 0, START + 2)]
    assert found[-1].done == found[-1].total == 8 + 4 + 8


def test_hits_across_blocks_and_pieces_are_found_once(tmp_path: Path) -> None:
    data = bytearray(2 * BLOCK + 100)
    for place in (0, BLOCK - 2, 2 * BLOCK - 5, 2 * BLOCK + 96):
        data[place : place + 4] = b"eth0"
    first, second = bytes(data[: BLOCK + 7]), bytes(data[BLOCK + 7 :])
    reader = region(tmp_path, (START, first), (START + len(first), second))
    found = hits(list(search(b"eth0", [], [reader])))
    assert [hit.address - START for hit in found] == [0, BLOCK - 2, 2 * BLOCK - 5, 2 * BLOCK + 96]


def test_what_was_never_written_costs_nothing(tmp_path: Path) -> None:
    reader = region(tmp_path, (START, b"a" * 10), (START + (1 << 29), b"needle"))
    found = list(search(b"needle", [], [reader]))
    assert hits(found) == [Hit("region", 0, START + (1 << 29))]
    assert found[-1].total == 16


def test_what_cannot_be_read_is_told_and_costs_its_piece_only(tmp_path: Path) -> None:
    gone = FileExtent(START + 100, 50, "/lib/gone.so", 0, hashlib.sha256(bytes(50)).hexdigest())
    reader = region(tmp_path, (START, b"needle".ljust(100)), (START + 150, b"needle"), files=[gone])
    found = list(search(b"needle", [], [reader]))
    assert [hit.address - START for hit in hits(found)] == [0, 150]
    assert any("gone.so" in step.problem for step in found)


def test_it_ends_when_it_is_cancelled_or_has_enough(tmp_path: Path) -> None:
    reader = region(tmp_path, (START, b"a" * (3 * BLOCK)))
    assert len(list(search(b"b", [], [reader], lambda: True))) == 1
    assert len(hits(list(search(b"a", [], [reader])))) == MAX_HITS
