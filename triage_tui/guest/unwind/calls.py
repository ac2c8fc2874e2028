"""Recognise return addresses by the call instruction in front of them.

Encodings: Arm ARM (A32, T32, A64), MIPS32 volume II, RISC-V unprivileged ISA, Power ISA, Intel SDM.
"""

from __future__ import annotations

from triage_tui.guest.unwind.model import Code
from triage_tui.guest.unwind.registers import (
    EM_386,
    EM_AARCH64,
    EM_ARM,
    EM_MIPS,
    EM_PPC,
    EM_PPC64,
    EM_RISCV,
    EM_S390,
    EM_X86_64,
    code_address,
)
from triage_tui.guest.unwind.trampolines import trampoline


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def thumb_bl_target(addr: int, first: int, second: int) -> int:
    """Return where the 32-bit Thumb BL or BLX (halfwords `first`, `second`) at `addr` goes."""
    sign, j1, j2 = first >> 10 & 1, second >> 13 & 1, second >> 11 & 1
    i1, i2 = 1 - (j1 ^ sign), 1 - (j2 ^ sign)
    offset = sign << 24 | i1 << 23 | i2 << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
    target = addr + 4 + _signed(offset, 25)
    return (target if second & 0x1000 else target & ~3) & 0xFFFFFFFF


def _arm(code: Code, ret: int) -> tuple[bool, int | None]:
    if ret & 1:
        site = (ret & ~1) - 4
        first, second = code.memory.halfword(site), code.memory.halfword(site + 2)
        if first is None or second is None:
            return False, None
        if first >> 11 == 0x1E and second >> 14 == 3:
            return True, thumb_bl_target(site, first, second)
        return second & 0xFF87 == 0x4780, None
    insn = code.memory.instruction(ret - 4)
    if ret & 3 or insn is None:
        return False, None
    if insn >> 28 == 0xF and insn & 0x0E000000 == 0x0A000000:
        return True, (ret + 4 + _signed(insn & 0xFFFFFF, 24) * 4 + (insn >> 23 & 2)) & 0xFFFFFFFF
    if insn & 0x0F000000 == 0x0B000000:
        return True, (ret + 4 + _signed(insn & 0xFFFFFF, 24) * 4) & 0xFFFFFFFF
    if insn & 0x0FFFFFF0 == 0x012FFF30:
        return True, None
    # Before ARMv5: mov lr, pc; then any write to pc.
    before = code.memory.instruction(ret - 8)
    return before is not None and before & 0x0FFFFFFF == 0x01A0E00F, None


def _mips(code: Code, ret: int) -> tuple[bool, int | None]:
    insn = code.memory.instruction(ret - 8)
    if ret & 3 or insn is None:
        return False, None
    if insn >> 26 == 3:
        return True, (ret - 4) & 0xF0000000 | (insn & 0x03FFFFFF) << 2
    if insn & 0xFFFF0000 == 0x04110000:
        return True, (ret - 4 + _signed(insn & 0xFFFF, 16) * 4) & 0xFFFFFFFF
    return (
        insn & 0xFC1F003F == 0x00000009 and insn >> 11 & 31 == 31
    ) or insn & 0xFC1F0000 == 0x04110000, None


def _aarch64(code: Code, ret: int) -> tuple[bool, int | None]:
    insn = code.memory.instruction(ret - 4)
    if ret & 3 or insn is None:
        return False, None
    if insn >> 26 == 0x25:
        return True, ret - 4 + _signed(insn & 0x03FFFFFF, 26) * 4
    # BLR and its pointer-authenticating forms.
    return insn & 0xFFFFFC1F == 0xD63F0000 or insn & 0xFEFFF800 == 0xD63F0800, None


