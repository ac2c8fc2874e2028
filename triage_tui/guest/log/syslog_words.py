"""What a guest wants to say to the system log, read while it is held in its connect to /dev/log.

syslog(3) makes its line before it connects: glibc has it on the stack or, up to 2.36, in an allocated buffer
that the stack points to; musl on the stack, and it connects again where a send failed. Where nobody listens
the line goes nowhere else. Sources: misc/syslog.c of glibc 2.36 and 2.37, src/misc/syslog.c of musl 1.2.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.runs.model import Printed, Syscall

STREAM = "syslog"
MAX_BYTES = 1 << 16
"""Bytes kept of all that a guest says to its system log."""
_PEERS = frozenset(("unix:/dev/log", "unix:/var/run/log", "unix:/run/systemd/journal/dev-log"))
_STACK = 8192
_MAX_POINTERS = 400
_LINE = 1024
_PAGE = 4096
_MARK = re.compile(rb"<(\d{1,3})>(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d |1 \d{4}-)[^\0]{1,1000}")
"""RFC 3164's line as the C libraries make it, and RFC 5424's."""
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")

Read = Callable[[int, int], bytes]
"""Reads bytes at an address of the guest, fewer where its memory ends; raises OSError where there is none."""


class SyslogWords:
    """The lines that a guest made ready for its system log, one below the other."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._last: dict[int, bytes] = {}
        self.total = 0
        """Bytes of all lines, those that were not kept included."""
        self.unseen = 0
        """Connections to the system log at which no line was found."""

    def content(self) -> bytes:
        """Return the lines that were kept."""
        return bytes(self._text)

    def take(self, call: Syscall, arch: Arch, stack: int, read: Read) -> None:
        """Look for the line of a thread that is held in `call`, with its stack pointer at `stack`."""
        if call.peer not in _PEERS or call.printed is not None or self.total >= MAX_BYTES:
            return
        found = _line(arch, stack, read)
        if found is None:
            self.unseen += 1
            return
        if self._last.get(call.pid) == found:
            # The library tries another type of socket, or has not cleared its buffer.
            return
        self._last[call.pid] = found
        line = _CONTROL.sub(b" ", found).strip() + b"\n"
        if self.total + len(line) <= MAX_BYTES:
            call.printed = Printed(stream=STREAM, offset=len(self._text), size=len(line))
            self._text += line
        self.total += len(line)


def _line(arch: Arch, stack: int, read: Read) -> bytes | None:
    data = _some(read, stack, _STACK)
    if (match := _MARK.search(data)) is not None:
        return _sound(match)
    layout = ("<" if arch.endian == "little" else ">") + ("I" if arch.word == 4 else "Q")
    words = (word for (word,) in struct.iter_unpack(layout, data[: len(data) // arch.word * arch.word]))
    looked: set[int] = set()
    for word in words:
        if word < _PAGE or word > arch.word_mask - _PAGE or word in looked or stack <= word < stack + _STACK:
            continue
        looked.add(word)
        if len(looked) > _MAX_POINTERS:
            break
        head = _some(read, word, 4)
        if head[:1] == b"<" and (match := _MARK.match(_some(read, word, _LINE))) is not None:
            return _sound(match)
    return None


def _sound(match: re.Match[bytes]) -> bytes | None:
    return match[0] if int(match[1]) <= 191 else None


def _some(read: Read, address: int, size: int) -> bytes:
    """Return what can be read, up to the end of a page where the rest cannot."""
    found = b""
    while size > 0:
        step = min(size, _PAGE - (address % _PAGE))
        data = b""
        with contextlib.suppress(OSError, TriageError):
            data = read(address, step)
        found += data
        if len(data) < step:
            break
        address, size = address + step, size - step
    return found
