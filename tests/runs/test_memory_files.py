"""Memory kept in files: what the record says of sizes and places is not believed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.runs.memory_files import MAX_COMPARED, RegionReader
from triage_tui.runs.memory_model import FileExtent, MemoryExtent, MemoryRegion
from triage_tui.runs.memory_search import search

TEXT = b"code" * 1024


def reader(place: Path, piece: FileExtent | MemoryExtent) -> RegionReader:
    """Return the reader of a region of one piece; the guest's file and the kept one hold the same."""
    for name in ("lib.so", "kept.mem"):
        (place / name).write_bytes(TEXT)
    kept = MemoryRegion(
        pid=2,
        start=0,
        end=1 << 62,
        perms="r--",
        name="lib.so",
        file="kept.mem",
        hashes=[hashlib.sha256(TEXT).hexdigest()],
        extents=[piece] if isinstance(piece, MemoryExtent) else [],
        files=[piece] if isinstance(piece, FileExtent) else [],
    )
    return RegionReader(place, kept, place)


@pytest.mark.parametrize(("offset", "size"), [(0, len(TEXT)), (1024, 1024), (2048, 4096)])
def test_a_piece_of_a_guests_file_is_read(tmp_path: Path, offset: int, size: int) -> None:
    data = TEXT[offset : offset + size].ljust(size, b"\0")
    piece = FileExtent(0, size, "/lib.so", offset, hashlib.sha256(data).hexdigest())
    assert reader(tmp_path, piece).read(0, size) == data


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 1 << 50), (0, len(TEXT) + (1 << 16)), (1 << 70, 1), (-1, 64), (1 << 63, 64)]
)
def test_a_size_or_place_that_no_file_has_is_refused_at_once(tmp_path: Path, offset: int, size: int) -> None:
    piece = FileExtent(0, size, "/lib.so", offset, "0" * 64)
    one = reader(tmp_path, piece)
    with pytest.raises(TriageError, match=r"lib\.so.* is another one now"):
        one.read(0, 1)
    assert any("another one" in step.problem for step in search(b"code", [], [one]))


def test_a_very_large_file_is_not_compared(tmp_path: Path) -> None:
    size = MAX_COMPARED + 1
    one = reader(tmp_path, FileExtent(0, size, "/lib.so", 0, "0" * 64))
    with (tmp_path / "lib.so").open("r+b") as file:
        file.truncate(size)
    with pytest.raises(TriageError, match="too large to compare"):
        one.read(0, 1)


@pytest.mark.parametrize(("offset", "size"), [(1 << 70, 16), (-16, 16), (0, 1 << 50), (1 << 40, 16)])
def test_a_kept_piece_that_lies_nowhere_is_refused(tmp_path: Path, offset: int, size: int) -> None:
    one = reader(tmp_path, MemoryExtent(0, size, offset))
    with pytest.raises(TriageError, match=r"kept\.mem"):
        one.read(1, 1 << 20)
