"""What a spinning loop reads, from listings as the product writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.diagnosis.polled import polled_word
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.files import write_atomic
from triage_tui.runs.frame_model import Backtrace, Frame, PseudocodeRef
from triage_tui.runs.memory_model import Blob, MemoryObject
from triage_tui.runs.model import Register
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import encode_json

_THUMB = """\
   0x0001046e  04f091ff  bl       #0x15394                   ; <fflush>
=> 0x00010472  2368      ldr      r3, [r4]
   0x00010474  002b      cmp      r3, #0
   0x00010476  fcd0      beq      #0x10472                   ; <main+0x32>
   0x00010478  0020      movs     r0, #0
"""
_MIPS = """\
   0x00400690  0800428c  lw       $v0, 8($s0)
=> 0x00400694  feff4010  beqz     $v0, 0x400690
   0x00400698  00000000  nop
"""
_X86 = """\
=> 0x08049180  8b4604    mov      eax, dword ptr [esi + 4]
   0x08049183  85c0      test     eax, eax
   0x08049185  74f9      je       0x8049180
"""
_COUNTER = """\
=> 0x00010472  2368      ldr      r3, [r4]
   0x00010474  0133      adds     r3, #1
   0x00010476  2360      str      r3, [r4]
   0x00010478  fbe7      b        #0x10472
"""
_WALK = """\
=> 0x00010472  2368      ldr      r3, [r4]
   0x00010474  0434      adds     r4, #4
   0x00010476  002b      cmp      r3, #0
   0x00010478  fbd1      bne      #0x10472
"""
_CALLS = _THUMB.replace("cmp      r3, #0", "bl       #0x15394                   ; <step>")
_X86_WRITES = _X86.replace("mov      eax, dword ptr [esi + 4]", "inc      dword ptr [esi + 4]")


@pytest.mark.parametrize(
    ("text", "arch", "register", "address"),
    [
        (_THUMB, "arm", "r4", 0x5000),
        (_MIPS, "mipsel", "s0", 0x5008),
        (_X86, "i386", "esi", 0x5004),
        # It counts, it goes through memory, it asks somebody, it writes: it may come to an end by itself.
        (_COUNTER, "arm", "r4", None),
        (_WALK, "arm", "r4", None),
        (_CALLS, "arm", "r4", None),
        (_X86_WRITES, "i386", "esi", None),
    ],
)
def test_the_word_that_a_loop_reads(
    tmp_path: Path, text: str, arch: str, register: str, address: int | None
) -> None:
    run = _run(tmp_path, text, arch, register)
    found = polled_word(run)
    best = diagnose(run).hypotheses[0]
    assert best.cause == "spin_or_lock"
    if address is None:
        assert found is None
        assert best.confidence < 0.8
        return
    assert found is not None
    assert (found.address, found.value, found.where) == (address, 7, "shared")
    assert best.confidence >= 0.8
    assert f"reads {address:#x} again and again, which holds 0x7" in best.explanation


def test_a_place_that_nobody_can_write_is_no_flag(tmp_path: Path) -> None:
    assert polled_word(_run(tmp_path, _THUMB, "arm", "r4", perms="r--s")) is None
    # A register that the record has not, or with a value that is none.
    assert polled_word(_run(tmp_path / "b", _THUMB, "arm", "r9")) is None


def _run(tmp_path: Path, text: str, arch: str, register: str, held: int = 7, perms: str = "rw-s") -> Run:
    run = write_run(
        tmp_path, parse_trace(b"1 write(1,0x1000,4) = 4\n"), reason="idle", argv=["/bin/x"], arch=arch
    )
    snapshot = run.snapshot
    snapshot.trigger.spinning = True
    snapshot.regs = [Register(num=0, name=register, value=0x5000, size=4)]
    snapshot.maps = [Mapping(start=0x5000, end=0x6000, perms=perms, name="shared")]
    data = held.to_bytes(4, "little") * 8
    (run.dir / "memory").mkdir()
    (run.dir / "memory" / "m.bin").write_bytes(data)
    blob = Blob(addr=0x5000, addr_hex="0x5000", size=len(data), file="memory/m.bin")
    snapshot.memory = [
        MemoryObject(id="m", tag="register", source="register", addr=0x5000, addr_hex="0x5000", blob=blob)
    ]
    frames = [Frame(idx=0, addr=2, addr_hex="0x2", module_name="x", func_name="main")]
    (run.dir / "pseudocode").mkdir()
    (run.dir / "pseudocode" / "frame00_0x2.txt").write_text(text)
    index = [PseudocodeRef(frame=0, addr_hex="0x2", file="pseudocode/frame00_0x2.txt")]
    snapshot.backtrace = Backtrace(frames=frames, pseudocode_index=index)
    write_atomic(run.dir / "snapshot.json", encode_json(snapshot))
    return load_run(run.dir)


_BIT = """\
=> 0x0040022c  8c621280  lw       $v0, 8($v1)
   0x00400230  30420008  andi     $v0, $v0, 8
   0x00400234  1040fffd  beqz     $v0, 0x40022c
   0x00400238  00000000  nop
"""
_ABOVE = """\
=> 0x00010472  b9400260  ldr      w0, [x19]
   0x00010476  7100281f  cmp      w0, #9
   0x0001047a  54ffffcd  b.le     #0x10472
"""
_LESS = """\
=> 0x08049180  833d24c004080a  cmp      dword ptr [esi], 0xa
   0x08049187  73f7      jae      0x8049180
"""
_ODD = """\
=> 0x00010472  2368      ldr      r3, [r4]
   0x00010474  0133      clz      r3, r3
   0x00010476  002b      cmp      r3, #0
   0x00010478  fbd0      beq      #0x10472
"""


@pytest.mark.parametrize(
    ("text", "arch", "register", "held", "ends"),
    [
        (_THUMB, "arm", "r4", 0, 1),
        (_THUMB.replace("#0\n", "#7\n").replace("beq ", "bne "), "arm", "r4", 0, 7),
        (_MIPS, "mipsel", "s0", 0, 1),
        (_BIT, "mipsel", "v1", 1, 8),
        (_X86, "i386", "esi", 0, 1),
        (_ABOVE, "aarch64", "x19", 3, 10),
        (_LESS, "i386", "esi", 12, 1),
        # It does not go on with what is there, or does what is not understood: no value is certain.
        (_THUMB, "arm", "r4", 5, None),
        (_ODD, "arm", "r4", 0, None),
    ],
)
def test_the_value_that_ends_a_loop(
    tmp_path: Path, text: str, arch: str, register: str, held: int, ends: int | None
) -> None:
    found = polled_word(_run(tmp_path, text, arch, register, held))
    assert found is not None
    assert found.ends == (ends if ends is not None else -1)
