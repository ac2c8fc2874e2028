"""The word in memory that a spinning thread reads again and again, from recorded code and registers.

A loop around the program counter that calls nothing, stores nothing and reads an address which it does not
change waits for somebody else to change what is there: another thread, a signal handler, a device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from triage_tui.diagnosis.calls import HOUSEKEEPING, OPERATIONS
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
from triage_tui.diagnosis.loop_value import ending_value
from triage_tui.errors import TriageError
from triage_tui.runs.process_model import Mapping as Mapped
from triage_tui.runs.reader import Run

MAX_BODY = 24
"""Instructions of a loop that is looked at."""
MAX_FRAMES = 8
"""Frames in which the loop around a sleep is looked for."""

_LOAD = re.compile(
    r"^(?:ld(?!m)\w*|l[bhw]u?|lwu|lwz\w*|lbz\w*|lhz\w*|l[gytlh]?[fgy]?|ltg?|mov(?:zx|sx)?)(?:\.w)?$"
)
_INTO_MEMORY = re.compile(r"^\s*(?:(?:byte|[dq]?word) ptr )?\[")
"""Operands of an x86 instruction that writes what is in brackets, unless it only compares."""
_BRACKETS = re.compile(r"\[(?P<base>\$?%?[a-z][a-z0-9]{1,3})(?:\s*[,+]\s*#?(?P<plus>(?:0x)?[0-9a-f]+))?\]")
_PARENTHESES = re.compile(r"(?P<plus>-?(?:0x)?[0-9a-f]+)?\((?P<base>\$?%?[a-z][a-z0-9]{1,3})\)")


_TOLD = re.compile(r"^0x([0-9a-f]+)(?:\s|$)")
_SETS_NUMBER = re.compile(r"^(?:movs?|movz|movw|li|lui|addiu|ori)(?:\.w)?$")
_PLAIN_NUMBER = re.compile(r"^\s*\$?\w+,\s*(?:\$zero,\s*)?#?(-?(?:0x[0-9a-f]+|\d+))\s*$")
_OWN_PLACES = frozenset(("gp", "pc", "rip"))
_FRAME = frozenset(("sp", "fp", "rsp", "rbp", "esp", "ebp"))
_WIDE = frozenset(("aarch64", "mips64el", "x86_64", "riscv64", "ppc64le", "s390x"))
_BIG = re.compile(r"armeb|aarch64_be|mips|mips64|mipsn32|ppc|ppc64|s390x|sparc\w*|m68k")
"""QEMU's names of architectures with the byte of most weight first."""


class _Place(msgspec.Struct, frozen=True):
    line: Line
    base: str
    offset: int
    value: int | None = None
    """What the base holds, where the loop itself sets it."""


def polled_word(run: Run) -> Polled | None:
    """Return the word that the looping thread reads, None where the record does not show one."""
    snapshot = run.snapshot
    frames = snapshot.backtrace.frames
    if not frames or frames[0].idx != 0:
        return None
    if snapshot.trigger.spinning:
        return _in_frame(run, 0, {one.name: one.value for one in snapshot.regs if isinstance(one.value, int)})
    if not _only_sleeps(run):
        return None
    found = (_in_frame(run, frame.idx, None) for frame in frames[1:MAX_FRAMES])
    return next((one for one in found if one is not None), None)


def _only_sleeps(run: Run) -> bool:
    loop = run.snapshot.loop
    names = {name for name in loop.names if name not in HOUSEKEEPING} if loop is not None else set()
    return bool(names) and all(OPERATIONS.get(name) == "sleep" for name in names)


