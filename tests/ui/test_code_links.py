"""What lines of code lead to, and following them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.binary.loaded import Loaded
from tests.retry.test_recorded_code import recorded
from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.model import Syscall
from triage_tui.runs.writer import encode_json
from triage_tui.ui.app import TriageApp
from triage_tui.ui.code_links import Known, assembly_links, pseudocode_links
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.syscalls import SyscallsPane


@dataclass
class Files:
    """Program files with code from 0x400000 to 0x500000 and one function."""

    def address_of(self, name: str) -> int | None:
        return 0x400D11 if name == "socket_setup" else None

    def has_code(self, address: int) -> bool:
        return 0x400000 <= address < 0x500000


def _known(tmp_path: Path, arch: str = "mipsel") -> Known:
    run_dir = fixtures.make_exit_run(tmp_path / "ai_runs")
    with open(run_dir / "trace.jsonl", "ab") as trace:
        trace.write(encode_line(Syscall(seq=99, name="openat", pc=0x400A08)) + b"\n")
    view = load_view(run_dir, tmp_path)
    view.snapshot.target.arch = arch
    return Known(view, Files())


@pytest.mark.parametrize(
    ("line", "arch", "thumb", "linked"),
    [
        ("   0x00400a00  0c000000  bl       #0x400e00", "arm", False, [("0x400e00", "ev:code/0x400e00")]),
        ("   0x00400a00  0c000000  bl       #0x400e00", "arm", True, [("0x400e00", "ev:code/0x400e01")]),
        ("   0x00400a00  0c000000  blx      #0x400e00", "arm", True, [("0x400e00", "ev:code/0x400e00")]),
        ("=> 0x00400a00  0c000000  bnez     $v0, 0x400a40    ; <f+0x40>", "mipsel", False,
         [("<f+0x40>", "ev:code/0x400a40")]),
        ("   0x00400a00  0c000000  jalr     $t9              ; <socket_setup>", "mipsel", False,
         [("<socket_setup>", "ev:code/0x400d11")]),
        ("   0x00400a00  0c000000  jalr     $t9              ; <elsewhere>", "mipsel", False, []),
        ("   0x00400a00  e8fb0300  call     0x400e00         ; <puts>", "x86_64", False,
         [("<puts>", "ev:code/0x400e00")]),
        ("   0x00400a00  e8fb0300  call     0x900e00         ; <puts>", "x86_64", False, []),
        ("   0x00400a00  0c000000  bic      r0, r0, #0x400e00", "arm", False, []),
        ("   0x00400a00  0c000000  addiu    $a0, $a0, 0x10   ; 0x7ffe0000 \"a text\"", "mipsel", False, []),
        ("   0x00400a04  0c000000  syscall                   ; syscall openat", "mipsel", False,
         [("syscall openat", "ev:syscall/0x400a08")]),
        ("   0x00400b04  0c000000  syscall                   ; syscall openat", "mipsel", False,
         [("syscall openat", "ev:syscall/openat")]),
        ("   0x00400b04  0c000000  syscall                   ; syscall mount", "mipsel", False, []),
        ("; a comment", "mipsel", False, []),
    ],
)  # fmt: skip
def test_lines_of_disassembly(
    line: str, arch: str, thumb: bool, linked: list[tuple[str, str]], tmp_path: Path
) -> None:
    found = assembly_links(line, _known(tmp_path, arch), thumb=thumb)
    assert [(line[first:end], link) for first, end, link in found] == linked


def test_strings_lead_to_memory_that_was_kept(tmp_path: Path) -> None:
    known = _known(tmp_path)
    kept = next(entry for entry in known.view.snapshot.memory if entry.blob is not None)
    line = f'   0x00400a00  00000000  addiu    $a0, $a0, 4      ; 0x{kept.addr:x} "text"'
    assert [link for _, _, link in assembly_links(line, known)] == [f"ev:mem/0x{kept.addr:x}"]


def test_calls_in_pseudocode(tmp_path: Path) -> None:
    known = _known(tmp_path)
    line = "  if (socket_setup(sub_400e00(x), printf(y)) < udhcp_read_interface(0)) return (1);"
    found = [(line[first:end], link) for first, end, link in pseudocode_links(line, known)]
    assert found == [
        ("socket_setup", "ev:code/0x400d11"),
        ("sub_400e00", "ev:code/0x400e00"),
        ("udhcp_read_interface", "ev:code/1"),
    ]


def _workspace(tmp_path: Path) -> tuple[Path, Loaded]:
    """Return a workspace with one run of a program whose file is at hand."""
    guest = Loaded("thumb", tmp_path)
    run = recorded(guest, tmp_path, "thumb")
    caller = guest.address("caller")
    trace = [
        Syscall(seq=1, name="openat", ret=-2, errno="ENOENT", pc=caller + 4, return_address=caller + 1),
        Syscall(seq=4, name="getpid", ret=2),
        Syscall(seq=5, name="openat", ret=3, pc=caller + 4),
    ]
    (run.dir / "trace.jsonl").write_bytes(b"".join(encode_line(call) + b"\n" for call in trace))
    return tmp_path, guest


async def test_calls_are_followed_into_program_files_and_back(tmp_path: Path) -> None:
    workspace, guest = _workspace(tmp_path)
    app = TriageApp(workspace)
    inner = guest.address("inner")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.main.tiles and app.main.view and app.main.pane("code").view)
        await pilot.press("3", "home")
        calls, code = app.main.query_one(SyscallsPane), app.main.code
        calls.move_to(0)
        await pilot.press("w")
        await until(pilot, lambda: app.main.active == "code" and code.function and code.marked)
        assert "made openat, syscall 1" in shown(app)
        assert code.title_note.startswith("caller · disassembly of imports.so")
        await until(pilot, lambda: code.known and code.known.programs)
        call = code.rows.find(lambda row: row.text.endswith("<inner>"))
        assert call is not None
        code.move_to(call)
        await pilot.press("enter")
        await until(pilot, lambda: code.function and code.function.name == "inner")
        assert code.marked
        assert f"0x{inner:08x}" in code.rows.row(code.marked[0]).text
        await pilot.press("backspace")
        await until(pilot, lambda: code.function and code.function.name == "caller")
        assert code.cursor == call
        await pilot.press("backspace")
        await until(pilot, lambda: app.main.active == "syscalls")
        await pilot.pause()
        assert calls.cursor == 0
        await pilot.press("j", "w")
        await until(pilot, lambda: "does not say where syscall 4 was made" in said(app))
        app.main.follow(f"ev:syscall/0x{guest.address('caller') + 4:x}")
        await until(pilot, lambda: len(calls.rows) == 2)
        assert calls.filter_text.startswith("pc:0x")


async def test_the_code_is_searched_and_hits_are_stepped_through(app: TriageApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("5", "home", "slash", *"jalr")
        code = app.main.code
        await until(pilot, lambda: code.search_note == "/jalr 1 of 2")
        first = code.cursor
        await pilot.press("enter", "n")
        assert code.cursor > first
        assert "n next hit" in shown(app)
        await pilot.press("n")
        assert code.cursor == first, "after the last comes the first"
        await pilot.press("N")
        assert code.cursor > first
        assert [part for row in map(code._rows.row, range(len(code.rows))) for part in row.parts
                if part[1] == "hit"] == [("jalr", "hit")] * 2  # fmt: skip
        run = app.main.wanted
        await pilot.press("escape")
        assert code.search_text == ""
        assert app.main.active == "code"
        await pilot.press("n")
        await until(pilot, lambda: app.main.wanted != run)


async def test_back_leads_through_other_runs_to_the_exact_row_and_its_marks(app: TriageApp) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        main = app.main
        await pilot.press("1")
        main.follow("ev:syscall/11")
        calls = main.query_one(SyscallsPane)
        await until(pilot, lambda: calls.marked)
        marked, top = calls.marked, calls.scroll_offset.y
        main.follow("ev:code/1#L9")
        await until(pilot, lambda: main.active == "code" and main.code.marked)
        main.runs.select(fixtures.LOOP_RUN)
        await until(pilot, lambda: main.view and main.view.run_id == fixtures.LOOP_RUN)
        await pilot.press("backspace")
        await until(pilot, lambda: main.active == "syscalls" and calls.marked)
        assert main.view is not None
        assert main.view.run_id == fixtures.EXIT_RUN
        assert (calls.marked, calls.scroll_offset.y) == (marked, top)
        await pilot.press("backspace")
        await until(pilot, lambda: main.active == "diagnosis")


async def test_a_chosen_frame_brings_its_code_and_its_stack(app: TriageApp, workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / fixtures.EXIT_RUN
    snapshot = load_view(run_dir, workspace).snapshot
    kept = next(entry for entry in snapshot.memory if entry.blob is not None)
    snapshot.backtrace.frames[2].sp = kept.addr
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("4", "j", "j")
        await until(pilot, lambda: app.main.code.frame and app.main.code.frame.idx == 2)
        await until(pilot, lambda: app.main.memory.marked)
        assert app.main.active == "backtrace"
        registers = app.main.registers
        row = registers.rows.find(lambda row: row.text.startswith("   frame 2: pc 0x42f7a0, sp 0x"))
        assert row is not None
        assert [link for _, _, link in registers.rows.row(row).links] == [
            "ev:code/2",
            f"ev:mem/0x{kept.addr:x}",
        ]
        await pilot.press("home")
        await until(pilot, lambda: registers.rows.find(lambda row: "frame 2: pc" in row.text) is None)
