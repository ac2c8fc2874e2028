"""What a process's calls did to it that its frozen state tells no more.

Who made a descriptor, what a range of memory may be used for (QEMU maps guest code without execute
permission, and takes write permission from pages that it has translated), where the heap lies.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter

from triage_tui.guest.log import descriptor_makers
from triage_tui.guest.log.descriptor_makers import DescriptorMakers
from triage_tui.guest.log.ranges import RangeMap
from triage_tui.runs.model import Syscall

_MAPPERS = frozenset(("mmap", "mmap2", "mprotect", "munmap", "mremap"))
_MAX_PENDING = 4096
"""Mapping calls kept before they are put in order."""

RELEVANT = descriptor_makers.NAMES | _MAPPERS | {"brk"}
"""Names of the calls that matter here."""


_DESCRIPTOR_LINES = [
    (frozenset(name.encode() for one in names for name in (one, one.upper())), rest)
    for names, rest in descriptor_makers.LINES
]
_PAIRS = frozenset(name.encode() for one in descriptor_makers.PAIRS for name in (one, one.upper()))
_MAPPING_NAMES = frozenset(name.encode() for name in (*_MAPPERS, "brk"))


@lru_cache(maxsize=64)
def _lines_of(names: frozenset[bytes], rest: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a newline and, as its first group, a line of a call of `names`.

    A pattern that begins with a byte is looked for several times as fast as one that begins with `^`.
    """
    return re.compile(rb"\n(\d{1,10} (?:%s)\(%s)(?=\n)" % (b"|".join(sorted(names)), rest))


def lasting_calls(text: bytes, names: set[bytes]) -> list[tuple[bytes, int]]:
    """Return the lines of a log whose effects last, in order, each with its offset in `text`.

    `names` are those of the calls in `text`. Of calls that make or close the same descriptor, and of calls
    that are the same in everything, only the last one matters; but all do where the number of a descriptor
    is concluded from those that were free.
    """
    found: dict[bytes, tuple[bytes, int]] = {}
    text = b"\n" + text
    all_count = bool(names & _PAIRS)
    for kind, rest in _DESCRIPTOR_LINES:
        if making := names & kind:
            for match in _lines_of(frozenset(making), rest).finditer(text):
                key = match[1] + b"%d" % match.start() if all_count else match[2]
                if key not in found or found[key][1] < match.start():
                    found[key] = (match[1], match.start())
    if mapping := names & _MAPPING_NAMES:
        for match in _lines_of(frozenset(mapping), rb"[^\n]*").finditer(text):
            line = match[1]
            found.pop(line, None)
            found[line] = (line, match.start())
    return [(line + b"\n", at) for line, at in sorted(found.values(), key=itemgetter(1))]


class CallEffects:
    """The effects of one process's calls, in the order in which they returned."""

    def __init__(self) -> None:
        self._descriptors = DescriptorMakers()
        self._pending: list[tuple[int, int, str | None]] = []
        """Mapping calls that are not yet in `_permitted`: most are never asked for."""
        self._permitted = RangeMap()
        self._heap: tuple[int, int] | None = None

    def copy(self) -> CallEffects:
        """Return the effects as a forked process inherits them."""
        child = CallEffects()
        child._descriptors = self._descriptors.copy()
        child._permitted, child._heap = self.permissions().copy(), self._heap
        return child

    def begin_program(self) -> None:
        """A new program was executed: most descriptors stay, memory is another."""
        self._descriptors.begin_program()
        self._pending, self._permitted, self._heap = [], RangeMap(), None

    def note(self, call: Syscall) -> None:
        """Take in a call that succeeded."""
        name, result = call.name, call.ret
        if result is None:
            return
        if name in descriptor_makers.NAMES:
            self._descriptors.note(call)
        elif name == "brk":
            begin, end = self._heap or (result, result)
            if result > end:
                # Where the host put the program, its heap lies far from where guests otherwise do.
                self._pending.append((_page_end(end), _page_end(result), "rw-"))
            self._heap = (min(begin, result), result)
        elif name in _MAPPERS:
            self._note_mapping(name, call.arguments, result)
        if len(self._pending) >= _MAX_PENDING:
            self.permissions()

    def _note_mapping(self, name: str, arguments: list[str], result: int) -> None:
        try:
            size = int(arguments[1], 0)
            start = int(arguments[0], 0) if name in ("mprotect", "munmap") else result
            if name == "mremap":
                old, size = int(arguments[0], 0), int(arguments[2], 0)
                perms = self.permissions().at(old)
                self._pending.append((old, _page_end(old + int(arguments[1], 0)), None))
                if perms is not None:
                    self._pending.append((start, _page_end(start + size), perms))
                return
            perms = None if name == "munmap" else _permissions(arguments[2])
        except (ValueError, IndexError):
            return
        self._pending.append((start, _page_end(start + size), perms))

    def permissions(self) -> RangeMap:
        """Return what the calls permitted: ranges that were mapped or protected, as "rwx" with dashes."""
        for start, end, perms in self._pending:
            self._permitted.set(start, end, perms)
        self._pending = []
        return self._permitted

    def opener(self, fd: int, kind: str = "") -> int | None:
        """Return the sequence number of the call that made a descriptor, None when it is not known.

        `kind` is what the descriptor is now: "pipe", "socket" and others.
        """
        return self._descriptors.maker(fd, kind)

    @property
    def heap(self) -> tuple[int, int] | None:
        """First address and address behind the last of the heap, None when brk was not seen."""
        return self._heap


def _permissions(text: str) -> str:
    return "".join(
        letter if f"PROT_{word}" in text else "-"
        for letter, word in (("r", "READ"), ("w", "WRITE"), ("x", "EXEC"))
    )


def _page_end(address: int) -> int:
    return (address + 0xFFF) & ~0xFFF
