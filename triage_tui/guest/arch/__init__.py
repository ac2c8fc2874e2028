"""The architectures that guests may have: look one up by name or by ELF header."""

from __future__ import annotations

from dataclasses import replace

from triage_tui.errors import TriageError
from triage_tui.guest.arch import tables
from triage_tui.guest.arch.model import Arch, EnvComposed, EnvField, EnvPart, RegisterSpec

__all__ = ["Arch", "EnvComposed", "EnvField", "EnvPart", "RegisterSpec", "by_name", "for_elf", "known_names"]

_BY_NAME = {arch.name: arch for arch in tables.ALL}

EF_MIPS_ABI2 = 0x20
"""e_flags: the n32 ABI, 64-bit registers in a 32-bit file."""
_EF_ARM_BE8 = 0x00800000
"""e_flags: big-endian data, little-endian instructions."""


def known_names() -> tuple[str, ...]:
    """Return the names of all architectures, as the emulator calls them."""
    return tuple(_BY_NAME)


def by_name(name: str) -> Arch:
    """Return the architecture `name` ("arm", "mipsel", ...).

    Raises:
        TriageError: there is none of that name.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise TriageError(f"unknown architecture {name!r}: known are {', '.join(_BY_NAME)}") from None


def for_elf(machine: int, bits: int, little_endian: bool, flags: int = 0) -> Arch | None:
    """Return the architecture that runs an ELF file, or None if there is none for it.

    `machine` is e_machine, `bits` 32 or 64 (EI_CLASS), `little_endian` EI_DATA, `flags` e_flags.
    """
    endian = "little" if little_endian else "big"
    for arch in tables.ALL:
        if (arch.elf_machine, arch.bits, arch.endian) != (machine, bits, endian):
            continue
        if machine == tables.EM_MIPS and flags & EF_MIPS_ABI2:
            return None
        if machine == tables.EM_ARM and endian == "big" and flags & _EF_ARM_BE8:
            return replace(arch, code_endian="little")
        return arch
    return None
