"""A run with whole regions of memory kept: large, with holes, of a file, and of another process."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.ui import fixtures
from triage_tui.runs.memory_files import BlockWriter
from triage_tui.runs.memory_model import FileExtent, MemoryExtent, MemoryRegion
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json

HEAP = 0x500000
HEAP_SIZE = 3 << 20
TEXT = 0x10000000
STACK = 0x60000000
OTHER = 0x500000
"""Of process 7, at the address of the heap of process 2."""


def heap_byte(offset: int) -> int:
    """Return the byte at an offset of the heap: each depends on its page."""
    return (offset // 4096 * 7 + offset) & 0xFF


def _heap() -> bytes:
    """Return all bytes of the heap, a page at a time."""
    ramp = bytes(range(256)) * 17
    return b"".join(ramp[(first := page * 7 & 0xFF) : first + 4096] for page in range(HEAP_SIZE // 4096))


def make_kept_run(runs_dir: Path, root: Path) -> Path:
    """Write the DHCP client's run once more, with regions; `root` becomes its root file system."""
    run_dir = fixtures.make_exit_run(runs_dir)
    code = bytes((number * 3) & 0xFF for number in range(8192))
    (root / "lib").mkdir(parents=True, exist_ok=True)
    (root / "lib/libkept.so").write_bytes(code)
    regions = [
        _kept(run_dir, 2, HEAP, "[heap]", _heap()),
        MemoryRegion(
            pid=2,
            start=TEXT,
            end=TEXT + 8192,
            perms="r-x",
            name="/lib/libkept.so",
            files=[FileExtent(TEXT, 8192, "/lib/libkept.so", 0, hashlib.sha256(code).hexdigest())],
        ),
        _stack(run_dir),
        MemoryRegion(
            pid=2, start=0xB0000000, end=0xB0001000, perms="---", name="", missing="it is not readable"
        ),
        _kept(run_dir, 7, OTHER, "[heap]", b"other process" + bytes(4083)),
    ]
    snapshot = load_run(run_dir).snapshot
    snapshot.memory_regions = regions
    snapshot.target.rootfs = str(root)
    snapshot.maps += [
        Mapping(HEAP, HEAP + HEAP_SIZE, "rw-p", name="[heap]"),
        Mapping(TEXT, TEXT + 8192, "r-xp", path="/lib/libkept.so"),
        Mapping(0xC0000000, 0xC0001000, "rw-p"),
    ]
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))
    return run_dir


def _kept(run_dir: Path, pid: int, start: int, name: str, data: bytes) -> MemoryRegion:
    file = f"memory/{pid}-{start:x}.mem"
    output = BlockWriter(run_dir, file)
    output.write(data)
    output.finish()
    return MemoryRegion(
        pid=pid,
        start=start,
        end=start + len(data),
        perms="rw-",
        name=name,
        file=file,
        size=output.size,
        hashes=output.hashes,
        extents=[MemoryExtent(start, len(data), 0)],
    )


def _stack(run_dir: Path) -> MemoryRegion:
    """Return a region of a gigabyte of which the last page was written."""
    region = _kept(run_dir, 2, STACK + (1 << 30) - 4096, "[stack]", b"top of the stack" + bytes(4080))
    region.start = STACK
    return region
