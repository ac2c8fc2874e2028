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
from collections.abc import Collection

from triage_tui.guest.log.logged_items import Item, LoggedCall, LoggedSignal, LongerCall
from triage_tui.guest.log.own_text import CHECKED, MOST_ENDS, is_complete, is_own_answer, next_end
from triage_tui.runs.model import DOUBT

_NAME = rb"[a-z_][a-z0-9_]{0,40}|[A-Z]{4,11}4?"
"""The name of a call; in capitals when it is made through socketcall(2)."""
_START = re.compile(rb"(\d{1,10}) (" + _NAME + rb")\(")
_UNKNOWN = re.compile(rb"(\d{1,10}) Unknown syscall (-?\d{1,10})\n")
_RESULT = re.compile(rb" = ([^\n]*)\n")
_WHOLE = re.compile(rb"(\d{1,10}) ([a-z_][a-z0-9_]{0,40})\(([^\n)]*)\) = ((?:-?\d|0x)[^\n]*)\n")
"""The usual case: a call and its result on one line, and no bracket in its arguments that could end it."""
_SIGNAL = re.compile(rb"--- (SIG\w{1,12}|\d{1,3}) \{([^\n]*)\} ---\n")
_UNSUPPORTED = re.compile(
    rb"(Unsupported [^\n]*|Unimplemented [^\n]*|getsockopt level=-?\d{1,10} optname=[^\n]*)\n"
)
_END = re.compile(
    # QEMU 10 has no text for the result of a wait4 that found a child.
    rb"\)(?: = (?:-?\d|0x|(?=\n))|(?=\d{1,10} (?:(?:" + _NAME + rb")\(|Unknown syscall))|(?=--- SIG)"
    # `-d unimp` writes its line between a call and its result.
    rb"|(?=Unsupported |Unimplemented |getsockopt level=)|(?=\n))"
)
_REMARK = re.compile(rb"\)(?:Unsupported |Unimplemented |getsockopt level=)[^\n]*\n\Z")
"""A remark of `-d unimp` about the last call of a text."""
_SHAPES = re.compile(
    rb"\d{1,10} (?:(?:" + _NAME + rb")\(|Unknown syscall -?\d)|--- (?:SIG\w|\d)|Unsupported "
    rb"|getsockopt level=|(?<=\n)(?: = |Unimplemented )"
)
_LINE_BREAKS = re.compile(rb"\n+")
_EQUALS = b" = "
"""What stands between a call and its result; written by itself."""
BEGINS_CALL = re.compile(rb"^\d{1,10} (?:(" + _NAME + rb")\(|Unknown syscall )", re.MULTILINE)
"""What each call's line begins with, and its name."""
NEXT_CALL = re.compile(rb"\n\d{1,10} (?:(" + _NAME + rb")\(|Unknown syscall )")
_ENDS_LINE = frozenset((b"exit", b"exit_group"))
_MAX_STRING = 1 << 14
"""Bytes up to which the end of a string that seems to go on is waited for; QEMU prints strings whole."""
_MAX_ABSORBED = 1 << 16
"""Bytes of a call's arguments up to which what belongs to its string is added to them."""
_MAX_CALL = 8 << 20
"""Bytes that one call's text may have before it is given up; arguments of execve have less (execve(2))."""


