"""What a line of code leads to: functions and branches, strings in memory, syscalls in the timeline.

Beside evidence links there are two kinds for going round, which nothing cites: `ev:code/0x<address>` is the
code at an address, `ev:syscall/0x<address>` and `ev:syscall/<name>` are the calls that were made in front of
an address, or by a name.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from triage_tui.runs.memory_model import MemoryObject, MemoryRegion
from triage_tui.ui.run_view import CodeText, RunView

Span = tuple[int, int, str]
"""First character, character behind the last, link."""

ADDRESS = re.compile(r"\s*(?:=>|<-|-->|->|▶|>)?\s*(?:0x)?([0-9a-f]{4,16}):?\s", re.IGNORECASE)
"""The beginning of a line of disassembly: its address."""
_LINE = re.compile(
    ADDRESS.pattern
    + r"\s*(?:(?P<bytes>(?:[0-9a-f]{2,16}\s+){1,4}))?(?P<mnemonic>[a-z][a-z0-9._]*)\s*(?P<operands>[^;]*)"
    r"(?:;\s*(?P<comment>.*))?$",
    re.IGNORECASE,
)
_GOES = re.compile(r"(?:b(?!ic|f[cix]|kpt|s[wf]|rk)|j|call|cb|tb|svc_)[a-z0-9.]*\Z", re.IGNORECASE)
_TARGET = re.compile(r"#?(0x[0-9a-f]{3,16})\s*\Z", re.IGNORECASE)
_NAMED = re.compile(r"<([^<>+]{1,120})>\Z")
_STRING = re.compile(r'(0x[0-9a-f]{3,16}) "')
_PLAIN = re.compile(r"(0x[0-9a-f]{3,16})\Z")
_SYSCALL = re.compile(r"syscall (\w+)\Z")
_CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
MAX_LINE = 1000
"""Characters of a line in which links are looked for."""
_WORDS = frozenset(("if", "while", "for", "switch", "return", "sizeof", "do", "else"))
_LOCAL = re.compile(r"(?:sub|FUN|func|loc)_([0-9a-f]{4,16})\Z", re.IGNORECASE)


class Programs(Protocol):
    """The program files of a run; what is asked here must not read the disk."""

    def address_of(self, name: str) -> int | None:
        """Return where a function begins."""
        ...

    def has_code(self, address: int) -> bool:
        """Tell whether there is code at an address."""
        ...


@dataclass
class Known:
    """What lines of a run's code can lead to."""

    view: RunView
    programs: Programs | None = None
    """The program files at hand; None until they are read."""
    _names: dict[str, int | None] = field(default_factory=dict)
    _code: dict[int, bool] = field(default_factory=dict)

    def use(self, programs: Programs | None) -> None:
        """Let lines lead into program files that were read."""
        self.programs = programs
        self._names.clear()
        self._code.clear()

    @cached_property
    def arm(self) -> bool:
        """Whether odd addresses of code stand for another instruction set."""
        return self.view.snapshot.target.arch.startswith("arm")

    @cached_property
    def frames(self) -> dict[str, int]:
        """The frames with code by the names of their functions; the innermost of several."""
        found: dict[str, int] = {}
        for frame in self.view.snapshot.backtrace.frames:
            if frame.func_name and frame.idx in self.view.code:
                found.setdefault(frame.func_name, frame.idx)
        return found

    @cached_property
    def lines(self) -> dict[int, tuple[int, int, int]]:
        """Address of an instruction to the frame, source and line (from 0) of the record that has it."""
        found: dict[int, tuple[int, int, int]] = {}
        for frame, sources in self.view.code.items():
            for source, code in enumerate(sources):
                for address, line in lines_of(code).items():
                    found.setdefault(address, (frame, source, line))
        return found

    def function(self, name: str) -> str | None:
        """Return the link to a function by its name."""
        if name in self.frames:
            return f"ev:code/{self.frames[name]}"
        if name not in self._names:
            self._names[name] = self.programs.address_of(name) if self.programs is not None else None
        address = self._names[name]
        return None if address is None else f"ev:code/0x{address:x}"

    def code(self, address: int, thumb: bool = False) -> str | None:
        """Return the link to the code at an address, which is odd for Thumb code."""
        if address not in self._code:
            at_hand = self.programs is not None and self.programs.has_code(address)
            self._code[address] = at_hand or address in self.lines
        return f"ev:code/0x{address | thumb:x}" if self._code[address] else None

    def memory(self, address: int) -> str | None:
        """Return the link to memory that was kept."""
        snapshot = self.view.snapshot
        if any(_has(entry, address) for entry in snapshot.memory) or any(
            _covers(region, address) for region in snapshot.memory_regions
        ):
            return f"ev:mem/0x{address:x}"
        return None


