"""All memory of real guests, kept on disk and read back by address."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import build
from triage_tui.errors import TriageError
from triage_tui.guest.record.capture import Scope, capture
from triage_tui.guest.record.memory_dump import AddressSpace, dump_memory
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.evidence import make_link, resolve
from triage_tui.runs.memory_files import RegionReader
from triage_tui.runs.memory_model import FileExtent, MemoryExtent, MemoryRegion
from triage_tui.runs.model import Engine
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import RunWriter


def root_with_memory(directory: Path, arch: str, *flags: str) -> Path:
    (directory / "bin").mkdir(parents=True)
    (directory / "bin/memory").write_bytes(build("memory", arch, *flags).read_bytes())
    (directory / "bin/memory").chmod(0o755)
    return directory


@pytest.fixture(scope="module")
def kept(qemu_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[int, bytes]]:
    """A run with all memory, and what the guest's memory was: start of each mapping -> bytes."""
    work = tmp_path_factory.mktemp("kept")
    root = root_with_memory(work / "root", "arm", "-DSPARSE=2")
    truth: dict[int, bytes] = {}
    with Guest.start(spec(root, qemu_dir, "/bin/memory")) as guest:
        stop = guest.run_until_stop()
        writer = RunWriter(work / "runs")
        target = guest.target
        snapshot = capture(guest, stop, writer, target=target, engine=Engine(), scope=Scope(all_memory=True))
        for mapping in snapshot.maps:
            if "r" in mapping.perms and mapping.end - mapping.start <= 16 << 20:
                truth[mapping.start] = guest.read_memory(mapping.start, mapping.end - mapping.start)
        return load_run(writer.publish()), truth


def read_all(run: Run, start: int, size: int) -> bytes:
    places = range(start, start + size, 1 << 20)
    return b"".join(run.read_memory(at, min(1 << 20, start + size - at)) for at in places)


def test_every_byte_can_be_read_back(kept: tuple[Run, dict[int, bytes]]) -> None:
    run, truth = kept
    assert len(truth) > 5
    assert sum(map(len, truth.values())) > 12 << 20
    for start, data in truth.items():
        assert read_all(run, start, len(data)) == data


def said(run: Run) -> dict[str, int]:
    """Return the addresses that the program printed."""
    printed = re.findall(r"(\w+) (0x[0-9a-f]+)", run.text_file("logs/guest.log"))
    return {name: int(value, 16) for name, value in printed}


def test_what_is_empty_costs_nothing(kept: tuple[Run, dict[int, bytes]]) -> None:
    run, _ = kept
    place = said(run)["sparse"]
    assert run.read_memory(place, 24) == b"in the middle of nothing"
    assert run.read_memory(place + (1 << 20), 4096) == bytes(4096)
    region = next(entry for entry in run.snapshot.memory_regions if entry.start <= place < entry.end)
    assert region.end - region.start == 2 << 30
    assert region.size <= 1 << 17


def test_what_a_file_holds_is_only_referred_to(kept: tuple[Run, dict[int, bytes]]) -> None:
    run, _ = kept
    text = next(entry for entry in run.snapshot.memory_regions if "x" in entry.perms)
    assert (text.file, text.size, text.missing) == ("", 0, None)
    (reference,) = text.files
    assert reference.path == "/bin/memory"
    assert (reference.addr, reference.size) == (text.start, text.end - text.start)
    data = next(e for e in run.snapshot.memory_regions if e.start <= said(run)["data"] < e.end)
    assert data.extents
    assert run.read_memory(said(run)["data"], 8) == b"changed\0"


