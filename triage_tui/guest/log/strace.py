"""Read QEMU's own system call log (`-d strace,unimp`, linux-user/strace.c).

The log is bytes, not lines: strings stand in it as the guest wrote them, with quotes, newlines and NULs; a
call's text is written before the call and its result after it, in pieces; between the two another thread
of the same process may have written. So the reader looks for the shapes that QEMU prints, takes the earliest
that fits, and skips what it does not understand. A guest can put such shapes into its strings; what is
decided on is checked against its registers by the supervisor.

    2 openat(AT_FDCWD,"/etc/passwd",O_RDONLY) = -1 errno=2 (No such file or directory)
    2 Unknown syscall 4367
    Unsupported ioctl: cmd=0x89fb
    --- SIGSEGV {si_signo=SIGSEGV, si_code=1, si_addr=(nil)} ---
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = rb"[a-z_][a-z0-9_]{0,40}|[A-Z]{4,11}4?"
"""The name of a call; in capitals when it is made through socketcall(2)."""
_START = re.compile(rb"(\d{1,10}) (" + _NAME + rb")\(")
_UNKNOWN = re.compile(rb"(\d{1,10}) Unknown syscall (-?\d{1,10})\n")
_RESULT = re.compile(rb" = ([^\n]*)\n")
_WHOLE = re.compile(rb"(\d{1,10}) ([a-z_][a-z0-9_]{0,40})\(([^\n)]*)\) = ((?:-?\d|0x)[^\n]*)\n")
"""The usual case: a call and its result on one line, and no bracket in its arguments that could end it."""
_SIGNAL = re.compile(rb"--- (SIG\w{1,12}|\d{1,3}) \{([^\n]*)\} ---\n")
_UNSUPPORTED = re.compile(rb"(Unsupported [^\n]*|Unimplemented [^\n]*)\n")
_END = re.compile(
    rb"\)(?: = (?:-?\d|0x)|(?=\d{1,10} (?:(?:" + _NAME + rb")\(|Unknown syscall))|(?=--- SIG)"
    # `-d unimp` writes its line between a call and its result.
    rb"|(?=Unsupported |Unimplemented )|(?=\n))"
)
_SHAPES = re.compile(
    rb"\d{1,10} (?:(?:" + _NAME + rb")\(|Unknown syscall -?\d)|--- (?:SIG\w|\d)|Unsupported "
)
_EQUALS = b" = "
"""What stands between a call and its result; written by itself."""
BEGINS_CALL = re.compile(rb"^\d{1,10} (?:(" + _NAME + rb")\(|Unknown syscall )", re.MULTILINE)
"""What each call's line begins with, and its name."""
_NEXT_CALL = re.compile(rb"\n\d{1,10} (?:(" + _NAME + rb")\(|Unknown syscall )")
_ENDS_LINE = frozenset((b"exit", b"exit_group"))
_PUNCTUATION = re.compile(rb'"[^"]*(?:"(?! *(?:[,)}\]]|\.\.\.|\Z))[^"]*)*(?:"|\Z)|[{}\[\](),]')
"""A string, which ends only at a quote behind which an argument can end, or a character that may divide."""
_NEEDS_CARE = re.compile(rb"[\"{}\[\](]")
_ERROR_RESULT = re.compile(rb"-1 errno=(\d{1,6})")
_NUMBER_RESULT = re.compile(rb"0x([0-9a-fA-F]{1,16})|(-?\d{1,20})")
_MAX_CALL = 1 << 17
"""Bytes that one call's text may have before it is given up (execve with a long argument vector)."""


@dataclass(slots=True)
class LoggedCall:
    """One call in the log. `pid` is the id inside the guest's own pid name space."""

    pid: int
    name: str
    arguments: bytes
    number: int | None = None
    """Guest syscall number, only for calls that QEMU has no name for."""
    result: bytes | None = None
    note: str | None = None
    by_socketcall: bool = False
    """Made through socketcall(2): the number is that one's, the arguments are in memory."""
    at: int = 0
    """Offset in the log at which its text begins."""
    end: int = 0
    """Offset at which its text ended when its thread went into it."""


@dataclass(frozen=True, slots=True)
class LoggedSignal:
    """A signal that is being delivered to the guest: its name and the text of its siginfo."""

    name: str
    details: bytes


Item = LoggedCall | LoggedSignal