def _in_frame(run: Run, frame: int, registers: Mapping[str, int] | None) -> Polled | None:
    """Return what the loop around the marked line of a frame's listing reads.

    `registers` are those of the innermost frame; without them the loop may hold calls, and what its registers
    hold is read in the constants that the code before it sets.
    """
    snapshot = run.snapshot
    refs = [ref for ref in snapshot.backtrace.pseudocode_index if ref.frame == frame]
    ref = next((one for one in refs if one.kind == "disassembly"), None)
    if ref is None:
        return None
    try:
        lines, mark = parse_listing(run.text_file(ref.file))
    except TriageError:
        return None
    body = _loop(lines, mark, calls=registers is None) if mark is not None else []
    if not body:
        return None
    before = lines[: lines.index(body[0])]
    known = dict(registers) if registers is not None else constants(before)
    place = _read_in(body, {} if registers is not None else constants(body), frame > 0)
    if place is None:
        return None
    base = place.value if place.value is not None else known.get(place.base.lstrip("$%"))
    if base is None:
        return None
    address = base + place.offset
    mapping = next((one for one in snapshot.maps if one.start <= address < one.end), None)
    if mapping is None or "w" not in mapping.perms:
        return None
    size = _size(place.line)
    value = _value(run, address, size)
    arch = snapshot.target.arch
    last = lines.index(body[-1]) + 1
    whole = [*body, *(lines[last : last + 1] if arch.startswith("mips") else [])]
    ends = ending_value(whole, place.line, known, bits=64 if arch in _WIDE else 32, size=size, held=value)
    holds = f", which holds {value:#x}" if value is not None else ""
    ended = f", and ends when it reads {ends:#x}" if ends is not None else ""
    text = f"{place.line.name} {place.line.rest.split(';')[0].strip()}"
    module, offset = _module_of(run, mapping, address)
    call, nth = _call_before(run) if registers is not None else (snapshot.trigger.syscall_name, 1)
    return Polled(
        source=Source(kind="code", id=str(frame), line=place.line.number if refs[0] is ref else None),
        says=f"its loop of {len(body)} instructions reads {address:#x} again and again{holds}{ended}",
        cite=f"{text} at {address:#x}",
        pid=snapshot.trigger.pid,
        steps=0,
        in_loop=True,
        address=address,
        value=value if value is not None else -1,
        where=mapping.name or mapping.path,
        module=module,
        offset=offset,
        sha256=_hash_of(run, module),
        size=size,
        ends=ends if ends is not None else -1,
        call=call,
        nth=nth,
        sleeps=registers is None,
    )


def _size(load: Line) -> int:
    """Return how many bytes a load reads, by its mnemonic."""
    name = re.sub(r"\.w$", "", load.name)
    narrow = re.search(r"\b(byte|word|dword|qword) ptr", load.rest)
    if narrow is not None:
        return {"byte": 1, "word": 2, "dword": 4, "qword": 8}[narrow[1]]
    if re.fullmatch(r"ldrs?b|ldurb|lbu?|lbz|llgc|lgb|ic", name):
        return 1
    if re.fullmatch(r"ldrs?h|ldurh|lhu?|lhz|llgh|lgh|lh", name):
        return 2
    wide = re.match(r"x\d", load.rest) if name in ("ldr", "ldur") else re.fullmatch(r"ld|lg|ltg", name)
    return 8 if wide else 4


def constants(lines: Sequence[Line]) -> dict[str, int]:
    """Return the registers (without $ or %) that hold a known number behind these instructions.

    The listing names what an address is made of as a whole: "; 0x88250 phase" behind an instruction.
    """
    known: dict[str, int] = {}
    for line in lines:
        target = next(iter(_destinations(line)), "").lstrip("$%")
        if not target or _stores(line):
            continue
        code, _, comment = line.rest.partition(";")
        told = _TOLD.match(comment.strip())
        plain = _PLAIN_NUMBER.search(code) if _SETS_NUMBER.match(line.name) else None
        if told is not None and not CALL.match(line.name):
            known[target] = int(told[1], 16)
        elif plain is not None:
            known[target] = int(plain[1], 0) << (16 if line.name == "lui" else 0)
        else:
            known.pop(target, None)
    return known


