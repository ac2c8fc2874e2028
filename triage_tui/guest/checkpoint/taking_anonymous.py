"""What descriptors without a file of their own hold: eventfd, epoll, inotify, timerfd and signalfd.

The kernel tells in fdinfo (proc(5), "/proc/pid/fdinfo/") all that a new one needs.
"""

from __future__ import annotations

import ctypes
import os
import re

from triage_tui.guest.arch import Arch
from triage_tui.guest.checkpoint import settling
from triage_tui.guest.checkpoint.model import Mark, OpenFile, Timer, Watch
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.emulator.signal_actions import guest_mask, signal_numbers
from triage_tui.guest.host import host_syscalls
from triage_tui.guest.host.libc import libc
from triage_tui.guest.host.signals import signals_of_mask
from triage_tui.guest.state.descriptors import information

_KCMP_FILE, _KCMP_EPOLL_TFD = 0, 7
_MOST_WATCHES = 4096
_SECOND = 1_000_000_000
_CANCEL_ON_SET = 2
"""TFD_TIMER_CANCEL_ON_SET, timerfd_create(2)."""
_ONESHOT, _WANTED = 1 << 30, 0x0FFFFFFF & ~0x18
"""EPOLLONESHOT, and what may be waited for: without EPOLLERR and EPOLLHUP, which the kernel always adds."""
_WATCH = re.compile(r"(\d+) events: *([0-9a-f]+) data: *([0-9a-f]+)")
_MARK = re.compile(r"wd:(\d+) ino:([0-9a-f]+) sdev:([0-9a-f]+) mask:([0-9a-f]+) ")
_TIME = re.compile(r"\((\d+), (\d+)\)")


class _Slot(ctypes.Structure):
    """struct kcmp_epoll_slot, <linux/kcmp.h>."""

    _fields_ = [("epoll", ctypes.c_uint32), ("watched", ctypes.c_uint32), ("index", ctypes.c_uint32)]


def same_file(pid: int, fd: int, other: int) -> bool:
    """Return whether two descriptors of a process share one open file (kcmp(2))."""
    number = host_syscalls.numbers().get("kcmp")
    if number is None:
        return False
    result = libc.syscall(number, pid, pid, _KCMP_FILE, ctypes.c_ulong(fd), ctypes.c_ulong(other))
    return int(result) == 0


def look(pid: int, fd: int, kind: str, arch: Arch, found: OpenFile) -> bool:
    """Fill in what the anonymous file behind descriptor `fd` holds; False where it is of another kind.

    `kind` is the kernel's name of it: "eventfd", "eventpoll".

    Raises:
        Obstacle: it cannot be made again.
    """
    info = information(pid, fd)
    what = f"descriptor {fd}"
    try:
        match kind:
            case "eventfd":
                found.kind, found.counter = "eventfd", int(info["eventfd-count"][0], 16)
                if "eventfd-semaphore" not in info:
                    # Before Linux 6.5.
                    raise Obstacle(f"{what} is an eventfd, and this kernel does not tell how it counts")
                found.semaphore = info["eventfd-semaphore"][0] == "1"
            case "eventpoll":
                found.kind, found.watches = "epoll", _watches(pid, fd, what, info.get("tfd", []))
            case "inotify":
                found.kind, found.marks = "inotify", _marks(pid, fd, what, info.get("inotify", []))
            case "timerfd":
                found.kind, found.timer = "timerfd", _timer(what, info)
            case "signalfd":
                names = signals_of_mask(int(info["sigmask"][0], 16))
                if not set(names) <= set(signal_numbers(arch)):
                    raise Obstacle(f"{what} is a signalfd for real-time signals")
                found.kind, found.signals = "signalfd", guest_mask(arch, names)
            case _:
                return False
    except (KeyError, IndexError, ValueError, TypeError):
        raise Obstacle(f"the kernel does not tell what {what} ({kind}) holds") from None
    found.path, found.offset = "", 0
    return True


def _timer(what: str, info: dict[str, list[str]]) -> Timer:
    if int(info["settime flags"][0], 8) & _CANCEL_ON_SET:
        raise Obstacle(f"{what} is a timer that hears of a clock that is set")
    left, interval = (
        int(match[1]) * _SECOND + int(match[2])
        for key in ("it_value", "it_interval")
        if (match := _TIME.match(info[key][0]))
    )
    return Timer(int(info["clockid"][0]), int(info["ticks"][0]), left, interval)


def _marks(pid: int, fd: int, what: str, lines: list[str]) -> list[Mark]:
    """Return what an inotify instance watches, each without its path; the oldest comes first."""
    if len(lines) > _MOST_WATCHES:
        raise Obstacle(f"{what} is inotify, and watches more than {_MOST_WATCHES} files")
    if settling.unread_bytes(pid, fd):
        raise Obstacle(f"{what} is inotify, and has something to tell that was not read")
    found = []
    for line in lines:
        match = _MARK.match(line)
        if match is None:
            raise ValueError(line)
        inode, device, events = (int(text, 16) for text in match.groups()[1:])
        found.append(Mark(int(match[1]), "", events, inode, device))
    return sorted(found, key=lambda mark: mark.number)


def _watches(pid: int, fd: int, what: str, lines: list[str]) -> list[Watch]:
    if len(lines) > _MOST_WATCHES:
        raise Obstacle(f"{what} is an epoll instance that watches more than {_MOST_WATCHES} descriptors")
    found: list[Watch] = []
    for line in lines:
        match = _WATCH.match(line)
        if match is None:
            raise ValueError(line)
        one = Watch(int(match[1]), int(match[2], 16), int(match[3], 16))
        if one.events & _ONESHOT and not one.events & _WANTED:
            raise Obstacle(f"{what} is an epoll instance that has told of descriptor {one.fd} once for all")
        if any(other.fd == one.fd for other in found) or not _is_watched(pid, fd, one.fd):
            raise Obstacle(f"{what} is an epoll instance that watches a file whose descriptor was closed")
        found.append(one)
    return found


def _is_watched(pid: int, epoll: int, fd: int) -> bool:
    """Return whether what an epoll instance watches as `fd` is what that descriptor leads to now."""
    number = host_syscalls.numbers().get("kcmp")
    slot = _Slot(epoll, fd, 0)
    result = -1
    if number is not None and os.path.lexists(f"/proc/{pid}/fd/{fd}"):
        result = libc.syscall(number, pid, pid, _KCMP_EPOLL_TFD, ctypes.c_ulong(fd), ctypes.byref(slot))
    return int(result) == 0