class StraceReader:
    """Incremental reader of one process's log.

    `feed` appends bytes and returns what is complete by now: each call once, when its arguments are there;
    its `result` is filled in later, in the same object, which is then reported by `finished`.
    """

    def __init__(self, logs_calls: bool = True) -> None:
        """`logs_calls`: the log tells of every call, so that what it says is about the last one."""
        self._logs_calls = logs_calls
        self._buffer = b""
        self._base = 0
        self.pending: list[LoggedCall] = []
        """Calls without a result, oldest first; more than one only where threads interleave."""
        self.finished: list[LoggedCall] = []
        """Calls whose result has come; the owner empties this."""
        self.lost = 0
        """Bytes skipped because they had no known shape."""
        self.writes_result = False
        """Whether its thread is held while it writes a result: a call whose result is missing has been made,
        but the guest does not know it. At any other moment such a call is as good as finished."""

    @property
    def position(self) -> int:
        """Offset in the log of the first byte that was not understood yet."""
        return self._base

    def take(self, data: bytes) -> bytes:
        """Return the text that was not understood yet with `data` after it; the reader forgets it."""
        text, self._buffer = self._buffer + data, b""
        return text

    def jump(self, offset: int) -> None:
        """Go on at `offset`, where a line begins; what was pending is forgotten."""
        self._buffer = b""
        self._base = offset
        self.pending.clear()

    def feed(self, data: bytes, complete: bool = False) -> list[Item]:
        """Take more bytes. `complete`: the last call's text is known to be whole (its thread waits in it)."""
        self._buffer = buffer = self._buffer + data if self._buffer else data
        items: list[Item] = []
        at = 0
        while at < len(buffer):
            if not self.pending and (whole := _WHOLE.match(buffer, at)):
                pid, name, arguments, result = whole.groups()
                call = LoggedCall(int(pid), name.decode(), arguments, None, result, None)
                call.at, call.end = self._base + at, self._base + whole.end(3) + 1
                items.append(call)
                self.finished.append(call)
                at = whole.end()
                continue
            step = self._one(at, complete, items)
            if step == 0:
                break
            at += step
        self._buffer = buffer[at:]
        self._base += at
        if len(self._buffer) > _MAX_CALL:
            self.lost += len(self._buffer)
            self._base += len(self._buffer)
            self._buffer = b""
        return items

    def _one(self, at: int, complete: bool, items: list[Item]) -> int:
        """Read one shape at offset `at`; return the bytes used, 0 to wait for more."""
        buffer = self._buffer
        if found := _RESULT.match(buffer, at):
            self._finish(found[1])
            return found.end() - at
        if buffer.startswith(b" = ", at):
            # The thread was stopped before it had written all of its result.
            return 0
        if found := _START.match(buffer, at):
            return self._call(found, complete, items)
        if found := _UNKNOWN.match(buffer, at):
            self._end_unnamed()
            number = int(found[2])
            call = LoggedCall(int(found[1]), f"syscall_{number}", b"", number, at=self._base + at)
            items.append(call)
            self.pending.append(call)
            return found.end() - at
        if found := _SIGNAL.match(buffer, at):
            items.append(LoggedSignal(found[1].decode(), found[2]))
            return found.end() - at
        if found := _UNSUPPORTED.match(buffer, at):
            text = found[1].decode("utf-8", "backslashreplace")[:200]
            target = self.pending[-1] if self.pending else (self.finished[-1] if self.finished else None)
            if target is not None and self._logs_calls:
                target.note = f"the emulator: {text}"
            if (
                self.pending
                and self.pending[-1].number is not None
                and text.startswith("Unsupported syscall")
            ):
                self._finish(b"ENOSYS")
            return found.end() - at
        if buffer[at : at + 1] == b"\n":
            return 1
        if complete and buffer[at:] == _EQUALS:
            # The thread is held while it writes the rest of the result.
            return 0
        return self._skip(at, complete)

    def _call(self, start: re.Match[bytes], complete: bool, items: list[Item]) -> int:
        buffer = self._buffer
        name = start[2]
        search = start.end()
        while True:
            end = _END.search(buffer, search)
            if end is None:
                if self.writes_result and buffer.endswith(b")" + _EQUALS):
                    close = len(buffer) - len(_EQUALS) - 1
                    used = close + 1
                    break
                if complete and buffer.rstrip(b"\n").endswith(b")"):
                    close = len(buffer.rstrip(b"\n")) - 1
                    used = len(buffer)
                    break
                return 0
            close, used = end.start(), end.start() + 1
            if (
                buffer[used : used + 1] == b"\n"
                and name not in _ENDS_LINE
                and not (complete and used + 1 == len(buffer))
            ):
                search = used
                continue
            break
        self._end_unnamed()
        text = name.decode()
        call = LoggedCall(int(start[1]), text.lower(), buffer[start.end() : close])
        call.by_socketcall = text.isupper()
        call.at, call.end = self._base + start.start(), self._base + close + 1
        items.append(call)
        self.pending.append(call)
        return used - start.start()

    def _end_unnamed(self) -> None:
        """Finish the call before, if it is one that QEMU carried out without having a name for it.

        No result is printed for those.
        """
        if self.pending and self.pending[-1].number is not None:
            self._finish(b"")

    def _finish(self, result: bytes) -> None:
        """Give `result` to the call it most likely belongs to."""
        if not self.pending:
            return
        call = self.pending.pop()
        call.result = result
        if self.pending:
            call.note = call.note or "other threads were in calls too: the result may be theirs"
        self.finished.append(call)

    def _skip(self, at: int, complete: bool) -> int:
        """Return how many bytes to skip to the next place that looks like something."""
        shape = _SHAPES.search(self._buffer, at)
        line = self._buffer.find(b"\n", at)
        ends = [end for end in (shape.start() if shape else -1, line + 1 if line >= 0 else -1) if end > at]
        if not ends:
            if not complete and len(self._buffer) - at < 4096:
                return 0
            ends = [len(self._buffer)]
        self.lost += min(ends) - at
        return min(ends) - at


