"""Recognise return addresses by the call instruction in front of them.

Encodings: Arm ARM (A32, T32, A64), MIPS32 volume II, RISC-V unprivileged ISA, Power ISA, Intel SDM.
"""

from __future__ import annotations

from triage_tui.guest.unwind.model import Code


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
    long_call = insn & 0xFFF == 0x0EF or (insn & 0x707F == 0x67 and insn >> 7 & 31 == 1)
    return long_call or (short & 0xF07F == 0x9002 and short != 0x9002), None


def _ppc(code: Code, ret: int) -> tuple[bool, int | None]:
    insn = code.memory.instruction(ret - 4)
    if ret & 3 or insn is None:
        return False, None
    return insn & 0xFC000003 == 0x48000001 or insn in (0x4E800421, 0x4E800021), None


def _x86(code: Code, ret: int) -> tuple[bool, int | None]:
    data = code.memory.read(ret - 7, 7)
    if len(data) < 7:
        return False, None
    # call rel32 (E8), call r/m (FF /2) of 2, 3, 6 and 7 bytes.
    indirect = any(data[-size] == 0xFF and data[-size + 1] & 0x38 == 0x10 for size in (2, 3, 6, 7))
    return data[2] == 0xE8 or indirect, None


_BY_ARCH = {
    "arm": _arm,
    "armeb": _arm,
    "mips": _mips,
    "mipsel": _mips,
    "aarch64": _aarch64,
    "riscv64": _riscv64,
    "ppc": _ppc,
    "x86_64": _x86,
    "i386": _x86,
}


def is_return_address(code: Code, value: int) -> bool:
    """Say whether `value` (with its Thumb bit on ARM) lies behind a call instruction."""
    if value < 0x1000 or not code.is_code(value & ~1 if code.memory.arch.elf_machine == 40 else value):
        return False
    return _BY_ARCH[code.memory.arch.name](code, value)[0]


def call_target(code: Code, value: int) -> int | None:
    """Return where the direct call in front of the return address `value` goes; None for an indirect one."""
    return _BY_ARCH[code.memory.arch.name](code, value)[1]