def _module_of(run: Run, mapping: Mapped, address: int) -> tuple[str, int]:
    """Return the file whose data lies at an address, and its distance from the file's lowest mapping.

    "" and -1 where it is no file's. What a program's data has beyond its file follows the file's last mapping
    without a gap.
    """
    at = sorted(run.snapshot.maps, key=lambda one: one.start)
    index = at.index(mapping)
    while (
        index
        and not at[index].path
        and at[index].name in ("", "[bss]")
        and at[index - 1].end == at[index].start
    ):
        index -= 1
    path = at[index].path
    if not path.startswith("/"):
        return "", -1
    return path, address - min(one.start for one in at if one.path == path)


def _hash_of(run: Run, path: str) -> str:
    target = run.snapshot.target
    if path and path == target.program and target.program_sha256:
        return target.program_sha256
    frames = run.snapshot.backtrace.frames
    return next(
        (one.module_sha256 for one in frames if one.module_real_path == path and one.module_sha256), ""
    )


def _call_before(run: Run) -> tuple[str, int]:
    """Return the last call of the process that spins, and the how manieth of its name it is there."""
    mine = [call for call in run.trace() if call.pid == run.snapshot.trigger.pid]
    name = mine[-1].name if mine else ""
    return name, max(1, sum(call.name == name for call in mine))


def _loop(lines: list[Line], mark: int, *, calls: bool = False) -> list[Line]:
    """Return the innermost loop around the marked line that stores nothing, [] for none.

    It calls nothing either, unless `calls` says that it may.
    """
    for index in range(mark, min(len(lines), mark + MAX_BODY)):
        line = lines[index]
        if not (CONDITIONAL.match(line.name) or JUMP.match(line.name)):
            continue
        start = next((at for at, one in enumerate(lines[: mark + 1]) if one.addr == line.target), None)
        if start is not None and index - start < MAX_BODY:
            body = lines[start : index + 1]
            called = not calls and any(CALL.match(one.name) for one in body)
            return [] if called or any(map(_stores, body)) else body
    return []


def _stores(line: Line) -> bool:
    into_memory = _INTO_MEMORY.match(line.rest) and not COMPARE.match(line.name)
    return bool(STORE.match(line.name) or into_memory)


def _read_in(body: list[Line], inside: Mapping[str, int], frame_data: bool) -> _Place | None:
    """Return the one place that a loop reads through a register that it does not change.

    Registers in `inside` it sets to the same number in each round. `frame_data`: what lies in the function's
    own stack frame is left out, as are addresses that are loaded (of the stack's and the global pointer).
    """
    written = {names[0] for one in body if (names := _destinations(one))}
    own = _OWN_PLACES | (_FRAME if frame_data else frozenset())
    found: list[_Place] = []
    for line in body:
        operands = line.rest.split(";")[0]
        match = _BRACKETS.search(operands) or _PARENTHESES.search(operands)
        reads = _LOAD.match(line.name) or COMPARE.match(line.name)
        if match is None or not reads or match["base"].lstrip("$%") in own:
            continue
        value = inside.get(match["base"].lstrip("$%"))
        if match["base"] not in written or value is not None:
            found.append(_Place(line, match["base"], int(match["plus"] or "0", 0), value))
    places = {(one.base, one.offset) for one in found}
    return found[0] if len(places) == 1 else None


def _destinations(line: Line) -> list[str]:
    if CONDITIONAL.match(line.name) or JUMP.match(line.name) or COMPARE.match(line.name):
        return []
    return REGISTER.findall(line.rest.split(";")[0])[:1]


def _value(run: Run, address: int, size: int) -> int | None:
    """Return the number at an address where the record has it, in the byte order of the guest."""
    order: Literal["little", "big"] = "big" if _BIG.fullmatch(run.snapshot.target.arch) else "little"
    try:
        return int.from_bytes(run.read_memory(address, size), order)
    except (TriageError, OverflowError, ValueError):
        return None