class StraceReader:
    """Incremental reader of one process's log.

    `feed` appends bytes and returns what is complete by now: each call once, when its arguments are there;
    its `result` is filled in later, in the same object, which is then reported by `finished`.
    """

    def __init__(
        self,
        logs_calls: bool = True,
        held: frozenset[bytes] = frozenset(),
        waits: Collection[int] = (),
    ) -> None:
        """`logs_calls`: the log tells of every call, so that what it says is about the last one.

        `held`: calls in which the thread is always held; `waits`: the offsets at which it was, each the end
        of a call's text.
        """
        self._logs_calls = logs_calls
        self._held = held
        self._waits = waits
        self._last: LoggedCall | None = None
        """The call that was read last."""
        self._unsure = False
        """It went on at a place that may be in a string; until the thread is held, a call that is always held
        must have been."""
        self._doubt: str | None = None
        """Note for calls behind text that was made up, until the thread is held."""
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

    def leave_out(self, size: int) -> None:
        """The log has `size` bytes next that nobody wrote."""
        self._base += size

    @property
    def buffered(self) -> int:
        """Bytes that were not understood yet."""
        return len(self._buffer)

    def jump(self, offset: int, certain: bool = True) -> None:
        """Go on at `offset`, where a line begins; what was pending is forgotten.

        Not `certain`: it may be a line in a string of the guest's own.
        """
        if not certain:
            self._last, self._unsure = None, True
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
                if name not in CHECKED or (
                    is_complete(name, arguments) and (name not in self._held or self._is_plain(whole))
                ):
                    call = LoggedCall(int(pid), name.decode(), arguments, None, result, self._doubt)
                    call.at, call.end = self._base + at, self._base + whole.end(3) + 1
                    items.append(call)
                    self.finished.append(call)
                    self._last = call
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

    def _is_plain(self, line: re.Match[bytes]) -> bool:
        """Return whether the line of a call that is always held needs no further thought."""
        if self._base + line.end(3) + 1 in self._waits:
            self._doubt, self._unsure = None, False
            return True
        if is_own_answer(line[2], line[3], line[4]):
            return True
        return b'"' not in line[3] and not self._unsure and not self._may_go_on(self._last)

    def _may_go_on(self, call: LoggedCall | None) -> bool:
        """Return whether what comes behind `call` may be the rest of its string."""
        if call is None or b'"' not in call.arguments:
            return False
        return call.end not in self._waits

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
        if found := _LINE_BREAKS.match(buffer, at):
            return found.end() - at
        if complete and buffer[at:] == _EQUALS:
            # The thread is held while it writes the rest of the result.
            return 0
        return self._skip(at, complete)

    def _call(self, start: re.Match[bytes], complete: bool, items: list[Item]) -> int:
        buffer = self._buffer
        name = start[2]
        search = start.end()
        cut: re.Match[bytes] | None = None
        tries = 0
        while True:
            end = _END.search(buffer, search)
            if end is None and cut is not None:
                # The string goes on behind what looks like the end of its call.
                whole = buffer.rstrip(b"\n")
                if complete and whole.endswith(b")") and self._ends(start, len(whole) - 1):
                    self._doubt = DOUBT
                    close, used = len(whole) - 1, len(buffer)
                    break
                if not complete and (len(buffer) - start.start() < _MAX_STRING or self._waits_behind(name)):
                    return 0
                end, self._doubt = cut, DOUBT
            elif end is not None and not self._ends(start, end.start()):
                cut = cut or end
                tries += 1
                search = end.start() + 1 if tries < MOST_ENDS else self._next_end(name, end.start() + 1)
                continue
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
                end is not cut
                and buffer[used : used + 1] == b"\n"
                and name not in _ENDS_LINE
                and not (complete and used + 1 == len(buffer))
            ):
                tries += 1
                search = used if tries < MOST_ENDS else self._next_end(name, used)
                continue
            break
        if (
            not complete
            and name in self._held
            and self._base + close + 1 not in self._waits
            and buffer.startswith(_EQUALS, close + 1)
            and buffer.find(b"\n", close) < 0
        ):
            # What it is shows in its result, which is not there as a whole yet.
            return 0
        if cut is not None and end is not cut:
            self._doubt = DOUBT
        if self._is_made_up(start, close):
            return self._absorb(start, close, items)
        self._end_unnamed()
        text = name.decode()
        call = LoggedCall(int(start[1]), text.lower(), buffer[start.end() : close], note=self._doubt)
        self._last = call
        call.by_socketcall = text.isupper()
        call.at, call.end = self._base + start.start(), self._base + close + 1
        items.append(call)
        self.pending.append(call)
        return used - start.start()

    def _ends(self, start: re.Match[bytes], close: int) -> bool:
        """Return whether the text of a call can end with the bracket at `close`."""
        name, arguments = start[2], self._buffer[start.end() : close]
        if name in self._held and self._base + close + 1 in self._waits:
            return True
        if not is_complete(name, arguments):
            return False
        if name not in self._held or b'"' not in arguments or self._may_go_on(self._last):
            return True
        # Its thread must have been held at the end of its text, so that this is a part of its string.
        result = _RESULT.match(self._buffer, close + 1)
        if result is None:
            # It may not be there as a whole yet.
            return not self._buffer.startswith(_EQUALS, close + 1)
        return is_own_answer(name, arguments, result[1])

    def _next_end(self, name: bytes, at: int) -> int:
        """Return where from `at` on a call `name` ends for certain, the end of the text if nowhere."""
        size = len(self._buffer)
        return next_end(at - 1, size, self._base, self._waits) if name in self._held else size

    def _waits_behind(self, name: bytes) -> bool:
        """Return whether the thread was held behind the text that is there, which may be in a call `name`."""
        if name not in self._held:
            return False
        # Those of a log are in order, oldest first.
        newest = next(reversed(self._waits), 0) if isinstance(self._waits, dict) else 0
        return newest > self._base + len(self._buffer)

    def _is_made_up(self, start: re.Match[bytes], close: int) -> bool:
        """Return whether the text of a call with a result is no call: its thread was never held in it."""
        end = self._base + close + 1
        # Calls without a result end their line.
        if (self._doubt or start[2] in self._held) and (end in self._waits or end + 1 in self._waits):
            self._doubt, self._unsure = None, False
            return False
        if start[2] not in self._held:
            return False
        if self.pending or not (self._unsure or self._may_go_on(self._last)):
            return False
        result = _RESULT.match(self._buffer, close + 1)
        arguments = self._buffer[start.end() : close]
        return result is not None and not is_own_answer(start[2], arguments, result[1])

    def _absorb(self, start: re.Match[bytes], close: int, items: list[Item]) -> int:
        """Take a line for a part of the string of the call before; return the bytes used."""
        before = self._last
        result = _RESULT.match(self._buffer, close + 1)
        assert result is not None
        if before is None:
            self.lost += result.end() - start.start()
            return result.end() - start.start()
        begun = b") = " + (before.result or b"") + b"\n"
        if len(before.arguments) < _MAX_ABSORBED:
            before.arguments += begun + self._buffer[start.start() : close]
        before.end = self._base + close + 1
        before.result = result[1]
        before.note = self._doubt = DOUBT
        items.append(LongerCall(before))
        return result.end() - start.start()

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
        shape = _SHAPES.search(self._buffer, at + 1)
        end = shape.start() if shape else self._buffer.rfind(b"\n", at) + 1
        if end <= at:
            if not complete and len(self._buffer) - at < 4096:
                return 0
            end = len(self._buffer)
        self.lost += end - at
        return end - at


def calls_begun(text: bytes) -> list[bytes]:
    """Return the names of the calls whose lines begin in `text`, without reading them; "" for unknown ones.

    It is the same as `BEGINS_CALL.findall`, several times as fast.
    """
    return NEXT_CALL.findall(b"\n" + text)


def without_remark(text: bytes) -> bytes:
    """Return `text` without what QEMU writes behind the call in which it is: a remark, and what leads to the
    result.
    """
    text = text.removesuffix(_EQUALS)
    found = _REMARK.search(text)
    return text[: found.start() + 1] if found else text


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
