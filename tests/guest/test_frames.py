"""Call stacks of real guests on every architecture, against the chain that their source makes."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from tests.guest.helpers import spec
from tests.programs import ARCHES, build
from triage_tui.binary.modules import ModuleMap
from triage_tui.binary.symbols import ElfImage, parse_image
from triage_tui.guest.freezing.triggers import CallTrigger, TriggerLimits
from triage_tui.guest.host import process
from triage_tui.guest.state.memory import Memory
from triage_tui.guest.supervisor import Guest
from triage_tui.guest.unwind import Cursor, walk
from triage_tui.runs.process_model import Mapping

WAITING = TriggerLimits(calls=(CallTrigger("pause"), CallTrigger("ppoll")), idle_s=60, time_limit_s=120)
BARE = ("-O2", "-fomit-frame-pointer", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
POINTERS = ("-O2", "-fno-omit-frame-pointer", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
TABLES = ("-O2", "-fomit-frame-pointer", "-funwind-tables", "-fasynchronous-unwind-tables")

ANY = "..."
"""Stands for any frames: the library's between ours, or one that the compiler may leave out."""
CHAINS = {
    "plain": ["stop_here", "compare", ANY, "sorter", "wide", "nested", "main"],
    "deep": ["stop_here", *["descend"] * 40, "nested", "main"],
    "signal": ["stop_here", "handler", "<signal>", "faulter", "wide_signal", "nested", "main"],
    "altstack": ["stop_here", "handler", "<signal>", "faulter", "wide_signal", "nested", "main"],
    "noreturn": ["stop_here", "fatal", "nested", "main"],
    "tail": ["stop_here", "after_tail", ANY, "nested", "main"],
    "pointer": ["stop_here", "through", "nested", "main"],
}


def without_sections(data: bytes) -> bytes:
    """Return an ELF file without its section headers, and so without symbols, as `sstrip` leaves it."""
    out = bytearray(data)
    offset, count = ((0x28, 8), (0x3C, 4)) if out[4] == 2 else ((0x20, 4), (0x30, 4))
    for at, size in (offset, count):
        out[at : at + size] = bytes(size)
    return bytes(out)


def without_symbols(data: bytes) -> bytes:
    """Return an ELF file whose symbol table is none any more, as `strip` leaves it; its sections stay."""
    out = bytearray(data)
    order: Literal["little", "big"] = "little" if out[5] == 1 else "big"
    wide = out[4] == 2
    start = int.from_bytes(out[0x28:0x30] if wide else out[0x20:0x24], order)
    at = 0x3A if wide else 0x2E
    size, count = int.from_bytes(out[at : at + 2], order), int.from_bytes(out[at + 2 : at + 4], order)
    for section in range(start, start + size * count, size):
        if int.from_bytes(out[section + 4 : section + 8], order) == 2:
            out[section + 4 : section + 8] = bytes(4)
    return bytes(out)


@dataclass(frozen=True)
class Source:
    guest: Guest
    mappings: list[Mapping]

    def read_memory(self, addr: int, size: int) -> bytes:
        return self.guest.read_memory(addr, size)

    def maps(self) -> list[Mapping]:
        return self.mappings


Stack = tuple[list[Cursor], list[str]]


def stacks_of(
    program: Path,
    kinds: Sequence[str],
    root: Path,
    qemu_dir: Path,
    strip: Callable[[bytes], bytes] = without_sections,
    times: list[float] | None = None,
) -> list[Stack]:
    """Run `program`, stripped, until it waits in each chain of `kinds`; return the frames there.

    Their names are by the symbols kept here. `times` takes the seconds that the frames took.
    """
    (root / "bin").mkdir(parents=True)
    stripped = root / "bin" / "frames"
    stripped.write_bytes(strip(program.read_bytes()))
    stripped.chmod(0o755)
    image = parse_image(program.read_bytes())
    stacks = []
    with Guest.start(spec(root, qemu_dir, "/bin/frames", *kinds, triggers=WAITING)) as guest:
        for number in range(len(kinds)):
            if number:
                process.send_signal(guest.pid, signal.SIGUSR1)
            stop = guest.run_until_stop()
            assert stop.reason == "syscall", stop.trigger.detail
            frames = frames_of(guest, times)
            stacks.append((frames, [name_of(image, frame) for frame in frames]))
    shutil.rmtree(root)
    return stacks


def frames_of(guest: Guest, times: list[float] | None) -> list[Cursor]:
    modules = ModuleMap(guest.maps(), Path(guest.root_path))
    memory = Memory(Source(guest, guest.maps()), guest.arch)

    def is_code(addr: int) -> bool:
        known = modules.is_code(addr)
        return memory.may_hold_code(addr) if known is None else known

    start = time.perf_counter()
    frames = walk(
        guest.arch,
        guest.registers(),
        memory,
        is_code=is_code,
        function_start=modules.function_start,
        is_outermost=modules.is_entry,
        unwind_row=modules.unwind_row,
        exception_code=modules.exception_code,
    )
    if times is not None:
        times.append(time.perf_counter() - start)
    return frames


def name_of(image: ElfImage, frame: Cursor) -> str:
    if frame.signal:
        return "<signal>"
    symbol = image.symbol_at(frame.pc if frame.exact else frame.pc - 1, functions_only=True)
    return symbol.name if symbol else "?"


def follows(names: Sequence[str], chain: Sequence[str]) -> bool:
    """Say whether `chain` stands in `names` without a gap, from its first name on."""
    if chain[0] not in names:
        return False
    at = names.index(chain[0])
    for n, wanted in enumerate(chain):
        if wanted == ANY:
            if chain[n + 1] not in names[at:]:
                return False
            at = names.index(chain[n + 1], at)
        elif at >= len(names) or names[at] != wanted:
            return False
        else:
            at += 1
    return True


@pytest.mark.parametrize("arch", ARCHES)
def test_stripped_program_with_tables(arch: str, tmp_path: Path, qemu_dir: Path) -> None:
    program = build("frames", arch, *TABLES)
    ((frames, names),) = stacks_of(program, ("plain",), tmp_path / "root", qemu_dir, without_symbols)
    assert follows(names, CHAINS["plain"]), names
    assert {frame.method for frame in frames} & {"cfi", "exception_index"}
    surest = [frame for frame, name in zip(frames, names, strict=True) if name in CHAINS["plain"]]
    assert {frame.confidence for frame in surest} == {"high"}


@pytest.mark.parametrize("arch", ARCHES)
def test_stripped_program_without_tables(arch: str, tmp_path: Path, qemu_dir: Path) -> None:
    kinds = ("plain", "tail")
    stacks = stacks_of(build("frames", arch, *BARE), kinds, tmp_path / "root", qemu_dir)
    for kind, (_, names) in zip(kinds, stacks, strict=True):
        assert follows(names, CHAINS[kind]), names


@pytest.mark.parametrize("arch", ARCHES)
def test_stripped_program_with_frame_pointers(arch: str, tmp_path: Path, qemu_dir: Path) -> None:
    kinds = ("altstack", "noreturn")
    stacks = stacks_of(build("frames", arch, *POINTERS), kinds, tmp_path / "root", qemu_dir)
    for kind, (frames, names) in zip(kinds, stacks, strict=True):
        assert follows(names, CHAINS[kind]), names
        assert any(frame.method == "signal_frame" for frame in frames) == (kind == "altstack")
