"""What stands beside the bytes of a kept region."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from tests.ui.kept_run import make_kept_run
from triage_tui.runs.memory_model import FileExtent, MemoryRegion
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json
from triage_tui.ui.kept_memory import MemoryPages
from triage_tui.ui.loading import load_view
from triage_tui.ui.memory_fields import Decoded
from triage_tui.ui.memory_sections import HEAD, Layout, RegionSection
from triage_tui.ui.region_meanings import give_meanings

START = 0x700000


def test_strings_pointers_and_fields_stand_beside_the_bytes(tmp_path: Path) -> None:
    run_dir = make_kept_run(tmp_path / "ai_runs", tmp_path / "root")
    words = struct.pack("<4I", 5, START + 0x9000, 7, 0)
    data = (words + b"a name on the row\0").ljust(0x9000, b"\0") + b"far away\0" + bytes(0x1000)
    (tmp_path / "root/lib/data").write_bytes(data)
    end = START + len(data)
    piece = FileExtent(START, len(data), "/lib/data", 0, hashlib.sha256(data).hexdigest())
    snapshot = load_run(run_dir).snapshot
    snapshot.memory_regions = [
        MemoryRegion(pid=2, start=START, end=end, perms="rw-", name="/lib/data", files=[piece])
    ]
    snapshot.maps.append(Mapping(START, end, "rw-p", path="/lib/data"))
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))
    view = load_view(run_dir, tmp_path)

    pages = MemoryPages(view.run.region_readers())
    section = RegionSection(0, view.snapshot.memory_regions[0], pages)
    give_meanings(view, [section], {START + 8: Decoded("ifr_index", 0, 4, "7")})
    section.lay(Layout(180, 16, 13))
    first, second = HEAD + 1, HEAD + 2
    for _ in range(3):
        section.row(first)
        pages.keep(pages.read(pages.take_wanted()))
    row = section.row(first)
    assert "+4 0x709000" in row.text
    assert '→ "far away"' in row.text
    assert "+8 ifr_index 7" in row.text
    assert any("0x709000" in link for _, _, link in row.links)
    assert '+0 "a name on the row"' in section.row(second).text
    assert not pages.wanting
    # Where there is no room beside them, the bytes stand alone.
    section.lay(Layout(80, 16, 13))
    assert "far away" not in section.row(first).text
