"""Where a linkage stub jumps: the few instructions of a PLT entry, however the linker makes them.

Read from the code itself, stubs are found without section headers and outside of `.plt`, where linkers put
them for PowerPC and between instruction sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from triage_tui.binary.constants import TABLE_REGISTERS, follow

MAX_BYTES = 48
MAX_INSTRUCTIONS = 8


class Jump(msgspec.Struct, frozen=True):
    """An indirect jump whose word in memory is known."""

    loaded_from: int
    """The address of the word that it takes its target from."""
    goes_to: int | None
    """The target now, None where the word cannot be read."""


def table_register(arch: str) -> str | None:
    """Return the register with which a stub of `arch` finds its module's table; None: it needs none."""
    return TABLE_REGISTERS.get(arch)


def jump_at(
    arch: str,
    read: Callable[[int, int], bytes],
    read_word: Callable[[int], int | None],
    addr: int,
    known: Mapping[str, int],
    thumb: bool = False,
) -> Jump | None:
    """Return the indirect jump that the code at `addr` consists of, or None if it does something else.

    `known` gives registers by name; see `table_register`.
    """
    addr &= ~1 if arch.startswith("arm") else -1
    code = read(addr, MAX_BYTES)
    if thumb and code[:2] == (b"\x78\x47" if arch == "arm" else b"\x47\x78"):
        # bx pc; nop: the stub itself is A32 code.
        return jump_at(arch, read, read_word, addr + 4 & ~3, known)
    for insn in follow(arch, code, addr, read_word, thumb=thumb, known=known)[:MAX_INSTRUCTIONS]:
        if insn.is_call or insn.is_return or insn.target is not None:
            return None
        if insn.is_jump:
            return None if insn.loaded_from is None else Jump(insn.loaded_from, insn.called)
    return None