def test_links_into_kept_memory_resolve(kept: tuple[Run, dict[int, bytes]]) -> None:
    run, _ = kept
    address = said(run)["data"]
    link = make_link(run, "mem", f"0x{address:x}", offset=0, length=7)
    found = resolve(run, link)
    assert (found.exists, found.hash_ok, found.text) == (True, True, b"changed".hex(" "))
    pid = run.snapshot.processes[0].pid
    assert resolve(run, f"ev:mem/{pid}@0x{address:x}+0:7").text == found.text
    assert not resolve(run, "ev:mem/0xfffffffffff0+0:7").exists
    assert not resolve(run, f"ev:mem/99@0x{address:x}+0:7").exists


def test_files_are_the_owners_and_are_checked(kept: tuple[Run, dict[int, bytes]]) -> None:
    run, _ = kept
    address = said(run)["filled"]
    region = next(entry for entry in run.snapshot.memory_regions if entry.start <= address < entry.end)
    path = run.dir / region.file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == region.size == 4 << 20
    assert len(region.hashes) == 4
    with path.open("r+b") as file:
        file.seek(3 << 20)
        byte = file.read(1)
        file.seek(3 << 20)
        file.write(bytes([byte[0] ^ 1]))
    fresh = load_run(run.dir)
    assert fresh.read_memory(address, 1 << 20) == run.read_memory(address, 1 << 20)
    with pytest.raises(TriageError, match="was changed after it was recorded"):
        fresh.read_memory(address + (3 << 20), 1)
    with path.open("r+b") as file:
        file.seek(3 << 20)
        file.write(byte)
    os.truncate(path, region.size - 4096)
    with pytest.raises(TriageError, match="was changed"):
        load_run(run.dir).read_memory(address + region.size - 16, 8)


def test_a_limit_is_kept_and_told(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with_memory(tmp_path / "root", "mipsel")
    with Guest.start(spec(root, qemu_dir, "/bin/memory")) as guest:
        guest.run_until_stop()
        writer = RunWriter(tmp_path / "runs")
        regions = dump_memory(guest.address_spaces(), writer, 1 << 20)
    assert sum(region.size for region in regions) <= 1 << 20
    cut = [region for region in regions if region.missing]
    assert any("limit of bytes for one capture" in str(region.missing) for region in cut)
    on_disk = sum(path.stat().st_size for path in writer.dir.rglob("*.mem"))
    assert on_disk == sum(region.size for region in regions)


def test_a_process_that_ends_meanwhile_and_memory_that_is_gone(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with_memory(tmp_path / "root", "mipsel")
    with Guest.start(spec(root, qemu_dir, "/bin/memory")) as guest:
        guest.run_until_stop()
        (space,) = guest.address_spaces()
        # The host's first page is never mapped.
        stale = Mapping(start=-space.base, end=0x1000 - space.base, perms="rw-s")
        here = AddressSpace(space.pid, space.host_pid, space.base, [stale, *space.maps])
        regions = dump_memory([here], RunWriter(tmp_path / "runs"), 1 << 30)
    assert "not all of it could be read" in str(regions[0].missing)
    assert sum(region.size for region in regions) > 4 << 20
    # Now it is gone.
    regions = dump_memory([space], RunWriter(tmp_path / "more"), 1 << 30)
    assert {region.size for region in regions} == {0}
    assert all(region.missing for region in regions)


def test_a_hostile_index_reads_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    for file in ("../secret", "/etc/hostname", "memory/none"):
        region = MemoryRegion(
            pid=2, start=0, end=4096, perms="rw-p", name="x", file=file, size=6,
            extents=[MemoryExtent(addr=0, size=6, offset=0)],
        )  # fmt: skip
        with pytest.raises(TriageError):
            RegionReader(tmp_path / "run", region, tmp_path).read(0, 6)
    for path in ("/../secret", "/secret", "/missing"):
        region = MemoryRegion(
            pid=2, start=0, end=4096, perms="r-xp", name="x",
            files=[FileExtent(addr=0, size=6, path=path, offset=0, sha256="0" * 64)],
        )  # fmt: skip
        with pytest.raises(TriageError, match=r"any more|another one now"):
            RegionReader(tmp_path / "run", region, tmp_path).read(0, 6)
