"""The places of registers inside QEMU, against what QEMU's own gdb stub says of them."""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import ARCHES, build, qemu_name
from triage_tui.guest.arch import Arch, by_name
from triage_tui.guest.emulator.elf import read_elf
from triage_tui.guest.emulator.env_locator import Location, locate
from triage_tui.guest.emulator.gdbstub import GdbStub
from triage_tui.guest.host import host_memory

FLAGS = {
    # N Z C V Q, GE, IT, A I F, T, mode; the mode of user programs is 16.
    "arm": ("cpsr", (0x80000010, 0x40000010, 0xB80F0010, 0x0605FC30, 0x700101D0)),
    "aarch64": ("cpsr", (0x80000000, 0x40000000, 0xB0000000, 0x20000C40)),
    "ppc": ("cr", (0x10000000, 0x13579BDF, 0xFEDCBA98)),
    "i386": ("eflags", (0x8D7, 0x202, 0x246)),
}
FLAGS |= {"armeb": FLAGS["arm"], "ppc64le": FLAGS["ppc"], "x86_64": FLAGS["i386"]}
NOT_TO_SET = (
    "zero",
    "msr",
    "pswm",
    "sr",
    "bad",
    "cause",
    "cs",
    "ss",
    "ds",
    "es",
    "fs",
    "gs",
    "cpsr",
    "eflags",
)


@contextmanager
def at_first_instruction(qemu_dir: Path, name: str, directory: Path) -> Iterator[tuple[int, Arch, GdbStub]]:
    """Start a program and stop it in QEMU's gdb stub; nothing of it is ever executed."""
    arch = by_name(qemu_name(name))
    with socket.socket(socket.AF_UNIX) as probe:
        place = directory / "gdb"
        command = [str(qemu_dir / arch.qemu_names[0]), "-g", str(place), str(build("calls", name))]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as qemu:
            try:
                while True:
                    try:
                        probe.connect(str(place))
                        break
                    except OSError:
                        assert qemu.poll() is None
                stub = GdbStub(probe)
                stub.describe_target()
                yield qemu.pid, arch, stub
            finally:
                qemu.kill()


def env_registers(pid: int, arch: Arch, where: Location) -> dict[str, int]:
    return arch.registers_from_env(host_memory.read_memory(pid, where.env, arch.env_span), where.pc_offset)


@pytest.mark.parametrize("name", ARCHES)
def test_the_emulators_state_is_what_its_stub_says(name: str, qemu_dir: Path, tmp_path: Path) -> None:
    with at_first_instruction(qemu_dir, name, tmp_path) as (pid, arch, stub):
        where = locate(pid, arch, read_elf(build("calls", name).read_bytes(), name), stub)
        data = bytearray(stub.read_registers())
        assert len(data) >= arch.g_size
        for spec in arch.registers:
            if spec.name not in NOT_TO_SET:
                value = secrets.randbits(spec.size * 8 - 4) & ~0xF | 0x1000
                value = 0xA0000023 if spec.name == "xer" else value
                data[spec.offset : spec.offset + spec.size] = value.to_bytes(spec.size, arch.endian)
        stub.write_registers(bytes(data))
        told = arch.registers_from_g(stub.read_registers())
        found = env_registers(pid, arch, where)
        assert {key: found[key] for key in told if key in found} == {
            key: value for key, value in told.items() if key in found
        }
        unknown = set(told) - set(found)
        assert unknown <= {"sr", "bad", "cause", "msr", "pswm"}
        assert {arch.pc, arch.sp, arch.syscall_number, *arch.syscall_args} <= set(found)


@pytest.mark.parametrize("name", sorted(FLAGS))
def test_flags_are_put_together_and_taken_apart(name: str, qemu_dir: Path, tmp_path: Path) -> None:
    register, values = FLAGS[name]
    with at_first_instruction(qemu_dir, name, tmp_path) as (pid, arch, stub):
        where = locate(pid, arch, read_elf(build("calls", name).read_bytes(), name), stub)
        spec = arch.register(register)
        for value in values:
            data = bytearray(stub.read_registers())
            data[spec.offset : spec.offset + spec.size] = value.to_bytes(spec.size, arch.endian)
            stub.write_registers(bytes(data))
            assert hex(env_registers(pid, arch, where)[register]) == hex(value)
        for value in values:
            state = host_memory.read_memory(pid, where.env, arch.env_span)
            for offset, content in arch.env_writes(register, value, state, where.pc_offset):
                host_memory.write_memory(pid, where.env + offset, content)
            assert hex(env_registers(pid, arch, where)[register]) == hex(value)
            told = arch.registers_from_g(stub.read_registers())[register]
            assert hex(told) == hex(value)


@pytest.mark.parametrize("name", ARCHES)
def test_written_registers_are_those_the_stub_reads(name: str, qemu_dir: Path, tmp_path: Path) -> None:
    with at_first_instruction(qemu_dir, name, tmp_path) as (pid, arch, stub):
        where = locate(pid, arch, read_elf(build("calls", name).read_bytes(), name), stub)
        for register in (arch.syscall_return, arch.sp, arch.pc, *arch.syscall_args):
            value = secrets.randbits(arch.bits - 4) & ~0xF | 0x1000
            state = host_memory.read_memory(pid, where.env, arch.env_span)
            for offset, content in arch.env_writes(register, value, state, where.pc_offset):
                host_memory.write_memory(pid, where.env + offset, content)
            assert arch.registers_from_g(stub.read_registers())[register] == value
