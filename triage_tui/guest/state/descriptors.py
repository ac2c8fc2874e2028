"""The open descriptors of a process: what each one is, where it stands, how it was opened.

From /proc/<pid>/fd and fdinfo (proc(5), "/proc/pid/fdinfo/"); sockets are asked themselves.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from triage_tui.guest.host import process
from triage_tui.guest.host.signals import signals_of_mask
from triage_tui.guest.state import sockets
from triage_tui.runs.process_model import Descriptor

MAX_DESCRIPTORS = 16_384
"""Descriptors recorded of one process."""
_MAX_WATCHED = 32
"""Descriptors named of one epoll instance, watches of one inotify instance."""
_MAX_TARGET = 4096

_ACCESS = {os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY", os.O_RDWR: "O_RDWR"}
_FLAGS = {
    os.O_APPEND: "O_APPEND", os.O_NONBLOCK: "O_NONBLOCK", os.O_ASYNC: "O_ASYNC", os.O_DIRECT: "O_DIRECT",
    os.O_DIRECTORY: "O_DIRECTORY", os.O_NOFOLLOW: "O_NOFOLLOW", os.O_NOATIME: "O_NOATIME",
    os.O_CLOEXEC: "O_CLOEXEC", os.O_PATH: "O_PATH",
}  # fmt: skip
_SYNC, _DSYNC = os.O_SYNC, os.O_DSYNC
_EVENTS = {
    1: "EPOLLIN", 2: "EPOLLPRI", 4: "EPOLLOUT", 0x2000: "EPOLLRDHUP", 1 << 28: "EPOLLEXCLUSIVE",
    1 << 30: "EPOLLONESHOT", 1 << 31: "EPOLLET",
}  # fmt: skip
"""Without EPOLLERR and EPOLLHUP, which the kernel always adds."""
_CLOCKS = {0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 7: "CLOCK_BOOTTIME", 8: "CLOCK_REALTIME_ALARM"} | {
    9: "CLOCK_BOOTTIME_ALARM"
}


def flag_names(flags: int) -> list[str]:
    """Return the names of open flags with the host's values; the access mode comes first."""
    names = [_ACCESS.get(flags & os.O_ACCMODE, "O_ACCMODE")]
    names += [name for bit, name in _FLAGS.items() if flags & bit == bit]
    if flags & _SYNC == _SYNC:
        names.append("O_SYNC")
    elif flags & _DSYNC:
        names.append("O_DSYNC")
    return names


def open_descriptors(
    pid: int, first_own_fd: int, origin: Callable[[int, str], int | None] = lambda _fd, _kind: None
) -> Iterator[Descriptor]:
    """Yield the descriptors of process `pid` below `first_own_fd`, lowest first, at most MAX_DESCRIPTORS.

    `origin` gives the syscall that made a descriptor, which is of this kind now.
    Descriptors from `first_own_fd` on are the emulator's.

    Raises:
        OSError: the process is gone.
    """
    pid = process.living_id(pid)
    state = process.thread_state(pid, pid)
    if state is not None and state.state in "ZX":
        # It has closed all: what is listed now is not what it had.
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    numbers = sorted(fd for name in os.listdir(f"/proc/{pid}/fd") if (fd := int(name)) < first_own_fd)
    with sockets.process_handle(pid) as handle:
        for fd in numbers[:MAX_DESCRIPTORS]:
            with suppress(OSError):
                found = _describe(pid, handle, fd)
                found.origin_seq = origin(fd, found.kind)
                yield found


def count(pid: int, first_own_fd: int) -> int:
    """Return how many descriptors of its own the guest's process has, 0 when it is gone."""
    try:
        names = os.listdir(f"/proc/{process.living_id(pid)}/fd")
        return sum(int(name) < first_own_fd for name in names)
    except OSError:
        return 0


