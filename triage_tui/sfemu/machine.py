"""Which machine a stop under SFEmu was on: its snapshot does not say it, its numbers and names do.

Names and numbers of registers are those of QEMU's gdb stub, which has no description of MIPS registers, so
that of MIPS none are recorded; the numbers of calls are the kernel's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from triage_tui.guest.arch import Arch
from triage_tui.guest.arch.tables import (
    AARCH64,
    ALL,
    ARM,
    ARMEB,
    I386,
    MIPS,
    MIPS64EL,
    MIPSEL,
    PPC,
    PPC64LE,
    RISCV64,
    S390X,
    X86_64,
)
from triage_tui.sfemu.snapshot import Call, Reg, SfemuSnapshot

MIPS_O32, MIPS_N64 = range(4000, 5000), range(5000, 6000)
"""Numbers of calls, the base of the ABI included (asm/unistd.h)."""
NO_REGISTERS = ("mips",)
"""How the names of architectures begin of whose registers QEMU's gdb stub has no description."""
WITH_STACK = ("arm", "aarch64", "mips", "x86_64")
"""How the names of architectures begin for which SFEmu keeps a shadow stack."""
_PROGRAM_COUNTERS = {S390X.name: "pswa"}
"""SFEmu's name where it is another than ours."""


@dataclass(frozen=True)
class Machine:
    """An architecture, and what it follows from."""

    arch: Arch | None
    """None where nothing tells it."""
    why: str
    """One sentence without a final full stop: from what it was concluded, and how sure that is."""

    @property
    def name(self) -> str:
        """QEMU's name of it, "" for none."""
        return self.arch.name if self.arch else ""

    @property
    def mask(self) -> int:
        """The largest value of a word."""
        return self.arch.word_mask if self.arch else (1 << 64) - 1

    @property
    def program_counter(self) -> str:
        """SFEmu's name of the register, "" where the architecture is not known."""
        return _PROGRAM_COUNTERS.get(self.name, self.arch.pc) if self.arch else ""

    @property
    def is_thumb_possible(self) -> bool:
        """Whether the lowest bit of a code address says that it is of Thumb code."""
        return self.name in (ARM.name, ARMEB.name)

    def code_address(self, address: int) -> int:
        """Return the address of code that a return address of SFEmu's stands for."""
        return address & self.mask & ~(1 if self.is_thumb_possible else 0)


def machine_of(found: SfemuSnapshot, memory: Mapping[int, bytes] = MappingProxyType({})) -> Machine:
    """Return the machine of a stop; `memory` maps addresses to the bytes that were kept of it."""
    by_registers = _by_registers(found.regs)
    if by_registers is not None:
        why = f"not recorded: {by_registers.name} by the names of its registers"
        return _ordered(found, by_registers, memory, why)
    by_calls = _by_calls([*found.calls, found.trigger])
    if by_calls is not None:
        why = f"not recorded: {by_calls.name} by the numbers of its calls"
        return _ordered(found, by_calls, memory, why)
    return Machine(
        None, "not recorded, and neither registers nor calls tell it: errors have Linux's usual names"
    )


def _by_registers(regs: Sequence[Reg]) -> Arch | None:
    """Recognise the names that only one architecture has (gdb-xml of QEMU)."""
    sizes = {reg.name.lower(): reg.size for reg in regs}
    if not sizes:
        return None
    if "rip" in sizes or "rax" in sizes:
        return X86_64
    if "eip" in sizes or "eax" in sizes:
        return I386
    if "pswm" in sizes:
        return S390X
    if "x30" in sizes and "x0" in sizes:
        return AARCH64
    if "msr" in sizes and "r31" in sizes:
        return PPC64LE if sizes["r31"] == 8 else PPC
    if "cpsr" in sizes or ("r12" in sizes and "lr" in sizes and "r31" not in sizes):
        return ARM
    if {"ra", "gp", "tp", "t6"} <= sizes.keys():
        # Of 32 bits there is none here.
        return RISCV64 if sizes["ra"] == 8 else None
    if {"ra", "gp", "at"} <= sizes.keys() or {"hi", "lo", "badvaddr"} <= sizes.keys():
        return MIPS64EL if max(sizes.values()) == 8 else MIPSEL
    return None


