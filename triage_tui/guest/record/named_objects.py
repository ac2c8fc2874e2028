"""The data that the code of the innermost frames names: strings, and words of its variables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from triage_tui.guest.arch import Arch
from triage_tui.guest.record.objects import ObjectCollector
from triage_tui.guest.state.memory import Memory
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.memory_model import MemoryField

FRAMES = 4
"""Frames whose code names something that is kept: outer ones only say how the program began."""
PER_FRAME = 6
"""Objects that are kept of one frame, those named nearest to its point."""
IN_ALL = 20
NEAR = 60
"""Lines from the point within which code says something about what is done there."""
NEAR_IN_LIBRARIES = 12
MAX_STRING = 256
DATA_BYTES = 64
"""Bytes kept of what is no string."""
_SURE_TEXT = 12
"""Printable bytes that hardly stand in a row by chance; a shorter text has to have a word or a path in it."""
_WORD = re.compile(rb"[A-Za-z]{3}|%[a-z]|/\w|[A-Za-z_]{2}\d|\d\.\d")
_LEAST_TEXT = 3


_START_CODE = frozenset(("_start", "__start", "__libc_start_main", "__uClibc_main", "__libc_start_call_main"))


class Named(NamedTuple):
    """Data that is named in the code of a frame."""

    frame: int
    addr: int
    lines: int
    """Lines behind the frame's point, negative for those in front of it."""


def add_named(
    arch: Arch,
    memory: Memory,
    collector: ObjectCollector,
    named: Sequence[Named],
    frames: Sequence[Frame],
    program: str,
) -> None:
    """Keep what the code names, strings before other data, the innermost frames first.

    `program` is the path of the guest's program, whose own code says most.
    """
    left, told = IN_ALL, 0
    for frame in frames:
        if told >= FRAMES:
            return
        # Of libraries, the C library first of all, only texts close by say what is done for the program.
        own = _is_own(frame, program)
        near = sorted(
            (
                one
                for one in named
                if one.frame == frame.idx
                and abs(one.lines) <= (NEAR if own else NEAR_IN_LIBRARIES)
                and (text_at(memory, one.addr) is not None or (own and _is_variable(memory, one.addr)))
            ),
            key=lambda one: (text_at(memory, one.addr) is None, abs(one.lines)),
        )
        kept = 0
        for one in near:
            if kept >= PER_FRAME or left <= 0:
                break
            if collector.is_kept(one.addr, 1):
                continue
            _keep(arch, memory, collector, one, frame)
            kept, left = kept + 1, left - 1
        told += kept > 0


def _is_own(frame: Frame, program: str) -> bool:
    module = frame.module_real_path or frame.module_name or ""
    return PurePosixPath(module).name == PurePosixPath(program).name and frame.func_name not in _START_CODE


def _is_variable(memory: Memory, addr: int) -> bool:
    """Tell whether the program can write at an address; what else is no string is code, or a table."""
    mapping = memory.mapping(addr)
    return mapping is not None and "w" in mapping.perms


def _keep(arch: Arch, memory: Memory, collector: ObjectCollector, one: Named, frame: Frame) -> None:
    text = text_at(memory, one.addr)
    ident = f"code{one.frame}_0x{one.addr:x}"
    where = f"{abs(one.lines)} lines {'behind' if one.lines > 0 else 'before'} the point"
    name = frame.func_name or "its function"
    purpose = f"{'string' if text is not None else 'data'} that the code of frame {one.frame} names"
    how = f"address in {name}, {where if one.lines else 'at the point'}"
    if text is not None:
        entry = collector.add_string(ident, one.addr, "code", purpose, how, ident)
    else:
        mapping = memory.mapping(one.addr)
        size = min(DATA_BYTES, mapping.end - one.addr) if mapping is not None else DATA_BYTES
        found = collector.add_bytes(ident, one.addr, size, "data", "code", purpose, how, ident)
        if found is None:
            return
        entry = found
        if entry.blob is not None:
            entry.fields = _pointed(arch, memory, one.addr)
    entry.frame = one.frame


def _pointed(arch: Arch, memory: Memory, addr: int) -> list[MemoryField]:
    """Return the string that a variable points to, if its first word is such a pointer."""
    value = memory.word(addr)
    text = text_at(memory, value) if value is not None else None
    if text is None:
        return []
    return [MemoryField(name="points to", offset=0, size=arch.word, text=f'"{text.decode("ascii")}"')]


def text_at(memory: Memory, addr: int) -> bytes | None:
    """Return the printable C string at an address, None where there is none."""
    raw = memory.c_string(addr, MAX_STRING) if addr >= 0x1000 else None
    if raw is None or len(raw) < _LEAST_TEXT:
        return None
    if not all(0x20 <= byte < 0x7F or byte in (9, 10, 13) for byte in raw):
        return None
    return raw if len(raw) >= _SURE_TEXT or _WORD.search(raw) else None
