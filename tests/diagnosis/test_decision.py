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
_STRAIGHT = """\
   0x00010600  03f0e0fb  bl       #0x13dc0                   ; <work>
   0x00010604  0420      movs     r0, #0
   0x00010608  03f040fa  bl       #0x13a90                   ; <exit>
<- 0x0001060c  00bf      nop
"""


@pytest.mark.parametrize(
    ("text", "compared", "line"),
    [(_THUMB, "strcmp,getenv", 8), (_MIPS, "verify", 3), (_X86, "check", 3), (_STRAIGHT, None, None)],
)
def test_the_branch_and_what_it_compares(
    tmp_path: Path, text: str, compared: str | None, line: int | None
) -> None:
    run = _with_listing(tmp_path, text)
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


def _with_listing(tmp_path: Path, text: str) -> Run:
    run = write_run(tmp_path, parse_trace(b"1 exit_group(3)\n"), reason="exit", argv=["/bin/x"], code=3)
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
