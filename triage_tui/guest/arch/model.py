"""What the engine must know of an architecture: registers, syscall convention, numbers."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import msgspec

from triage_tui.guest.arch import syscalls
from triage_tui.runs import errnos

Endian = Literal["little", "big"]

_UNSIGNED = {
    size: struct.Struct(f"={code}").unpack_from for size, code in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))
}
"""Size in bytes -> what reads an unsigned number of the host."""


_Read = Callable[[bytes, int], tuple[int, ...]]


class RegisterSpec(msgspec.Struct, frozen=True):
    """One register as the emulator's gdb stub knows it."""

    name: str
    num: int
    """The stub's register number, for `p` and `P` packets."""
    size: int
    """Bytes."""
    offset: int
    """Byte offset in the reply to a `g` packet."""


class EnvField(msgspec.Struct, frozen=True):
    """One register inside QEMU's CPUArchState. Values there are in the host's byte order."""

    name: str
    offset: int
    """Bytes from the first general register."""
    size: int
    """Bytes."""


class EnvPart(msgspec.Struct, frozen=True):
    """Some bits of a register that QEMU keeps in parts, and where CPUArchState has them."""

    offset: int
    """Bytes from the first general register."""
    size: int
    """Bytes of the part."""
    shift: int
    """Lowest bit in the register."""
    width: int = 1
    """Bits."""
    low: int = 0
    """Lowest bit in the part."""
    is_zero: bool = False
    """The one bit is set when the whole part is zero, as QEMU keeps ARM's Z."""

    def changed(self, register: int, data: bytes | bytearray) -> bytes:
        """Return the bytes of the part once the register is to be `register`; `data` is what is there now."""
        wanted = register >> self.shift & ((1 << self.width) - 1)
        if self.is_zero:
            value = 0 if wanted else 1
        else:
            mask = ((1 << self.width) - 1) << self.low
            now = int.from_bytes(data[self.offset : self.offset + self.size], sys.byteorder)
            value = now & ~mask | wanted << self.low
        return value.to_bytes(self.size, sys.byteorder)


@dataclass(frozen=True, slots=True)
class EnvComposed:
    """One register that QEMU keeps in parts."""

    name: str
    size: int
    """Bytes of the register."""
    parts: tuple[EnvPart, ...]

    end: int = field(init=False, compare=False)
    """Bytes from the first general register to the end of the last part."""
    _steps: tuple[tuple[_Read, int, int, int, int], ...] = field(init=False, compare=False, repr=False)
    """For each part: what reads it, its offset, lowest bit in it, mask, and lowest bit in the register.
    A mask of 0 stands for a part whose being zero sets the bit."""

    def __post_init__(self) -> None:
        """Prepare what is done at every watched call."""
        steps = tuple(
            (
                _UNSIGNED[part.size],
                part.offset,
                part.low,
                0 if part.is_zero else (1 << part.width) - 1,
                part.shift,
            )
            for part in self.parts
        )
        object.__setattr__(self, "end", max(part.offset + part.size for part in self.parts))
        object.__setattr__(self, "_steps", steps)

    def value(self, data: bytes) -> int:
        """Return the register, from CPUArchState bytes."""
        result = 0
        for read, offset, low, mask, shift in self._steps:
            (found,) = read(data, offset)
            result |= (found >> low & mask if mask else found == 0) << shift
        return result