def _riscv64(code: Code, ret: int) -> tuple[bool, int | None]:
    insn, short = code.memory.instruction(ret - 4), code.memory.halfword(ret - 2)
    if ret & 1 or insn is None or short is None:
        return False, None
    site = ret - 4
    if insn & 0xFFF == 0x0EF:
        # jal ra: imm[20|10:1|11|19:12]
        offset = insn >> 31 << 20 | (insn >> 21 & 0x3FF) << 1 | (insn >> 20 & 1) << 11 | insn & 0xFF000
        return True, site + _signed(offset, 21)
    if insn & 0x707F == 0x67 and insn >> 7 & 31 == 1:
        # auipc rd, hi; jalr ra, lo(rd)
        before = code.memory.instruction(site - 4) or 0
        if before & 0x7F == 0x17 and before >> 7 & 31 == insn >> 15 & 31:
            target = site - 4 + _signed(before & 0xFFFFF000, 32) + _signed(insn >> 20, 12)
            return True, target & code.memory.arch.word_mask
        return True, None
    return short & 0xF07F == 0x9002 and short != 0x9002, None


def _ppc(code: Code, ret: int) -> tuple[bool, int | None]:
    insn = code.memory.instruction(ret - 4)
    if ret & 3 or insn is None:
        return False, None
    if insn & 0xFC000003 == 0x48000001:
        return True, (ret - 4 + _signed(insn & 0x03FFFFFC, 26)) & code.memory.arch.word_mask
    # bctrl and blrl; bcl 20,31 only reads the pc.
    return insn in (0x4E800421, 0x4E800021), None


def _s390(code: Code, ret: int) -> tuple[bool, int | None]:
    data = code.memory.read(ret - 6, 6)
    if len(data) < 6:
        return False, None
    if data[:2] == b"\xc0\xe5":
        offset = _signed(int.from_bytes(data[2:], "big"), 32) * 2
        return True, (ret - 6 + offset) & code.memory.arch.word_mask
    # bras and basr of r14.
    return data[2:4] == b"\xa7\xe5" or (data[4] == 0x0D and data[5] >> 4 == 14), None


def _x86(code: Code, ret: int) -> tuple[bool, int | None]:
    data = code.memory.read(ret - 7, 7)
    if len(data) < 7:
        return False, None
    # call rel32 (E8), call r/m (FF /2) of 2 to 7 bytes.
    if data[2] == 0xE8:
        offset = _signed(int.from_bytes(data[3:], "little"), 32)
        return True, (ret + offset) & code.memory.arch.word_mask
    return any(data[-size] == 0xFF and data[-size + 1] & 0x38 == 0x10 for size in (2, 3, 4, 6, 7)), None


_BY_MACHINE = {
    EM_ARM: _arm,
    EM_MIPS: _mips,
    EM_AARCH64: _aarch64,
    EM_RISCV: _riscv64,
    EM_PPC: _ppc,
    EM_PPC64: _ppc,
    EM_S390: _s390,
    EM_X86_64: _x86,
    EM_386: _x86,
}


LEAST_CODE = 0x1000
"""Below this nobody has code: the first page is not mapped."""


def follows_call(code: Code, value: int) -> bool:
    """Say whether `value` (with its Thumb bit on ARM) lies behind a call instruction."""
    look = _BY_MACHINE.get(code.memory.arch.elf_machine)
    if value < LEAST_CODE or look is None or not code.is_code(code_address(code.memory.arch, value)):
        return False
    return look(code, value)[0]


def is_return_address(code: Code, value: int) -> bool:
    """Say whether a callee may return to `value`: behind a call, or where signal handlers return to."""
    if follows_call(code, value):
        return True
    arch = code.memory.arch
    addr = code_address(arch, value)
    if value < LEAST_CODE or code.memory.mapping(addr) is None:
        return False
    return trampoline(code.memory, addr, thumb=arch.elf_machine == EM_ARM and bool(value & 1)) is not None


def call_target(code: Code, value: int) -> int | None:
    """Return where the direct call in front of the return address `value` goes; None for an indirect one."""
    look = _BY_MACHINE.get(code.memory.arch.elf_machine)
    return look(code, value)[1] if look else None
