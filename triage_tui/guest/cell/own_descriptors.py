"""Keep the emulator's own descriptors out of the guest's calls.

QEMU hands the guest's descriptor numbers on as they are, so that a guest can name its emulator's: the log,
above all. Once a guest runs, the emulator itself only writes to these and closes them. So every other call
that could do something with one is held, by its number alone, and answered as for a descriptor that is not
open; and so is a write that the emulator makes for its guest (`triage_tui.guest.emulator.call_site`). Reading
is not among them and need not be: the emulator's end of the log can neither be read nor mapped
(`triage_tui.guest.log.thread_log`).
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Callable

from triage_tui.guest.emulator import call_site
from triage_tui.guest.host import host_memory, process
from triage_tui.guest.host.seccomp import Notification, Watch

_FIRST = (
    "dup dup2 dup3 fcntl ioctl lseek flock ftruncate fallocate fchmod fchown fsetxattr fremovexattr "
    "pwrite64 pwritev pwritev2 writev vmsplice connect bind listen accept accept4 setsockopt getsockopt "
    "sendmsg sendmmsg"
)
_ARGUMENTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(_FIRST.split(), (0,)),
    **dict.fromkeys(("sendfile", "tee"), (0, 1)),
    **dict.fromkeys(("splice", "copy_file_range"), (0, 2)),
    "epoll_ctl": (2,),
}
"""Host call -> indices of its arguments that are descriptors."""

CLOSERS = {"close": 0, "dup2": 1, "dup3": 1}
"""Host call that closes a descriptor, or puts another in its place -> the argument that names it."""

_OPENS: dict[str, tuple[int | None, int]] = {
    "open": (None, 0),
    "creat": (None, 0),
    "openat": (0, 1),
    "openat2": (0, 1),
    "truncate": (None, 0),
}
"""Host call that needs a path only -> indices of its directory, if it has one, and its path."""
_FLAGS = {"open": 1, "openat": 2}
"""Host call -> index of its flags."""
_LINKS = re.compile(r"(?:^|/)(?:dev|(?:\d+|self|thread-self)(?:/task/\d+)?)/fd$")
"""Directories that hold a link for each descriptor."""
_MOST_LINKS = 40
"""Symbolic links in one path, for the kernel as well (MAXSYMLINKS of linux/namei.h)."""
_OF_READER: dict[str, Callable[[int], str]] = {
    "/proc/self": lambda tid: str(process.inner_pid(process.process_of(tid))),
    "/proc/thread-self": lambda tid: (
        f"{process.inner_pid(process.process_of(tid))}/task/{process.inner_pid(tid)}"
    ),
}
"""Links of proc(5) that lead elsewhere for each reader, with where they lead for the thread `tid`."""
_NOT_THERE = (errno.EFAULT, errno.ENOENT, errno.ENOTDIR, errno.ESRCH, errno.EBADF)
"""What a path gives that is not readable, or leads nowhere: the call will fail for the same reason."""
_HIDDEN = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
"""What a link gives that only the guest might be able to follow."""
_LOGS = 3
"""The logs are the descriptors from this one of the emulator's own on; a program may be opened below."""
_AT_FDCWD = 0xFFFFFF9C
_NO_DESCRIPTOR = 0xFFFFFFFF
"""The highest number that close_range takes; no descriptor has it."""

SENDS_DESCRIPTORS = "sendmsg"
"""The call by which a descriptor could be sent to where it gets another number (unix(7), SCM_RIGHTS)."""
_MESSAGE = struct.Struct("=QI4xQQQQ")
"""struct msghdr up to msg_controllen, on both hosts."""
_CONTROL = struct.Struct("=Qii")
"""struct cmsghdr."""
_SOL_SOCKET = _SCM_RIGHTS = 1
_MOST_CONTROL = 1 << 17
"""Bytes; the kernel takes no more (net.core.optmem_max)."""


def watches(first: int) -> list[Watch]:
    """Return the host calls to be notified about when they name a descriptor from `first` on."""
    named = [
        Watch(name, index, first, at_least=True) for name, indices in _ARGUMENTS.items() for index in indices
    ]
    whole = (SENDS_DESCRIPTORS, "truncate")
    return [*map(Watch, whole), *(watch for watch in named if watch.name not in whole)]


def used(name: str, notification: Notification, first: int) -> list[int]:
    """Return the descriptors from `first` on that the held host call `name` would use.

    What sendmsg sends is in the emulator's own memory by now: a guest of 32 bits cannot change it any more.

    Raises:
        OSError: that cannot be found out.
    """
    args = notification.args
    low = [args[index] & 0xFFFFFFFF for index in _ARGUMENTS.get(name, ())]
    if name == "write" and args[0] & 0xFFFFFFFF >= first:
        return (
            [args[0] & 0xFFFFFFFF] if call_site.is_for_guest(notification.tid, notification.pointer) else []
        )
    if name == SENDS_DESCRIPTORS and low[0] < first:
        low = _sent(notification, first)
    return [number for number in low if number >= first]


