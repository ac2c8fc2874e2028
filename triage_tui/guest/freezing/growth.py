"""Tell which writes bring something forward: those that make a file longer, and output in large pieces.

A program that writes numbered lines to a file repeats its calls, and is at work until the disk is full; the
write fails then. What is written is in no log, so nothing tells such lines from one that is written again and
again: that the loop has no failure and no sleep in it is for the loop detector to see.

Lines on other descriptors are none of this: a program may print "waiting" for ever.
"""

from __future__ import annotations

import msgspec

from triage_tui.runs.model import Syscall

_OPENS = frozenset(("open", "openat", "creat"))
_DUPLICATES = frozenset(("dup", "dup2", "dup3", "fcntl", "fcntl64"))
OUTPUT = frozenset(("write", "writev", "pwrite64"))
"""Calls that write to a descriptor, their first argument."""
_TELLING = OUTPUT | _OPENS | _DUPLICATES | {"close", "lseek", "ftruncate", "ftruncate64"}
_BULK = 4096
"""Bytes of one call from which on output is data rather than a message: a block of a copy."""
_NO_FILES = ("/dev/", "/proc/", "/sys/")
_MOST = 4096
"""Descriptors that are remembered."""


class _File(msgspec.Struct):
    appends: bool
    at: int
    """Number of the call from which on it is written from its beginning."""
    place: list[str]
    """Offset of the last pwrite(2), as text."""


def is_duplicate(call: Syscall) -> bool:
    """Return whether `call` was to make another descriptor of its first argument."""
    return call.name in _DUPLICATES and (call.name[:3] == "dup" or "F_DUPFD" in "".join(call.arguments[1:2]))


class FileGrowth:
    """The files that one thread has opened. It outlives loops: descriptors stay open."""

    def __init__(self, longest_round: int) -> None:
        """A file that was opened or rewound within the last `longest_round` calls is written anew."""
        self._longest_round = longest_round
        self._files: dict[str, _File] = {}
        self._count = 0

    def note(self, call: Syscall) -> bool:
        """Take one finished call; return whether it wrote something that was not there before."""
        self._count += 1
        if call.name not in _TELLING:
            return False
        result = call.ret
        if result is None or result < 0 or not call.arguments:
            return False
        name, first = call.name, call.arguments[0]
        if name in OUTPUT:
            return result > 0 and self._grows(call, self._files.get(first), result)
        if name in _OPENS:
            is_file = call.path is not None and not call.path.startswith(_NO_FILES)
            appends = any("O_APPEND" in argument for argument in call.arguments)
            self._put(str(result), _File(appends, self._count, []) if is_file else None)
        elif is_duplicate(call):
            self._put(str(result), self._files.get(first))
        elif name == "close":
            self._files.pop(first, None)
        elif name in ("lseek", "ftruncate", "ftruncate64") and first in self._files and result == 0:
            self._files[first].at = self._count
        return False

    def _put(self, descriptor: str, file: _File | None) -> None:
        self._files.pop(descriptor, None)
        if file is not None and len(self._files) < _MOST:
            self._files[descriptor] = file

    def _grows(self, call: Syscall, file: _File | None, size: int) -> bool:
        if file is None:
            return size >= _BULK
        if call.name == "pwrite64":
            before, file.place = file.place, call.arguments[3:]
            return file.place != before
        return file.appends or self._count - file.at > self._longest_round