def calls_begun(text: bytes) -> list[bytes]:
    """Return the names of the calls whose lines begin in `text`, without reading them; "" for unknown ones.

    It is the same as `BEGINS_CALL.findall`, several times as fast.
    """
    return _NEXT_CALL.findall(b"\n" + text)


def parse_failure(text: bytes) -> int | None:
    """Return the guest's error number of a piece of the log that says a call failed, None for any other."""
    found = _ERROR_RESULT.match(text)
    return int(found[1]) if found else None


def read_pending(line: bytes) -> LoggedCall | None:
    """Return the call of a line whose thread still waits in it; None when the line shows anything else."""
    start = _START.match(line)
    line = line.removesuffix(b"\n")
    if start is None or not line.endswith(b")") or _END.search(line, start.end()):
        return None
    name = start[2].decode()
    call = LoggedCall(int(start[1]), name.lower(), line[start.end() : -1])
    call.by_socketcall = name.isupper()
    return call


@dataclass(frozen=True, slots=True)
class Result:
    """A call's result in guest terms: `value` (negative errno on failure), and the error's number if any."""

    value: int | None
    error: int | None


def parse_result(text: bytes) -> Result:
    """Read what stands after " = ": decimal, hexadecimal, or `-1 errno=N (text)`.

    `errno=512` and above are QEMU's own (a return from a signal handler): no result.
    """
    if text == b"ENOSYS":
        return Result(None, None)
    found = _ERROR_RESULT.match(text)
    if found:
        number = int(found[1])
        return Result(None, None) if number >= 512 else Result(-number, number)
    found = _NUMBER_RESULT.match(text)
    if not found:
        return Result(None, None)
    return Result(int(found[1], 16) if found[1] else int(found[2]), None)


def split_arguments(text: bytes, limit: int = 8) -> list[bytes]:
    """Split a call's argument text at commas that are outside quotes and brackets.

    Strings are not escaped in the log; one that holds a quote and then a comma or a closing bracket may be
    split in the wrong place.
    """
    if not _NEEDS_CARE.search(text):
        return [part.strip() for part in text.split(b",", limit - 1)] if text else []
    parts: list[bytes] = []
    depth = 0
    start = 0
    for found in _PUNCTUATION.finditer(text):
        char = found[0]
        if char == b",":
            if depth == 0 and len(parts) < limit - 1:
                parts.append(text[start : found.start()].strip())
                start = found.end()
        elif char in b"{[(":
            depth += 1
        elif char in b"}])":
            depth = max(0, depth - 1)
    if text[start:] or parts:
        parts.append(text[start:].strip())
    return parts


def unquote(argument: bytes) -> bytes | None:
    """Return the string of an argument that is one, else None."""
    if len(argument) >= 2 and argument[:1] == b'"' and argument[-1:] == b'"':
        return argument[1:-1]
    return None
