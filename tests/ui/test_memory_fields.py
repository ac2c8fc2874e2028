"""What recorded bytes mean: structures beside or below their bytes, pointers and strings in unknown words."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.conftest import opened, until
from tests.ui.kept_run import HEAP, heap_byte, make_kept_run
from triage_tui.runs.memory_model import Blob, MemoryObject
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json
from triage_tui.ui.app import TriageApp
from triage_tui.ui.comparison.compare import compare
from triage_tui.ui.loading import load_view
from triage_tui.ui.memory_fields import MAX_ALL_FIELDS, MAX_FIELDS, explanations_of
from triage_tui.ui.memory_objects import ObjectSection
from triage_tui.ui.memory_rows import MemoryRows
from triage_tui.ui.rows import Row
from triage_tui.ui.run_view import RunView

PLACE = 0x4AB100


def keep_address(run_dir: Path, arch: str, sign: str) -> None:
    """Record that syscall 20, a connect, has the address 10.0.0.1:80, on a machine of this byte order."""
    data = struct.pack(f"{sign}H", 2) + b"\0\x50\x0a\0\0\1" + bytes(8)
    keep(run_dir, arch, "trigger_arg1", "socket address", "socket address of connect (syscall 20)", data)


def keep(run_dir: Path, arch: str, ident: str, tag: str, purpose: str, data: bytes) -> None:
    snapshot = load_run(run_dir).snapshot
    snapshot.target.arch = arch
    snapshot.recent_syscalls = [Syscall(seq=20, name="connect", args=[3, PLACE, 16], pid=2)]
    (run_dir / "memory/kept.bin").write_bytes(data)
    snapshot.memory.insert(
        0,
        MemoryObject(
            id=ident,
            tag=tag,
            source="trigger",
            addr=PLACE,
            addr_hex=hex(PLACE),
            purpose=purpose,
            blob=Blob(addr=PLACE, addr_hex=hex(PLACE), size=len(data), file="memory/kept.bin"),
        ),
    )
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))


def rows_of(view: RunView, width: int = 80) -> list[Row]:
    told = explanations_of(view)[0]
    return [told.row(index, width) for index in range(len(told))]


@pytest.mark.parametrize(("arch", "sign"), [("mipsel", "<"), ("mips", ">")])
def test_the_argument_of_a_call_is_decoded_in_its_byte_order(tmp_path: Path, arch: str, sign: str) -> None:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    keep_address(run_dir, arch, sign)
    rows = rows_of(load_view(run_dir, tmp_path))
    assert rows[0].text.strip() == "struct sockaddr_in"
    assert rows[2].text.split() == ["+0x002", "sin_port", "80"]
    assert rows[3].text.split() == ["+0x004", "sin_addr", "10.0.0.1"]
    assert rows[3].links[0][2] == "ev:mem/trigger_arg1+4:4"


@pytest.mark.parametrize(("arch", "endian"), [("mipsel", "little"), ("mips", "big")])
def test_pointers_and_strings_are_found_in_unknown_words(tmp_path: Path, arch: str, endian: str) -> None:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    order = "<" if endian == "little" else ">"
    data = struct.pack(f"{order}II", 7, 0x431E4C) + b"/etc/config\0" + struct.pack(f"{order}I", PLACE + 8)
    keep(run_dir, arch, "reg_sp", "stack", "innermost stack frame", data)
    rows = rows_of(load_view(run_dir, tmp_path))
    assert [row.text.split() for row in rows[1:]] == [
        ["+0x004", "0x431e4c", "udhcp_read_interface+0x9c"],
        ["+0x008", '"/etc/config"'],
        ["+0x014", hex(PLACE + 8), "busybox+0xab108", "→", '"/etc/config"'],
    ]
    assert [link for _, _, link in rows[1].links] == ["ev:mem/reg_sp+4:4", "ev:frame/1"]


def test_pointers_of_objects_are_followed_through_kept_regions(tmp_path: Path) -> None:
    run_dir = make_kept_run(tmp_path / "ai_runs", tmp_path / "root")
    keep(run_dir, "mipsel", "reg_sp", "stack", "innermost stack frame", struct.pack("<II", 7, HEAP + 8))
    view = load_view(run_dir, tmp_path)
    (row,) = rows_of(view)[1:]
    word = int.from_bytes(bytes(heap_byte(8 + offset) for offset in range(4)), "little")
    assert row.text.split() == ["+0x004", hex(HEAP + 8), "[heap]", "→", hex(word)]
    # The comparison says the same of registers.
    register = view.snapshot.regs[4]
    register.value = HEAP + 8
    found = compare(view, view)
    (line,) = [pair.left for one in found.sections if one.title == "Registers" for pair in one.pairs
               if pair.left is not None and pair.left.kind == register.name]  # fmt: skip
    assert line.text.endswith(f"[heap] → {word:#x}")


def test_a_purpose_that_does_not_fit_its_call_is_not_believed(tmp_path: Path) -> None:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    purpose = "socket address of connect (syscall 20)"
    keep(run_dir, "mipsel", "trigger_arg0", "socket address", purpose, b"\2\0" + bytes(14))
    assert rows_of(load_view(run_dir, tmp_path)) == []


def test_wide_views_have_the_fields_beside_the_bytes(tmp_path: Path) -> None:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    keep_address(run_dir, "mipsel", "<")
    view = load_view(run_dir, tmp_path)
    section = ObjectSection(view.memory[0], view.explanations[0])
    rows = MemoryRows([section], [])
    rows.layout(80)
    below = [rows.row(index).text for index in range(len(rows))]
    rows.layout(150)
    beside = [rows.row(index) for index in range(len(rows))]
    assert len(beside) == len(below) - 1, "the first line stands beside the only row of bytes"
    assert "02 00 00 50" in beside[2].text
    assert beside[2].text.endswith("struct sockaddr_in")
    port = beside[4]
    first, end, link = port.links[0]
    assert (port.text[first:end], link) == ("+0x002", "ev:mem/trigger_arg1+2:2")
    for index in range(len(rows)):
        number, place = rows._place(index)
        assert (number, section.line(place)) == (0, index), "every row is found again"
    assert all(cell_len(row.text) <= 150 for row in beside)


async def test_a_field_leads_to_its_bytes(app: TriageApp, workspace: Path) -> None:
    keep_address(workspace / "ai_runs" / fixtures.EXIT_RUN, "mipsel", "<")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("7")
        pane = app.main.pane("memory")
        pane.move_to(pane.rows.find(lambda row: "sin_addr" in row.text) or 0)
        await pilot.press("enter")
        await until(pilot, lambda: pane.marked)
        row, span = pane.rows.row(pane.marked[0]), pane._marks[pane.marked[0]]
        assert span is not None
        assert row.text[span[0] : span[1]] == "0a 00 00 01"


def test_endless_words_are_bounded(tmp_path: Path) -> None:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    keep(run_dir, "mipsel", "reg_sp", "stack", "innermost stack frame", struct.pack("<I", PLACE) * 1024)
    view = load_view(run_dir, tmp_path)
    assert len(view.explanations[0]) == MAX_FIELDS + 1
    view.memory = [view.memory[0]] * 64
    assert sum(map(len, explanations_of(view))) <= MAX_ALL_FIELDS + MAX_FIELDS + 64
