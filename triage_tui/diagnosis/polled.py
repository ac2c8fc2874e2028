"""The word in memory that a spinning thread reads again and again, from recorded code and registers.

A loop around the program counter that calls nothing, stores nothing and reads an address which it does not
change waits for somebody else to change what is there: another thread, a signal handler, a device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from triage_tui.diagnosis.facts import Polled, Source
from triage_tui.diagnosis.listing import (
    CALL,
    COMPARE,
    CONDITIONAL,
    JUMP,
    REGISTER,
    STORE,
    Line,
    parse_listing,
)
from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run

MAX_BODY = 24
"""Instructions of a loop that is looked at."""

_LOAD = re.compile(
    r"^(?:ld(?!m)\w*|l[bhw]u?|lwu|lwz\w*|lbz\w*|lhz\w*|l[gytlh]?[fgy]?|ltg?|mov(?:zx|sx)?)(?:\.w)?$"
)
_INTO_MEMORY = re.compile(r"^\s*(?:(?:byte|[dq]?word) ptr )?\[")
"""Operands of an x86 instruction that writes what is in brackets, unless it only compares."""
_BRACKETS = re.compile(r"\[(?P<base>\$?%?[a-z][a-z0-9]{1,3})(?:\s*[,+]\s*#?(?P<plus>(?:0x)?[0-9a-f]+))?\]")
_PARENTHESES = re.compile(r"(?P<plus>-?(?:0x)?[0-9a-f]+)?\((?P<base>\$?%?[a-z][a-z0-9]{1,3})\)")


_BIG = re.compile(r"armeb|aarch64_be|mips|mips64|mipsn32|ppc|ppc64|s390x|sparc\w*|m68k")
"""QEMU's names of architectures with the byte of most weight first."""


@dataclass(frozen=True, slots=True)
class _Place:
    line: Line
    base: str
    offset: int


def polled_word(run: Run) -> Polled | None:
    """Return the word that the looping thread reads, None where the record does not show one."""
    frames = run.snapshot.backtrace.frames
    if not run.snapshot.trigger.spinning or not frames or frames[0].idx != 0:
        return None
    refs = [ref for ref in run.snapshot.backtrace.pseudocode_index if ref.frame == 0]
    ref = next((one for one in refs if one.kind == "disassembly"), None)
    if ref is None:
        return None
    try:
        lines, mark = parse_listing(run.text_file(ref.file))
    except TriageError:
        return None
    body = _loop(lines, mark) if mark is not None else []
    place = _read_in(body)
    if place is None:
        return None
    values = {one.name: one.value for one in run.snapshot.regs if isinstance(one.value, int)}
    base = values.get(place.base.lstrip("$%"))
    if base is None:
        return None
    address = base + place.offset
    value = _value(run, address)
    mapping = next((one for one in run.snapshot.maps if one.start <= address < one.end), None)
    if mapping is None or "w" not in mapping.perms:
        return None
    holds = f", which holds {value:#x}" if value is not None else ""
    text = f"{place.line.name} {place.line.rest.split(';')[0].strip()}"
    return Polled(
        source=Source(kind="code", id="0", line=place.line.number if refs[0] is ref else None),
        says=f"its loop of {len(body)} instructions reads {address:#x} again and again{holds}",
        cite=f"{text} at {address:#x}",
        pid=run.snapshot.trigger.pid,
        steps=0,
        in_loop=True,
        address=address,
        value=value if value is not None else -1,
        where=mapping.name or mapping.path,
    )


def _loop(lines: list[Line], mark: int) -> list[Line]:
    """Return the innermost loop around the marked line that calls and stores nothing, [] for none."""
    for index in range(mark, min(len(lines), mark + MAX_BODY)):
        line = lines[index]
        if not (CONDITIONAL.match(line.name) or JUMP.match(line.name)):
            continue
        start = next((at for at, one in enumerate(lines[: mark + 1]) if one.addr == line.target), None)
        if start is not None and index - start < MAX_BODY:
            body = lines[start : index + 1]
            return [] if any(CALL.match(one.name) or _stores(one) for one in body) else body
    return []


def _stores(line: Line) -> bool:
    into_memory = _INTO_MEMORY.match(line.rest) and not COMPARE.match(line.name)
    return bool(STORE.match(line.name) or into_memory)


def _read_in(body: list[Line]) -> _Place | None:
    """Return the one place that a loop reads through a register that it does not change."""
    written = {names[0] for one in body if (names := _destinations(one))}
    found: list[_Place] = []
    for line in body:
        operands = line.rest.split(";")[0]
        match = _BRACKETS.search(operands) or _PARENTHESES.search(operands)
        reads = _LOAD.match(line.name) or COMPARE.match(line.name)
        if match is not None and reads and match["base"] not in written:
            found.append(_Place(line, match["base"], int(match["plus"] or "0", 0)))
    places = {(one.base, one.offset) for one in found}
    return found[0] if len(places) == 1 else None


def _destinations(line: Line) -> list[str]:
    if CONDITIONAL.match(line.name) or JUMP.match(line.name) or COMPARE.match(line.name):
        return []
    return REGISTER.findall(line.rest.split(";")[0])[:1]


def _value(run: Run, address: int) -> int | None:
    """Return the word at an address where the record has it, in the byte order of the guest."""
    order: Literal["little", "big"] = "big" if _BIG.fullmatch(run.snapshot.target.arch) else "little"
    try:
        return int.from_bytes(run.read_memory(address, 4), order)
    except (TriageError, OverflowError, ValueError):
        return None
