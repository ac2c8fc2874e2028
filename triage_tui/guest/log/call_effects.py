"""What a process's calls did to it that its frozen state tells no more.

Who opened a descriptor, what a range of memory may be used for (QEMU maps guest code without execute
permission, and takes write permission from pages that it has translated), where the heap lies.
"""

from __future__ import annotations

import re
from functools import lru_cache

from triage_tui.guest.log.ranges import RangeMap
from triage_tui.runs.model import Syscall

_OPENERS = frozenset(
    str.split(
        "open openat openat2 creat socket accept accept4 dup dup2 dup3 epoll_create epoll_create1 eventfd "
        "eventfd2 timerfd_create signalfd signalfd4 inotify_init inotify_init1 memfd_create pidfd_open "
        "fcntl fcntl64 fanotify_init mq_open perf_event_open userfaultfd socketcall"
    )
)
"""Calls whose result may be a new descriptor."""
_DUPLICATING = ("F_DUPFD", "F_DUPFD_CLOEXEC")
_MAPPERS = frozenset(("mmap", "mmap2", "mprotect", "munmap", "mremap"))
_MAX_OPEN = 65_536
_MAX_PENDING = 4096
"""Mapping calls kept before they are put in order."""

RELEVANT = _OPENERS | _MAPPERS | {"brk"}
"""Names of the calls that matter here."""


_OPENING_NAMES = frozenset(name.encode() for one in _OPENERS for name in (one, one.upper()))
_MAPPING_NAMES = frozenset(name.encode() for name in (*_MAPPERS, "brk"))


@lru_cache(maxsize=64)
def _lines_of(names: frozenset[bytes], rest: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a newline and, as its first group, a line of a call of `names`.

    A pattern that begins with a byte is looked for several times as fast as one that begins with `^`.
    """
    return re.compile(rb"\n(\d{1,10} (?:%s)\(%s)(?=\n)" % (b"|".join(sorted(names)), rest))


def lasting_calls(text: bytes, names: set[bytes]) -> list[tuple[bytes, int]]:
    """Return the lines of a log whose effects last, in order, each with its offset in `text`.

    `names` are those of the calls in `text`. Of calls that make the same descriptor, and of calls that are
    the same in everything, only the last one matters.
    """
    found: dict[bytes, tuple[bytes, int]] = {}
    text = b"\n" + text
    if opening := names & _OPENING_NAMES:
        for match in _lines_of(frozenset(opening), rb"[^\n]* = (\d{1,5})").finditer(text):
            found[match[2]] = (match[1], match.start())
    if mapping := names & _MAPPING_NAMES:
        for match in _lines_of(frozenset(mapping), rb"[^\n]*").finditer(text):
            line = match[1]
            found.pop(line, None)
            found[line] = (line, match.start())
    return [(line + b"\n", at) for line, at in found.values()]


class CallEffects:
    """The effects of one process's calls, in the order in which they returned."""

    def __init__(self) -> None:
        self._opened: dict[int, int] = {}
        self._pending: list[tuple[int, int, str | None]] = []
        """Mapping calls that are not yet in `_permitted`: most are never asked for."""
        self._permitted = RangeMap()
        self._heap: tuple[int, int] | None = None

    def copy(self) -> CallEffects:
        """Return the effects as a forked process inherits them."""
        child = CallEffects()
        child._opened = dict(self._opened)
        child._permitted, child._heap = self.permissions().copy(), self._heap
        return child

    def begin_program(self) -> None:
        """A new program was executed: descriptors stay, memory is another."""
        self._pending, self._permitted, self._heap = [], RangeMap(), None

    def note(self, call: Syscall) -> None:
        """Take in a call that succeeded."""
        name, result = call.name, call.ret
        if result is None:
            return
        if name in _OPENERS:
            if name.startswith("fcntl") and (
                len(call.arguments) < 2 or call.arguments[1] not in _DUPLICATING
            ):
                return
            if result in self._opened or len(self._opened) < _MAX_OPEN:
                self._opened[result] = call.seq
        elif name == "brk":
            self._heap = (min(self._heap[0], result) if self._heap else result, result)
        elif name in _MAPPERS:
            self._note_mapping(name, call.arguments, result)

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
        if len(self._pending) >= _MAX_PENDING:
            self.permissions()

    def permissions(self) -> RangeMap:
        """Return what the calls permitted: ranges that were mapped or protected, as "rwx" with dashes."""
        for start, end, perms in self._pending:
            self._permitted.set(start, end, perms)
        self._pending = []
        return self._permitted

    def opener(self, fd: int) -> int | None:
        """Return the sequence number of the call that made the descriptor `fd`, None when it is not known."""
        return self._opened.get(fd)

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