def are_open(name: str, notification: Notification, first: int) -> bool:
    """Return whether one of the descriptors that the held host call would use is there at all."""
    tid = notification.tid
    return any(os.path.lexists(f"/proc/{tid}/fd/{number}") for number in used(name, notification, first))


def closes(name: str, notification: Notification, first: int) -> bool:
    """Return whether the held host call `name` would close or replace a descriptor from `first` on."""
    at = CLOSERS.get(name)
    return at is not None and notification.args[at] & 0xFFFFFFFF >= first


def spared(name: str, notification: Notification, first: int) -> tuple[int, ...] | None:
    """Return the arguments with which a held close_range leaves the descriptors from `first` on alone.

    None: it does so as it stands, or fails.
    """
    if name != "close_range":
        return None
    begin, end = (argument & _NO_DESCRIPTOR for argument in notification.args[:2])
    if end < first or begin > end or begin == _NO_DESCRIPTOR:
        return None
    # What closes nothing may still unshare the table (CLOSE_RANGE_UNSHARE), or have flags that are none.
    clipped = (begin, first - 1) if begin < first else (_NO_DESCRIPTOR, _NO_DESCRIPTOR)
    return *clipped, *notification.args[2:]


def refusal(name: str, notification: Notification, first: int) -> int:
    """Return the errno by which the held host call `name` is answered for what it does with them, or 0.

    Raises:
        OSError: that cannot be found out.
    """
    if used(name, notification, first):
        return errno.EBADF
    try:
        return errno.ENOENT if _opens_log(name, notification, first + _LOGS) else 0
    except OSError as error:
        if error.errno in _NOT_THERE:
            return 0
        if error.errno in _HIDDEN:
            # Where the path leads cannot be told from here.
            return errno.EACCES
        raise


def _opens_log(name: str, notification: Notification, first: int) -> bool:
    """Return whether a held call opens the link of a descriptor from `first` on, in /proc or /dev.

    Or changes the length of what is behind it. Who only reads does no harm, and opens files by the thousand:
    then no link in the place of the file is followed.

    Raises:
        OSError: the path is not readable, or it cannot be told where it leads.
    """
    if name not in _OPENS:
        return False
    directory_at, path_at = _OPENS[name]
    args, tid = notification.args, notification.tid
    reads = name in _FLAGS and args[_FLAGS[name]] & (os.O_ACCMODE | os.O_TRUNC) == os.O_RDONLY
    path = os.fsdecode(host_memory.read_string(tid, args[path_at]))
    if reads and not _is_number(path, first):
        return False
    if not path.startswith("/"):
        directory = _AT_FDCWD if directory_at is None else args[directory_at] & 0xFFFFFFFF
        link = "cwd" if directory == _AT_FDCWD else f"fd/{directory}"
        path = os.path.join(os.readlink(f"/proc/{tid}/{link}"), path)
    return _leads_to_link(tid, path, first)


def _is_number(path: str, first: int) -> bool:
    last = path.rpartition("/")[2]
    return last.isascii() and last.isdigit() and len(last) < 10 and int(last) >= first


def _leads_to_link(tid: int, path: str, first: int) -> bool:
    """Follow an absolute path as the kernel does for the thread `tid`, up to its last symbolic link.

    Raises:
        OSError: what one of its parts is cannot be told.
    """
    left, at, links = path.split("/")[::-1], "", 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = os.path.dirname(at).rstrip("/")
            continue
        if not any(left) and _is_number(name, first) and _LINKS.search(at):
            return True
        own = _OF_READER.get(f"{at}/{name}")
        at = f"{at}/{own(tid) if own else name}"
        try:
            target = os.readlink(f"/proc/{tid}/root{at}")
        except OSError as error:
            # EINVAL: no link.
            if error.errno not in (errno.EINVAL, *_NOT_THERE):
                raise
            continue
        links += 1
        if links > _MOST_LINKS:
            return False
        at = "" if target.startswith("/") else os.path.dirname(at).rstrip("/")
        left += target.split("/")[::-1]
    return False


def _sent(notification: Notification, first: int) -> list[int]:
    """Return the descriptors that a held sendmsg sends; `first` for more than the kernel would take."""
    tid = notification.tid
    try:
        header = host_memory.read_memory(tid, notification.args[1], _MESSAGE.size)
        _name, _name_size, _vector, _count, address, size = _MESSAGE.unpack(header)
        if size > _MOST_CONTROL:
            return [first]
        control = host_memory.read_memory(tid, address, size) if size else b""
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        # The kernel cannot read it either.
        return []
    found: list[int] = []
    at = 0
    while at + _CONTROL.size <= len(control):
        length, level, kind = _CONTROL.unpack_from(control, at)
        if not _CONTROL.size <= length <= len(control) - at:
            break
        if (level, kind) == (_SOL_SOCKET, _SCM_RIGHTS):
            data = control[at + _CONTROL.size : at + length]
            found += [number for (number,) in struct.iter_unpack("=I", data[: len(data) & ~3])]
        at += (length + 7) & ~7
    return found
