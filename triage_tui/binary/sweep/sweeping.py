"""Go over all code of a file once."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from functools import partial

from triage_tui.binary.disassembly import lite_engine
from triage_tui.binary.elf_layout import ElfLayout, Range
from triage_tui.binary.sweep.aarch64 import Aarch64Follower
from triage_tui.binary.sweep.arm import ArmFollower
from triage_tui.binary.sweep.follower import Follower, Notes, View
from triage_tui.binary.sweep.mips import MipsFollower
from triage_tui.binary.sweep.ppc import PpcFollower
from triage_tui.binary.sweep.riscv import RiscvFollower
from triage_tui.binary.sweep.s390x import S390xFollower
from triage_tui.binary.sweep.x86 import X86Follower

_CHUNK = 8192
"""Bytes given to capstone at once: it decodes them all before the first is looked at."""
_LONGEST = 16
"""Bytes of the longest instruction."""
MAX_INSTRUCTIONS = 16_000_000

_FOLLOWERS: dict[str, type[Follower]] = {
    "arm": ArmFollower,
    "armeb": ArmFollower,
    "aarch64": Aarch64Follower,
    "mips": MipsFollower,
    "mipsel": MipsFollower,
    "mips64el": MipsFollower,
    "x86_64": X86Follower,
    "i386": X86Follower,
    "riscv64": RiscvFollower,
    "ppc": PpcFollower,
    "ppc64le": PpcFollower,
    "s390x": S390xFollower,
}


def padding_of(arch: str, *, thumb: bool) -> Callable[[bytes], int]:
    """Return what says how many of four bytes between functions are one unit of padding."""
    view = View(lambda place: None, lambda place, size: b"", 0, 0, 0)
    return _FOLLOWERS[arch](view, Notes(), thumb=thumb).padding


def supports(arch: str) -> bool:
    """Say whether code of an instruction set can be gone over."""
    return arch in _FOLLOWERS


def sweep(
    arch: str,
    layout: ElfLayout,
    pieces: Sequence[tuple[Range, Sequence[tuple[int, int, bool]]]],
    starts: Sequence[int],
    view: View,
    progress: Callable[[int], None],
) -> Notes:
    """Return what the code says.

    Args:
        arch: instruction set.
        layout: the file.
        pieces: each range of code with its parts (start, end, Thumb).
        starts: where functions begin for certain, ordered.
        view: the file as the code sees it.
        progress: gets the bytes that were gone over so far, now and then.
    """
    notes = Notes()
    followers: dict[bool, Follower] = {}
    known = set(starts)
    done = 0
    for one, parts in pieces:
        for start, end, thumb in parts:
            follower = followers.get(thumb)
            if follower is None:
                follower = followers[thumb] = _FOLLOWERS[arch](view, notes, thumb=thumb)
            follower.begin()
            code = memoryview(layout.data)[one.offset + start - one.start : one.offset + end - one.start]
            _part(arch, follower, bytes(code), start, starts, known, partial(_tell, progress, done))
            done += end - start
            if notes.instructions > MAX_INSTRUCTIONS:
                return notes
    return notes


def _tell(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)


def _part(
    arch: str,
    follower: Follower,
    code: bytes,
    base: int,
    starts: Sequence[int],
    known: set[int],
    progress: Callable[[int], None],
) -> None:
    """Go over code of one kind."""
    engine = lite_engine(arch, follower.thumb)
    notes, handlers, forget = follower.notes, follower.handlers, follower.forget
    literals = notes.literals
    pools, thumb = arch.startswith("arm"), follower.thumb
    at, size_of_code = 0, len(code)
    count = 0
    while at < size_of_code:
        end = min(at + _CHUNK, size_of_code)
        # Where a function begins for certain, decoding begins anew.
        index = bisect.bisect_right(starts, base + at)
        exact = index < len(starts) and starts[index] < base + end
        if exact:
            end = starts[index] - base
        stop = base + end - (_LONGEST if end < size_of_code and not exact else 0)
        if base + at in known:
            follower.begin()
        following = base + end
        for address, size, mnemonic, operands in engine.disasm_lite(code[at:end], base + at):
            if address >= stop:
                following = address
                break
            count += 1
            if pools and (
                address & -4 in literals or (thumb and size == 4 and (address + 2) & -4 in literals)
            ):
                continue
            handler = handlers.get(mnemonic)
            if handler is not None:
                handler(address, size, operands)
                if follower.resume:
                    following, follower.resume = min(follower.resume, base + size_of_code), 0
                    break
            elif follower.values:
                forget(operands.partition(",")[0].lstrip("$"))
        notes.instructions = notes.instructions + count
        count = 0
        if notes.instructions > MAX_INSTRUCTIONS:
            return
        at = max(following - base, at + 1)
        progress(at)
