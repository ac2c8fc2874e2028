"""Which call made each open descriptor of a process, from its calls and what they returned."""

from __future__ import annotations

from itertools import count, islice

from triage_tui.runs.model import Syscall

_OPENERS = frozenset(
    str.split(
        "open openat openat2 creat socket accept accept4 dup dup2 dup3 epoll_create epoll_create1 eventfd "
        "eventfd2 timerfd_create signalfd signalfd4 inotify_init inotify_init1 memfd_create pidfd_open "
        "fanotify_init mq_open perf_event_open userfaultfd"
    )
)
"""Calls whose result is a new descriptor."""
_FCNTLS = frozenset(("fcntl", "fcntl64"))
PAIRS = {"pipe": "pipe", "pipe2": "pipe", "socketpair": "socket"}
"""Calls that make two descriptors, whose numbers are in the guest's memory; and of which kind they are."""
NAMES = _OPENERS | _FCNTLS | PAIRS.keys() | {"close", "close_range"}
"""Names of the calls that matter here."""
_MAX_OPEN = 65_536

BY_RESULT = tuple(sorted(_OPENERS)), rb"[^\n]* = (\d{1,5})"
BY_ARGUMENT = ("close",), rb"(\d{1,5})\)[^\n]* = 0"
DUPLICATIONS = tuple(sorted(_FCNTLS)), rb"\d+,F_DUPFD[^\n]* = (\d{1,5})"
MARKS = tuple(sorted(_FCNTLS)), rb"(\d{1,5},F_SETFD)[^\n]* = 0"
WHOLE = (*sorted(PAIRS), "close_range"), rb"[^\n]*( = \d{1,5})"
LINES = (BY_RESULT, BY_ARGUMENT, DUPLICATIONS, MARKS, WHOLE)
"""How lines of these calls look in a log, behind the name and "("; the group is what a later line undoes."""


class DescriptorMakers:
    """The makers of one process's descriptors; calls are told in the order in which they returned."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[int, str]] = dict.fromkeys(range(3), (0, ""))
        """Descriptor -> its call (0: it was there before), and its kind where its number is concluded."""
        self._closed_by_exec: set[int] = set()

    def copy(self) -> DescriptorMakers:
        """Return what a forked process inherits."""
        child = DescriptorMakers()
        child._made, child._closed_by_exec = dict(self._made), set(self._closed_by_exec)
        return child

    def begin_program(self) -> None:
        """A program was executed."""
        for fd in self._closed_by_exec:
            self._made.pop(fd, None)
        self._closed_by_exec.clear()

    def maker(self, fd: int, kind: str = "") -> int | None:
        """Return the sequence number of the call that made a descriptor, None when it is not known.

        The numbers of a pair are concluded: the kernel gives the lowest that are free. Of another `kind`
        than the pair's, the descriptor came from elsewhere.
        """
        seq, concluded = self._made.get(fd, (0, ""))
        return seq if seq and (not concluded or concluded == kind) else None

    def note(self, call: Syscall) -> None:
        """Take in a call that succeeded."""
        name, result, arguments = call.name, call.ret, call.arguments
        if result is None:
            return
        on_exec = any("CLOEXEC" in text for text in arguments if not text.startswith('"'))
        if name in _FCNTLS:
            if len(arguments) > 1 and arguments[1] in ("F_DUPFD", "F_DUPFD_CLOEXEC"):
                self._make(result, call.seq, on_exec)
            elif (
                len(arguments) > 2 and arguments[1] == "F_SETFD" and (fd := _number(arguments[0])) is not None
            ):
                self._mark(fd, on_exec)
        elif name in PAIRS:
            # Where the result is no plain 0, the first one is in it (MIPS and others).
            first = result or next(self._free())
            self._make(first, call.seq, on_exec, PAIRS[name])
            self._make(next(self._free()), call.seq, on_exec, PAIRS[name])
        elif name == "close":
            if arguments and (fd := _number(arguments[0])) is not None:
                self._close(fd, call.seq)
        elif name == "close_range":
            self._close_range(call, on_exec)
        elif not (name == "dup2" and arguments and _number(arguments[0]) == result):
            self._make(result, call.seq, on_exec)

    def _free(self) -> islice[int]:
        return islice((fd for fd in count() if fd not in self._made), _MAX_OPEN)

    def _make(self, fd: int, seq: int, on_exec: bool, concluded: str = "") -> None:
        if fd in self._made or len(self._made) < _MAX_OPEN:
            self._made[fd] = (seq, concluded)
            self._mark(fd, on_exec)

    def _mark(self, fd: int, on_exec: bool) -> None:
        if on_exec and fd in self._made:
            self._closed_by_exec.add(fd)
        else:
            self._closed_by_exec.discard(fd)

    def _close(self, fd: int, seq: int) -> None:
        # The log of another thread may have been read first, with the call that made it anew.
        if self._made.get(fd, (0, ""))[0] <= seq:
            self._made.pop(fd, None)
            self._closed_by_exec.discard(fd)

    def _close_range(self, call: Syscall, on_exec: bool) -> None:
        if len(call.arguments) < 2:
            return
        first, last = (_number(text) for text in call.arguments[:2])
        if first is None or last is None:
            return
        on_exec |= len(call.arguments) > 2 and bool((_number(call.arguments[2]) or 0) & 4)
        for fd in [fd for fd in self._made if first <= fd and (fd <= last or last < 0)]:
            if on_exec:
                self._mark(fd, True)
            else:
                self._close(fd, call.seq)


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None
