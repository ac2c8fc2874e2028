"""The instruction of a fault, and the register that led it to the address."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.diagnosis.fault import fault_address, fault_of
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.evidence import resolve
from triage_tui.runs.frame_model import Backtrace, Frame, PseudocodeRef
from triage_tui.runs.model import Register
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import RunWriter, encode_json

AT = 0x400100


def faulted(
    directory: Path, instruction: str, detail: str, registers: dict[str, int], signal: str = "SIGSEGV"
) -> Run:
    file = "pseudocode/frame00_0x400100.txt"
    writer = RunWriter(directory)
    writer.write_text(file, f"   0x004000fc  00000000  nop\n=> 0x{AT:08x}  d1e90023  {instruction}\n")
    frames = [Frame(idx=0, addr=AT, addr_hex=f"0x{AT:x}", pseudocode_file=file)]
    index = [PseudocodeRef(frame=0, addr_hex=f"0x{AT:x}", file=file, kind="disassembly")]
    run_dir = write_run(
        directory, [], "signal", None, writer, backtrace=Backtrace(frames=frames, pseudocode_index=index)
    )
    run = load_run(run_dir)
    run.snapshot.trigger.signal, run.snapshot.trigger.detail = signal, detail
    run.snapshot.regs = [
        Register(num=-1, name=name, value=value, size=4) for name, value in registers.items()
    ]
    (run_dir / "snapshot.json").write_bytes(encode_json(run.snapshot))
    return load_run(run_dir)


@pytest.mark.parametrize(
    ("instruction", "address", "registers", "base"),
    [
        ("ldrd     r2, r3, [r1]", 0x10, {"r1": 0x10, "r2": 9}, "r1 = 0x10"),
        ("ldr      r0, [sb, #0x18]", 0x18, {"r0": 5, "r9": 0}, "r9 = 0x0"),
        ("lw       $v0, -4($a0)", 0x0FFC, {"v0": 0, "a0": 0x1000}, "a0 = 0x1000"),
        ("ld       r3, 0(r3)", 0, {"r3": 0}, "r3 = 0x0"),
        ("mov      eax, dword ptr [ecx - 8]", 0xFFFFFFF8, {"eax": 1, "ecx": 0}, "ecx = 0x0"),
        ("ldr      r0, [r4, r5, lsl #2]", 0x2008, {"r4": 0x2000, "r5": 2}, "r4 = 0x2000 and r5 = 0x2"),
        ("ldr      r0, [r4]", 0x77, {"r4": 0x2000}, None),
    ],
)
def test_the_register_is_named_that_gives_the_address(
    tmp_path: Path, instruction: str, address: int, registers: dict[str, int], base: str | None
) -> None:
    run = faulted(tmp_path, instruction, f"killed by SIGSEGV (si_code=1, si_addr=0x{address:x})", registers)
    fault = fault_of(run)
    assert (fault.base if fault is not None else None) == base
    if fault is not None:
        assert fault.near_null is (address < 4096)


def test_the_instruction_is_told_with_a_link_to_it(tmp_path: Path) -> None:
    run = faulted(
        tmp_path, "ldr      r3, [r0, #0x10]", "killed by SIGSEGV (si_code=1, si_addr=0x10)", {"r0": 0}
    )
    best = diagnose(run).hypotheses[0]
    assert (best.entry, best.proposals) == ("crash", [])
    assert "reached for address 0x10, which came of r0 = 0x0" in best.explanation
    assert "A pointer that nobody set" in best.explanation
    (shown,) = [one for one in best.evidence if "/0#L2" in one.link]
    assert "ldr      r3, [r0, #0x10]" in resolve(run, shown.link).text
    assert best.wanted == ["where r0 = 0x0 came from: the code before that instruction"]
    blind = faulted(
        tmp_path / "blind", "ldr      r3, [r0]", "killed by SIGSEGV (si_code=1, si_addr=0x10)", {"r0": 0}
    )
    best = diagnose(blind).hypotheses[0]
    assert best.wanted == ["the instruction at which SIGSEGV came, and the registers it used"]


def test_another_processor_is_proposed_for_illegal_instructions_alone(tmp_path: Path) -> None:
    detail = f"killed by SIGILL (si_code=2, si_addr=0x{AT:x})"
    best = diagnose(faulted(tmp_path, "cmovne   edx, eax", detail, {"eax": 1}, "SIGILL")).hypotheses[0]
    assert (best.entry, best.proposals) == ("illegal-instruction", ["processor_model"])
    assert "the processor does not know cmovne edx, eax" in best.explanation


@pytest.mark.parametrize(
    ("detail", "address"),
    [
        ("si_code=1, si_addr=NULL)", 0),
        ("si_code=1, si_addr=0x10)", 16),
        ("si_code=SI_USER, si_pid=2", None),
        ("si_code=SI_TKILL, si_addr=0x10", None),
    ],
)
def test_the_address_of_a_fault(detail: str, address: int | None) -> None:
    assert fault_address(detail) == address
