"""Which instruction set an ELF file is written in, as the disassembler calls it."""

from __future__ import annotations

import struct

_EF_ARM_BE8 = 0x00800000
_NAMES = {
    (40, 32, True): "arm",
    (40, 32, False): "armeb",
    (183, 64, True): "aarch64",
    (8, 32, False): "mips",
    (8, 32, True): "mipsel",
    (8, 64, True): "mips64el",
    (62, 64, True): "x86_64",
    (3, 32, True): "i386",
    (243, 64, True): "riscv64",
    (20, 32, False): "ppc",
    (21, 64, True): "ppc64le",
    (22, 64, False): "s390x",
}
"""(e_machine, bits, little-endian) -> name."""


def instruction_set_of(data: bytes) -> str | None:
    """Return the instruction set of an ELF file; None where it is none that can be disassembled here."""
    if len(data) < 52 or data[:4] != b"\x7fELF" or data[4] not in (1, 2) or data[5] not in (1, 2):
        return None
    bits, little = (32 if data[4] == 1 else 64), data[5] == 1
    order = "<" if little else ">"
    (machine,) = struct.unpack_from(order + "H", data, 18)
    name = _NAMES.get((machine, bits, little))
    if name == "armeb" and struct.unpack_from(order + "I", data, 36)[0] & _EF_ARM_BE8:
        # Big-endian data, little-endian instructions.
        return "arm"
    return name


def describe(data: bytes) -> str:
    """Return what a file is, for the sentence that says that its code is not understood."""
    if data[:4] != b"\x7fELF":
        return "no ELF file"
    if len(data) < 20 or data[4] not in (1, 2) or data[5] not in (1, 2):
        return "a damaged ELF file"
    (machine,) = struct.unpack_from("<H" if data[5] == 1 else ">H", data, 18)
    order = "little" if data[5] == 1 else "big"
    return f"a {32 if data[4] == 1 else 64}-bit {order}-endian ELF file of machine {machine}"
