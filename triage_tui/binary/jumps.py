"""Where a linkage stub jumps: the few instructions of a PLT entry, however the linker makes them.

Read from the code itself, stubs are found without section headers and outside of `.plt`, where linkers put
them for PowerPC and between instruction sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from triage_tui.binary.constants import TABLE_REGISTERS, follow
from triage_tui.binary.disassembly import plain, raw

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
    if not _may_be_stub(arch, code, addr, thumb):
        return None
    for insn in follow(arch, code, addr, read_word, thumb=thumb, known=known)[:MAX_INSTRUCTIONS]:
        if insn.is_call or insn.is_return or insn.target is not None:
            return None
        if insn.is_jump:
            return None if insn.loaded_from is None else Jump(insn.loaded_from, insn.called)
    return None


def _may_be_stub(arch: str, code: bytes, addr: int, thumb: bool) -> bool:
    """Say whether an indirect jump is the first to leave the code at `addr`.

    Most code that is called is none, which a look at its first instructions tells: following its constants
    costs ten times as much.
    """
    for insn in raw(arch, code, addr, thumb, MAX_INSTRUCTIONS):
        out = plain(arch, insn)
        if out.is_call or out.is_return or out.target is not None:
            return False
        if out.is_jump:
            return True
    return False