def _has(entry: MemoryObject, address: int) -> bool:
    return entry.blob is not None and entry.addr <= address < entry.addr + max(1, entry.blob.size)


def _covers(region: MemoryRegion, address: int) -> bool:
    return not region.missing and region.start <= address < region.end


def lines_of(code: CodeText) -> dict[int, int]:
    """Return the address of each instruction of a listing and its line (from 0); none of pseudocode."""
    if code.pseudocode:
        return {}
    found: dict[int, int] = {}
    for number, line in enumerate(code.lines):
        match = ADDRESS.match(line)
        if match is not None:
            found.setdefault(int(match[1], 16), number)
    return found


def pseudocode_links(line: str, known: Known) -> list[Span]:
    """Return the functions that a line of pseudocode calls and of which code can be shown."""
    return _calls(line, known) if len(line) <= MAX_LINE else []


def assembly_links(line: str, known: Known, own: Collection[int] = (), thumb: bool = False) -> list[Span]:
    """Return what an instruction leads to; `own` are the addresses of its listing, `thumb` is its mode."""
    return _instruction(line, known, own, thumb) if len(line) <= MAX_LINE else []


def _calls(line: str, known: Known) -> list[Span]:
    found: list[Span] = []
    for match in _CALL.finditer(line):
        name = match[1]
        if name in _WORDS:
            continue
        local = _LOCAL.match(name)
        link = known.function(name) or (known.code(int(local[1], 16)) if local else None)
        if link is not None:
            found.append((match.start(1), match.end(1), link))
    return found


def _instruction(line: str, known: Known, own: Collection[int], thumb: bool) -> list[Span]:
    match = _LINE.match(line)
    if match is None:
        return []
    mnemonic, comment = match["mnemonic"].lower(), (match["comment"] or "").rstrip()
    at = match.start("comment")
    if (found := _SYSCALL.match(comment)) is not None or mnemonic in _TRAPS:
        link = _syscall(match, found[1] if found else "", known, own)
        span = (at, at + len(comment)) if found else (match.start("mnemonic"), match.end("mnemonic"))
        return [(*span, link)] if link is not None else []
    if _GOES.match(mnemonic):
        return _branch(match, comment, known, thumb != (mnemonic == "blx" and known.arm))
    if (text := _STRING.match(comment)) is not None:
        link = known.memory(int(text[1], 16))
        return [(at, at + len(comment), link)] if link is not None else []
    return []


_TRAPS = frozenset(("svc", "syscall", "ecall", "sc", "sysenter"))


def _syscall(match: re.Match[str], name: str, known: Known, own: Collection[int]) -> str | None:
    """Return the link from a syscall instruction to the calls that it made."""
    here = int(match[1], 16)
    size = len("".join((match["bytes"] or "").split())) // 2
    following = min((address for address in own if address > here), default=0)
    for behind in (following, here + size):
        if behind in known.view.call_places:
            return f"ev:syscall/0x{behind:x}"
    return f"ev:syscall/{name}" if name in known.view.call_names else None


def _branch(match: re.Match[str], comment: str, known: Known, thumb: bool) -> list[Span]:
    operands, at = match["operands"].rstrip(), match.start("comment")
    named = _NAMED.match(comment)
    target = _TARGET.search(operands)
    link = known.code(int(target[1], 16), thumb and known.arm) if target is not None else None
    if named is not None:
        called = known.function(named[1])
        # An import's own code, rather than the stub that leads to it; else the name is that of the target.
        if called is not None and (link is None or called.startswith("ev:code/0x")):
            link = called
    elif (plain := _PLAIN.match(comment)) is not None and link is None:
        link = known.code(int(plain[1], 16))
    if link is None:
        return []
    if comment:
        return [(at, at + len(comment), link)]
    start = match.start("operands")
    return [(start + target.start(1), start + target.end(1), link)] if target is not None else []
