"""Find the guest's registers (CPUArchState) and its address space inside the QEMU process.

At the first instruction, magic values are written to the registers through the gdb stub; the one place in
QEMU's memory that holds all of them in a row is the register file. From then on registers are read and
written there directly, which costs microseconds and needs no stop of the guest.
"""

from __future__ import annotations

import secrets
import struct
import sys
from collections.abc import Iterator

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.emulator.elf import ElfInfo
from triage_tui.guest.emulator.gdbstub import GdbStub
from triage_tui.guest.host import host_memory, process

_MAX_SCAN = 64 << 20
"""Mappings larger than this are guest memory or translated code, never the register file."""
_AT_NULL, _AT_PHDR, AT_BASE, AT_RANDOM, AT_EXECFN, AT_SYSINFO_EHDR = 0, 3, 7, 25, 31, 33


class Location(msgspec.Struct, frozen=True):
    """Where one guest lives in its QEMU process."""

    env: int
    """Host address of the first general register of the first thread."""
    pc_offset: int
    """Bytes from `env` to the pc."""
    guest_base: int
    """Host address of guest address 0."""
    load_bias: int
    """Guest address of the program's lowest page minus its address in the file."""
    auxv: dict[int, int]
    """The auxiliary vector, getauxval(3)."""


def _scan(pid: int, pattern: bytes) -> Iterator[list[int]]:
    """Yield where `pattern` is found in each mapping that may hold the register file, small ones first.

    It lies in the heap, of less than a megabyte; the guest's stack and what is translated have eight each.
    """
    mappings = [
        mapping
        for mapping in process.read_maps(pid)
        if mapping.perms.startswith("rw")
        and mapping.end - mapping.start <= _MAX_SCAN
        and mapping.path in ("", "[heap]")
    ]
    for mapping in sorted(mappings, key=lambda one: one.end - one.start):
        try:
            data = host_memory.read_memory(pid, mapping.start, mapping.end - mapping.start)
        except OSError:
            continue
        hits = []
        at = data.find(pattern)
        while at >= 0:
            hits.append(mapping.start + at)
            at = data.find(pattern, at + 1)
        yield hits


def _find_env(pid: int, arch: Arch, stub: GdbStub) -> tuple[int, int]:
    """Return (host address of the first general register, offset of the pc from it)."""
    stub.describe_target()
    real: list[tuple[int, int]] = []
    for thorough in False, True:
        real = _find_marked(pid, arch, stub, thorough)
        if len(real) == 1:
            return real[0]
    raise TriageError(
        f"the registers were not found inside the emulator ({len(real)} candidates): "
        "use a QEMU release from 7.2 to 10.0"
    )


def _find_marked(pid: int, arch: Arch, stub: GdbStub, thorough: bool) -> list[tuple[int, int]]:
    """Return the (addresses, offsets of the pc) whose values follow those that the stub sets.

    Unless it is to be `thorough`, mappings behind the first one with such values are left out.
    """
    before = stub.read_registers()
    marked = bytearray(before)
    values: dict[str, int] = {}
    constant = {"zero"}
    code = arch.registers_from_g(before)[arch.pc]
    for name in (*arch.env_registers, arch.pc):
        spec = arch.register(name)
        # Even values with the top bit clear: no side effect on instruction-set modes or sign extension.
        value = 0 if name in constant else secrets.randbits(spec.size * 8 - 4) & ~0xF | 0x1000
        values[name] = value
        marked[spec.offset : spec.offset + spec.size] = value.to_bytes(spec.size, arch.endian)
    try:
        stub.write_registers(bytes(marked))
        # The stub's packet buffer holds the same values in a row: have it overwritten by another reply.
        stub.command(b"m%x,%x" % (code, len(marked)))
        pattern = b"".join(values[name].to_bytes(arch.word, sys.byteorder) for name in arch.env_registers)
        pc_value = values[arch.pc].to_bytes(arch.word, sys.byteorder)
        found: list[tuple[int, int]] = []
        for hits in _scan(pid, pattern):
            found += [
                (hit, offset)
                for hit in hits
                for offset in arch.env_pc_offsets
                if host_memory.read_memory(pid, hit + offset, arch.word) == pc_value
            ]
            if found and not thorough:
                break
    finally:
        stub.write_registers(before)
    # A leftover copy does not follow when the values go back.
    return [
        (hit, offset)
        for hit, offset in found
        if host_memory.read_memory(pid, hit + offset, arch.word) != pc_value
    ]


def _read_auxv(arch: Arch, stub: GdbStub) -> dict[int, int]:
    data = stub.read_object(b"auxv")
    layout = ("<" if arch.endian == "little" else ">") + ("II" if arch.word == 4 else "QQ")
    size = struct.calcsize(layout)
    vector: dict[int, int] = {}
    for at in range(0, len(data) - size + 1, size):
        key, value = struct.unpack_from(layout, data, at)
        if key == _AT_NULL:
            break
        vector[key] = value
    return vector


def _find_base(pid: int, elf: ElfInfo, header_address: int) -> int:
    """Return the guest base: the program's ELF header is visible at `header_address` + base."""
    candidates: list[int] = []
    for mapping in process.read_maps(pid):
        if "r" not in mapping.perms or mapping.offset != 0 or mapping.start < header_address:
            continue
        try:
            data = host_memory.read_memory(pid, mapping.start, len(elf.header))
        except OSError:
            continue
        if data == elf.header:
            candidates.append(mapping.start - header_address)
    if not candidates:
        raise TriageError(
            "the program was not found in the emulator's memory, so guest memory cannot be read"
        )
    # Equal headers at several places would be private copies the guest cannot have made yet.
    return candidates[0]


def locate(pid: int, arch: Arch, elf: ElfInfo, stub: GdbStub) -> Location:
    """Find registers and address space of the guest that waits at its first instruction in QEMU process
    `pid`.

    Raises:
        TriageError: the emulator is not one whose registers can be found.
    """
    env, pc_offset = _find_env(pid, arch, stub)
    auxv = _read_auxv(arch, stub)
    if _AT_PHDR not in auxv:
        raise TriageError(
            "the emulator's gdb stub does not tell where the program lies: use QEMU 7.2 or newer"
        )
    header_address = auxv[_AT_PHDR] - elf.program_headers
    base = _find_base(pid, elf, header_address)
    return Location(env, pc_offset, base, header_address - elf.lowest, auxv)