def _describe(pid: int, handle: int, fd: int) -> Descriptor:
    target = os.readlink(f"/proc/{pid}/fd/{fd}")
    text = os.fsencode(target)[:_MAX_TARGET].decode("utf-8", "backslashreplace")
    found = Descriptor(fd=fd, target=text)
    info = information(pid, fd)
    with suppress(KeyError, ValueError):
        found.flags = int(info["flags"][0], 8)
        found.flag_names = flag_names(found.flags)
        found.cloexec = bool(found.flags & os.O_CLOEXEC)
        found.offset = int(info["pos"][0])
    if target.startswith("socket:"):
        found.kind = "socket"
        found.offset = None
        found.socket = sockets.look(handle, fd)
        found.state = sockets.in_words(found.socket) if found.socket is not None else None
    elif target.startswith("pipe:"):
        found.kind, found.offset = "pipe", None
    elif target.startswith("anon_inode:"):
        found.offset = None
        found.detail = _anonymous(target.removeprefix("anon_inode:").strip("[]"), info)
    else:
        _describe_file(pid, fd, found)
    locks = info.get("lock")
    if locks:
        words = f"locked: {'; '.join(' '.join(lock.split()[1:4]) for lock in locks[:4])}"
        found.detail = f"{found.detail}, {words}" if found.detail else words
    return found


def _describe_file(pid: int, fd: int, found: Descriptor) -> None:
    status = os.stat(f"/proc/{pid}/fd/{fd}")
    match status.st_mode & 0o170000:
        case 0o040000:
            found.kind = "directory"
        case 0o020000 | 0o060000:
            found.kind = "device"
            found.detail = f"device {os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        case 0o010000:
            found.kind, found.offset = "pipe", None
        case 0o140000:
            found.kind = "socket"
        case 0o100000:
            found.kind, found.size = "file", status.st_size
            if status.st_nlink == 0:
                found.detail = "deleted"


def information(pid: int, fd: int) -> dict[str, list[str]]:
    """Return the lines of fdinfo, key -> values; none where the descriptor is gone."""
    lines: dict[str, list[str]] = {}
    with suppress(OSError), open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii", errors="replace") as file:
        # An epoll instance has a line for each descriptor that it watches.
        for line in file.read(1 << 20).splitlines():
            key, _, value = line.partition(":")
            if key.startswith("inotify"):
                key, _, value = line.partition(" ")
            lines.setdefault(key.strip(), []).append(value.strip())
    return lines


def _anonymous(name: str, info: dict[str, list[str]]) -> str:
    """Say what an anonymous file holds: eventfd, epoll, timerfd, signalfd, inotify, pidfd and others."""
    try:
        if name == "eventfd":
            return f"eventfd, count {int(info['eventfd-count'][0], 16)}"
        if name == "eventpoll":
            return f"epoll, watching {_list(map(_watched, info.get('tfd', ())), len(info.get('tfd', ())))}"
        if name == "timerfd":
            return _timer(info)
        if name == "signalfd":
            return f"signalfd, {', '.join(signals_of_mask(int(info['sigmask'][0], 16))) or 'no signal'}"
        if name == "inotify":
            watches = info.get("inotify", ())
            return f"inotify, watching {_list(('inode ' + _field(w, 'ino') for w in watches), len(watches))}"
        if name == "pidfd":
            return f"pidfd of process {info['NSpid'][0].split()[-1] if 'NSpid' in info else info['Pid'][0]}"
    except (KeyError, ValueError, IndexError):
        pass
    return name[:100]


def _list(words: Iterable[str], total: int) -> str:
    shown = [word for word, _ in zip(words, range(_MAX_WATCHED), strict=False)]
    more = f" and {total - len(shown)} more" if total > len(shown) else ""
    return (", ".join(shown) or "nothing") + more


def _watched(line: str) -> str:
    """Turn " 5 events: 1d data: ..." into "5 (EPOLLIN EPOLLOUT)"."""
    number, _, rest = line.partition(" ")
    events = int(rest.split("events:")[1].split()[0], 16)
    return f"{number} ({' '.join(name for bit, name in _EVENTS.items() if events & bit) or 'nothing'})"


def _field(line: str, name: str) -> str:
    found = re.search(rf"\b{name}:([0-9a-f]+)", line)
    return str(int(found[1], 16)) if found else "?"


def _timer(info: dict[str, list[str]]) -> str:
    clock = int(info["clockid"][0])
    left, interval = (_seconds(info[key][0]) for key in ("it_value", "it_interval"))
    words = f"timerfd, {_CLOCKS.get(clock, f'clock {clock}')}, expired {int(info['ticks'][0])} times"
    words += f", {left:g} s left" if left else ", not running"
    return words + (f", every {interval:g} s" if interval else "")


def _seconds(text: str) -> float:
    """Turn "(3, 500000000)" into 3.5."""
    seconds, nanoseconds = text.strip("()").split(",")
    return int(seconds) + int(nanoseconds) / 1e9
