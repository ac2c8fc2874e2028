"""The branch that led to the end, read from listings as the product writes them, of real programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.diagnosis.decision import decision_of
from triage_tui.diagnosis.report import diagnose
from triage_tui.resources import recorded_runs
from triage_tui.runs.files import write_atomic
from triage_tui.runs.frame_model import Backtrace, Frame, PseudocodeRef
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import encode_json

# main of a static ARM program: it compares what getenv and strcmp give, and exits.
_THUMB = """\
; 0x10614 in x, main+0x1c (arm thumb)
   0x000105f8  08b5      push     {r3, lr}
   0x000105fa  0548      ldr      r0, [pc, #0x14]            ; "DEVICE_MODE"
   0x000105fc  03f0e0fb  bl       #0x13dc0                   ; <getenv>
   0x00010600  18b1      cbz      r0, #0x1060a
   0x00010602  0449      ldr      r1, [pc, #0x10]            ; "router"
   0x00010604  08f0aaff  bl       #0x1955c                   ; <strcmp>
   0x00010608  18b1      cbz      r0, #0x10616
   0x0001060a  0420      movs     r0, #4
   0x0001060c  03f040fa  bl       #0x13a90                   ; <exit>
<- 0x00010610  00bf      nop
   0x00010616  0af0e7fa  bl       #0x1abe8                   ; <pause>
"""
_MIPS = """\
   0x00400490  1000bcaf  jal      0x400800                   ; <verify>
   0x00400494  00000000  nop
   0x00400498  04004014  bnez     $v0, 0x4004ac
   0x0040049c  00000000  nop
   0x004004a0  1000bcaf  jal      0x400900                   ; <exit>
   0x004004a4  03000424  addiu    $a0, $zero, 3
<- 0x004004a8  00000000  nop
"""
_X86 = """\
   0x08049180  e8000000  call     0x8049100                  ; <check>
   0x08049185  85c0      test     eax, eax
   0x08049187  7502      jne      0x8049196
   0x08049189  6a03      push     3
   0x0804918b  e8000000  call     0x8049110                  ; <exit>
<- 0x08049190  90        nop
"""
# What it compares is an argument of main, kept in r4, and not what open or close returned.
_ARGUMENT = """\
   0x0001044a  11f04bff  bl       #0x222e4                   ; <open>
   0x0001044e  0028      cmp      r0, #0
   0x00010450  03da      bge      #0x1045a                   ; <main+0x1a>
   0x00010452  012c      cmp      r4, #1
   0x00010454  04dd      ble      #0x10460                   ; <main+0x20>
   0x00010456  0020      movs     r0, #0
   0x00010458  10bd      pop      {r4, pc}
   0x0001045a  12f08df8  bl       #0x22578                   ; <close>
   0x0001045e  f8e7      b        #0x10452                   ; <main+0x12>
   0x00010460  4020      movs     r0, #0x40
   0x00010462  03f0e9fe  bl       #0x14238                   ; <exit>
<- 0x00010466  00bf      nop
"""
# The result goes through another register, and is stored meanwhile.
_COPIED = """\
   0x00010600  03f0e0fb  bl       #0x13dc0                   ; <check>
   0x00010604  0446      mov      r4, r0
   0x00010606  0090      str      r0, [sp]
   0x00010608  0020      movs     r0, #0
   0x0001060a  002c      cmp      r4, #0
   0x0001060c  03d0      beq      #0x10616
   0x0001060e  03f040fa  bl       #0x13a90                   ; <exit>
<- 0x00010612  00bf      nop
"""
_STRAIGHT = """\
   0x00010600  03f0e0fb  bl       #0x13dc0                   ; <work>
   0x00010604  0420      movs     r0, #0
   0x00010608  03f040fa  bl       #0x13a90                   ; <exit>
<- 0x0001060c  00bf      nop
"""


@pytest.mark.parametrize(
    ("text", "arch", "compared", "line"),
    [
        (_THUMB, "arm", "strcmp,getenv", 8),
        (_MIPS, "mipsel", "verify", 3),
        (_X86, "i386", "check", 3),
        (_ARGUMENT, "arm", "", 5),
        (_COPIED, "arm", "check", 6),
        (_STRAIGHT, "arm", None, None),
    ],
)
def test_the_branch_and_what_it_compares(
    tmp_path: Path, text: str, arch: str, compared: str | None, line: int | None
) -> None:
    run = _with_listing(tmp_path, text, arch)
    found = decision_of(run)
    if compared is None:
        assert found is None
        return
    assert found is not None
    assert found.source is not None
    assert (found.compared, found.calls, found.source.line) == (compared, "exit", line)


def test_a_shipped_run_shows_that_what_open_returned_led_to_the_exit() -> None:
    run_dir = next(path for path in recorded_runs() if path.name.endswith("05"))
    found = decision_of(load_run(run_dir))
    assert found is not None
    assert (found.compared, found.calls) == ("open", "exit")


def test_a_hostile_listing_makes_no_link(tmp_path: Path) -> None:
    run = _with_listing(tmp_path, _X86.replace("<check>", "<[x](ev:mem/y)>"))
    found = decision_of(run)
    assert found is not None
    assert "](ev:" not in found.says
    assert diagnose(run).hypotheses


def _with_listing(tmp_path: Path, text: str, arch: str = "i386", trace: bytes = b"1 exit_group(3)\n") -> Run:
    run = write_run(tmp_path, parse_trace(trace), reason="exit", argv=["/bin/x"], code=3, arch=arch)
    frames = [
        Frame(idx=0, addr=1, addr_hex="0x1", module_name="libc.so.6", func_name="_Exit"),
        Frame(idx=1, addr=2, addr_hex="0x2", module_name="x", func_name="main"),
    ]
    (run.dir / "pseudocode").mkdir()
    (run.dir / "pseudocode" / "frame01_0x2.txt").write_text(text)
    index = [PseudocodeRef(frame=1, addr_hex="0x2", file="pseudocode/frame01_0x2.txt")]
    run.snapshot.backtrace = Backtrace(frames=frames, pseudocode_index=index)
    write_atomic(run.dir / "snapshot.json", encode_json(run.snapshot))
    return load_run(run.dir)


@pytest.mark.parametrize(("callee", "sure"), [("open", True), ("time", False), ("verify", True)])
def test_a_failure_that_the_branch_does_not_look_at_counts_for_less(
    tmp_path: Path, callee: str, sure: bool
) -> None:
    text = _X86.replace("<check>", f"<{callee}>")
    trace = (
        b'1 openat(AT_FDCWD,"/etc/x",O_RDONLY) = -1 errno=2 (No such file or directory)\n1 exit_group(3)\n'
    )
    found = diagnose(_with_listing(tmp_path, text, trace=trace)).hypotheses[0]
    assert (found.cause, found.confidence >= 0.5) == ("missing_file" if sure else found.cause, sure)