@dataclass(frozen=True, slots=True)
class Arch:
    """One guest architecture and its Linux ABI.

    The register layouts are those of QEMU 7.2 to 10.0 (gdb feature files, target/*/cpu.h); the syscall
    conventions are those of syscall(2).
    """

    name: str
    """The emulator's name: "arm", "mipsel", ...; the binary is `qemu-<name>` or `qemu-<name>-static`."""
    word: int
    """Bytes of a register and of a pointer."""
    endian: Endian
    """Byte order of data."""
    elf_machine: int
    """e_machine of its programs (EM_* of the ELF specification)."""
    registers: tuple[RegisterSpec, ...]
    """Core registers in the order of the `g` packet; a reply may go on after them."""
    env_registers: tuple[str, ...]
    """Names of the general registers in the order in which CPUArchState holds them, `word` bytes each."""
    env_pc_offsets: tuple[int, ...]
    """Where the pc may lie, in bytes from the first general register; QEMU releases differ, newest last."""
    pc: str
    sp: str
    lr: str | None
    """Name of the register that holds the return address after a call, if the architecture has one."""
    syscall_number: str
    """Name of the register that holds the syscall number."""
    syscall_args: tuple[str, ...]
    """Names of the registers that hold the arguments, first argument first."""
    syscall_return: str
    syscall_table: str
    """Table in the data file of syscall numbers."""
    fp: str | None = None
    """Name of the frame pointer where the ABI fixes one."""
    env_extra: tuple[EnvField, ...] = ()
    """Further CPUArchState fields at known places, pc excepted."""
    env_composed: tuple[EnvComposed, ...] = ()
    """Registers that CPUArchState holds in parts."""
    syscall_immediate: str | None = None
    """Name of the CPUArchState field with the number in the syscall instruction itself; 0 there means that
    `syscall_number` holds it."""
    stack_args: tuple[int, int] | None = None
    """(index of the first argument passed on the stack, its byte offset from sp)."""
    error_flag: tuple[str, int] | None = None
    """(register, mask): a set bit means failure and a positive errno; None: -4095..-1 mean failure."""
    errno_kind: errnos.ErrnoKind = "generic"
    code_endian: Endian | None = None
    """Byte order of instructions where it is not that of data (ARM BE8)."""
    code_align: int = 4
    """Instructions start at multiples of this many bytes."""

    @property
    def bits(self) -> int:
        """Bits of a word."""
        return self.word * 8

    @property
    def word_mask(self) -> int:
        """The largest value of a register."""
        return (1 << self.bits) - 1

    @property
    def instruction_endian(self) -> Endian:
        """Byte order of instructions."""
        return self.code_endian or self.endian

    @property
    def instruction_set(self) -> str:
        """The architecture as which its code is to be decoded: `arm` for BE8, big-endian for data only."""
        return "arm" if self.name == "armeb" and self.instruction_endian == "little" else self.name

    @property
    def qemu_names(self) -> tuple[str, str]:
        """File names under which distributions install the emulator, the static one first."""
        return (f"qemu-{self.name}-static", f"qemu-{self.name}")

    @property
    def g_size(self) -> int:
        """Bytes of the `g` reply that the core registers fill, gaps included."""
        return max(spec.offset + spec.size for spec in self.registers)

    def __hash__(self) -> int:
        """Return a hash by name: what follows from an architecture is kept, and asked for at each call."""
        return hash(self.name)

    @property
    def env_span(self) -> int:
        """Bytes to read from the first general register on so that `registers_from_env` has everything."""
        return _env_span(self)

    def register(self, name: str) -> RegisterSpec:
        """Return the register `name`.

        Raises:
            KeyError: the architecture has no such register.
        """
        for spec in self.registers:
            if spec.name == name:
                return spec
        raise KeyError(name)

    def env_offset(self, name: str, pc_offset: int | None = None) -> int | None:
        """Return where CPUArchState holds `name`, in bytes from the first general register; None if it does
        not, or in parts.

        `pc_offset` is the place of the pc that was found in this QEMU; without it the first candidate holds.
        """
        if name == self.pc:
            return self.env_pc_offsets[0] if pc_offset is None else pc_offset
        if name in self.env_registers:
            return self.env_registers.index(name) * self.word
        return next((field.offset for field in self.env_extra if field.name == name), None)

    def registers_from_g(self, data: bytes) -> dict[str, int]:
        """Decode the bytes of a `g` reply (hex already undone). Registers beyond its end are left out."""
        return {
            spec.name: int.from_bytes(data[spec.offset : spec.offset + spec.size], self.endian)
            for spec in self.registers
            if spec.offset + spec.size <= len(data)
        }

    def registers_from_env(
        self, data: bytes, pc_offset: int | None = None, composed: bool = True
    ) -> dict[str, int]:
        """Decode CPUArchState bytes that begin at the first general register, in the host's byte order.

        Fields beyond the end of `data` are left out, and without `composed` the registers that QEMU keeps in
        parts: no call needs them.
        """
        general, fields = _env_layout(self, self.env_pc_offsets[0] if pc_offset is None else pc_offset)
        size = len(data)
        values: dict[str, int] = {}
        if size >= general.size:
            # Done at every watched call.
            values.update(zip(self.env_registers, general.unpack_from(data), strict=True))
        else:
            word = _UNSIGNED[self.word]
            whole = self.env_registers[: size // self.word]
            values.update({name: word(data, i * self.word)[0] for i, name in enumerate(whole)})
        for name, end, offset, read in fields:
            if end <= size:
                values[name] = read(data, offset)[0]
        for one in self.env_composed if composed else ():
            if one.end <= size:
                values[one.name] = one.value(data)
        return values

    def env_writes(
        self, name: str, value: int, data: bytes, pc_offset: int | None = None
    ) -> list[tuple[int, bytes]]:
        """Return what to write where in CPUArchState so that the register `name` has `value`.

        `data` is what CPUArchState holds now, as for `registers_from_env`. Each entry is (bytes from the
        first general register, content); the list is empty for a register that cannot be set.
        """
        for composed in self.env_composed:
            if composed.name == name:
                # Two parts may lie in one word.
                state = bytearray(data)
                for part in composed.parts:
                    state[part.offset : part.offset + part.size] = part.changed(value, state)
                return [(part.offset, bytes(state[part.offset :][: part.size])) for part in composed.parts]
        offset = self.env_offset(name, pc_offset)
        if offset is None or name == "zero":
            return []
        size = next((field.size for field in self.env_extra if field.name == name), self.word)
        return [(offset, (value & ((1 << (8 * size)) - 1)).to_bytes(size, sys.byteorder))]

    def syscall_in(self, registers: Mapping[str, int]) -> int:
        """Return the number of the syscall that a thread with these registers is in, -1 if unknown."""
        immediate = registers.get(self.syscall_immediate, 0) if self.syscall_immediate else 0
        return immediate or registers.get(self.syscall_number, -1)

    def syscall_name(self, number: int) -> str | None:
        """Return the name of the syscall `number`, or None for one that this table does not know."""
        return syscalls.names(self.syscall_table).get(number)

    def syscall_nr(self, name: str) -> int | None:
        """Return the number of the syscall `name`, or None if the architecture has no such call."""
        return syscalls.numbers(self.syscall_table).get(name)

    def syscall_result(self, registers: Mapping[str, int]) -> int:
        """Return what the syscall gave, from the registers after it: negative errno on failure.

        Raises:
            KeyError: a register that the convention uses is missing.
        """
        value = registers[self.syscall_return]
        if self.error_flag is not None:
            name, mask = self.error_flag
            return -value if registers[name] & mask else value
        signed = value - (1 << self.bits) if value >> (self.bits - 1) else value
        return signed if -4095 <= signed < 0 else value

    def errno_name(self, errno: int) -> str | None:
        """Return the usual name of a guest error number, positive or negative; None if it has none."""
        return errnos.names(self.errno_kind).get(abs(errno))

    def errno_number(self, name: str) -> int | None:
        """Return the guest's number of the error `name`, or None if there is no such error."""
        return errnos.numbers(self.errno_kind).get(name)

    def to_host(self, errno: int) -> int:
        """Translate a guest error number (positive) to the host's."""
        return errnos.to_host(self.errno_kind, errno)

    def to_target(self, errno: int) -> int:
        """Translate a host error number (positive) to the guest's."""
        return errnos.to_target(self.errno_kind, errno)


@cache
def _env_span(arch: Arch) -> int:
    ends = [len(arch.env_registers) * arch.word]
    ends += [offset + arch.word for offset in arch.env_pc_offsets]
    ends += [one.offset + one.size for one in arch.env_extra]
    ends += [composed.end for composed in arch.env_composed]
    return max(ends)


@cache
def _env_layout(arch: Arch, pc_offset: int) -> tuple[struct.Struct, tuple[tuple[str, int, int, _Read], ...]]:
    """Return what reads the general registers, and (name, end, offset, what reads it) of each other field."""
    general = struct.Struct(f"={len(arch.env_registers)}{'I' if arch.word == 4 else 'Q'}")
    fields = (EnvField(arch.pc, pc_offset, arch.word), *arch.env_extra)
    return general, tuple(
        (one.name, one.offset + one.size, one.offset, _UNSIGNED[one.size]) for one in fields
    )
