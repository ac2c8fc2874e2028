"""What a record's architecture name says about the numbers in the record: byte order, word, error numbers.

The names are QEMU's. The engine has a whole table of each architecture that it can run; this is for records,
also those of architectures that only others ran.
"""

from __future__ import annotations

from typing import Literal

from triage_tui.runs.errnos import ErrnoKind


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BIG_ENDIAN = _names(
    "mips mips64 mipsn32 ppc ppc64 armeb aarch64_be s390x sparc sparc64 sparc32plus m68k sh4eb hppa or1k "
    "xtensaeb microblaze"
)
_WORD_8 = _names(
    "x86_64 aarch64 aarch64_be mips64 mips64el ppc64 ppc64le riscv64 s390x sparc64 alpha loongarch64 hppa64"
)


def endian(arch: str) -> Literal["little", "big"]:
    """Return the byte order of data; little for an architecture that is not known."""
    return "big" if arch in _BIG_ENDIAN else "little"


def word(arch: str) -> int:
    """Return the bytes of a register and of an address; 4 for an architecture that is not known."""
    return 8 if arch in _WORD_8 else 4


def errno_kind(arch: str) -> ErrnoKind:
    """Return which numbering of errors the kernel uses there."""
    if arch.startswith("mips"):
        return "mips"
    return "powerpc" if arch.startswith("ppc") else "generic"