def _by_calls(calls: Sequence[Call]) -> Arch | None:
    """Return the architecture whose table has the most of these names under their numbers."""
    pairs = {(call.num, call.name) for call in calls if call.name and call.num >= 0}
    if not pairs:
        return None
    if all(number in MIPS_O32 for number, _ in pairs):
        return MIPSEL
    scores = [(sum(arch.syscall_name(num) == name for num, name in pairs), arch) for arch in ALL]
    best = max(score for score, _ in scores)
    # Some tables differ in few numbers (arm64 and riscv64): several that fit equally well tell nothing.
    fitting = {arch.syscall_table: arch for score, arch in reversed(scores) if score == best}
    if best * 2 <= len(pairs) or len(fitting) > 1:
        return None
    return next(iter(fitting.values()))


_ORDERS = {"little": "<", "big": ">"}
_ADDRESSES = {"connect": 1, "bind": 1, "sendto": 4}
_FAMILIES = (1, 2, 10, 16, 17)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET."""
_OTHER_ORDER = {ARM.name: ARMEB, ARMEB.name: ARM, MIPSEL.name: MIPS, MIPS.name: MIPSEL}
_NEEDLES = 64


def _ordered(found: SfemuSnapshot, arch: Arch, memory: Mapping[int, bytes], why: str) -> Machine:
    """Settle the byte order of an architecture that has both, by what is known of the bytes in its memory."""
    other = _OTHER_ORDER.get(arch.name)
    if other is None:
        return Machine(arch, why)
    little = arch if arch.endian == "little" else other
    big = other if little is arch else arch
    data = [piece for piece in memory.values() if piece]
    for seen, by in (
        (_return_addresses(found, data), "by the return addresses in its memory"),
        (_families(found, memory), "by the families of its socket addresses"),
        (_pointers(found, data), "by the addresses in its memory"),
    ):
        if seen["big"] != seen["little"]:
            order, made = ("big", big) if seen["big"] > seen["little"] else ("little", little)
            return Machine(made, f"{why}, {order}-endian {by}")
    return Machine(little, f"{why}; the byte order is not recorded and taken to be little-endian")


def _return_addresses(found: SfemuSnapshot, data: Sequence[bytes]) -> dict[str, int]:
    """Count how often return addresses lie there in either order: of some the caller's is on the stack."""
    addresses = [address for address in found.raw if address >> 12][:_NEEDLES]
    return {
        order: sum(piece.count(word) for piece in data for word in _packed(sign, addresses))
        for order, sign in _ORDERS.items()
    }


def _families(found: SfemuSnapshot, memory: Mapping[int, bytes]) -> dict[str, int]:
    """Count what socket addresses begin with in either order: a small number (linux/socket.h)."""
    seen = dict.fromkeys(_ORDERS, 0)
    for call in {*found.calls, found.trigger}:
        at = _ADDRESSES.get(call.name, len(call.args))
        start = memory.get(call.args[at] & 0xFFFFFFFF, b"")[:2] if at < len(call.args) else b""
        if len(start) == 2:
            for order, sign in _ORDERS.items():
                seen[order] += struct.unpack(f"{sign}H", start)[0] in _FAMILIES
    return seen


def _pointers(found: SfemuSnapshot, data: Sequence[bytes]) -> dict[str, int]:
    """Count the words of memory that lie near what the calls were given, in either order."""
    near = {value >> 16 & 0xFFFF for call in found.calls for value in call.args if value >> 16 > 0}
    near |= {address >> 16 & 0xFFFF for address in found.raw if address >> 16 > 0}
    seen = dict.fromkeys(_ORDERS, 0)
    for piece in data[:_NEEDLES]:
        whole = piece[: len(piece) & ~3]
        for order, sign in _ORDERS.items():
            seen[order] += sum(word >> 16 in near for (word,) in struct.iter_unpack(f"{sign}I", whole))
    return seen


def _packed(sign: str, addresses: Sequence[int]) -> list[bytes]:
    return [struct.pack(f"{sign}I", address & 0xFFFFFFFF) for address in addresses]
