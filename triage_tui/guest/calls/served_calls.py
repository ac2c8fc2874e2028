"""Calls that QEMU answers by itself: they never reach the host, but its log tells of them in time.

QEMU writes its log piece by piece, and the pieces that tell of such a call have lengths of their own, so that
the filter can tell them from nearly everything else that is logged (linux-user/syscall.c and strace.c of QEMU
7.2 to 10.0). A line of its own announces most of them:

    Unsupported ioctl: cmd=0x89f0                        an ioctl that QEMU does not know: 4, 8 or 16 digits
    Unsupported syscall: 277                             a system call that it does not have
    Unsupported setsockopt level=1 optname=77            a socket option that it does not know
    getsockopt level=0 optname=77 not yet supported      likewise

Where calls are logged, the failure follows as a piece; its number is the guest's, its text the host's:

    -1 errno=92 (Protocol not available)                 setsockopt, and getsockopt of IP, IPv6 and TCP
    -1 errno=95 (Operation not supported)                getsockopt of other levels
    -1 errno=93 (Protocol not supported)                 socket, a netlink protocol that it does not know

Of calls on sockets these are held rather than the lines, which have as many lengths as there are numbers:
paths and whole calls are logged in one piece too, and each length that is held costs a guest those that have
it by chance. ioctl fails with ENOSYS, before QEMU 8.1 or so, which is as long as ENOENT.

Reading the clock of the day succeeds without a host call, and what was read is logged in one piece, behind
the call and its result; that of `time`, which only some architectures have, is nothing but the result:

    {tv_sec = 1795302002,tv_nsec = 592810426}            clock_gettime, clock_gettime64
    {tv_sec = 1795302002,tv_usec = 596299},              gettimeofday
    1795302002                                           time

Each piece is written before the guest's result register is. MIPS tells a call that no MIPS kernel has by no
piece at all.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable

import msgspec

from triage_tui.guest.arch import Arch, by_name, known_names

_FAILURE = re.compile(rb"-1 errno=(\d{1,5}) \([^()\n]*\)")
_UNSUPPORTED = re.compile(rb"Unsupported syscall: (\d{1,10})\n")
_IOCTL = re.compile(rb"Unsupported ioctl(?: type)?: cmd=0x[0-9a-f]{4,16}[^\n]*\n")
_SETSOCKOPT = re.compile(rb"Unsupported setsockopt level=-?\d{1,10} optname=-?\d{1,10}\n")
_GETSOCKOPT = re.compile(rb"getsockopt level=-?\d{1,10} optname=-?\d{1,10} not yet supported\n")
_READING = re.compile(rb"\{tv_sec = -?\d{1,19},tv_[nu]sec = -?\d{1,10}\},?")
_SECONDS = re.compile(rb"\d{1,19}\n")
_ANNOUNCED = {"setsockopt": range(41, 50), "getsockopt": range(47, 57)}
"""Lengths of these lines for all levels and options that there are."""
_ERRORS = (
    ("socket", "EPROTONOSUPPORT"),
    ("setsockopt", "ENOPROTOOPT"),
    ("getsockopt", "EOPNOTSUPP"),
    # Of the levels IP, IPv6 and TCP, which it does not announce by a line of its own.
    ("getsockopt", "ENOPROTOOPT"),
)
"""Guest syscall, and an error by which QEMU answers it itself."""
_UNANNOUNCED = (_ERRORS[0], _ERRORS[3])
"""Those of which only the failure tells."""

SERVED = frozenset(("ioctl", "setsockopt", "getsockopt", "socket", "socketcall"))
"""Guest syscalls that QEMU may answer by itself and that can be hooked all the same, unknown ones apart."""

_READINGS = frozenset(("clock_gettime", "clock_gettime64", "gettimeofday"))
CLOCKS = _READINGS | {"time"}
"""Guest syscalls that read the clock, which only a log of calls tells of: what they read comes with a line of
its own."""

_MISSING = frozenset(
    str.split(
        "add_key afs_syscall bdflush bpf cachestat create_module epoll_pwait2 fanotify_init fanotify_mark "
        "fchmodat2 finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy init_module "
        "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit io_uring_enter io_uring_register "
        "io_uring_setup kcmp kexec_file_load kexec_load keyctl landlock_add_rule landlock_create_ruleset "
        "landlock_restrict_self lookup_dcookie mbind memfd_secret migrate_pages mount_setattr move_mount "
        "move_pages nfsservctl open_tree perf_event_open pkey_alloc pkey_free pkey_mprotect process_madvise "
        "process_mrelease ptrace query_module quotactl request_key rseq seccomp set_mempolicy sysfs _sysctl "
        "uselib userfaultfd vserver"
    )
)
"""System calls that no QEMU from 7.2 to 10.0 has; what a newer one has is seen at the host, where watched."""


_ALL = tuple(by_name(name) for name in known_names())


def log_lengths(arch: Arch, guest_names: Collection[str] = (), logs_calls: bool = True) -> frozenset[int]:
    """Return the lengths of the log pieces to be notified about.

    `arch` is that of the first program. `guest_names` are the guest syscalls that rules hook from the start:
    of those, the pieces of all architectures count, since programs of any may be executed. For others, rare
    pieces are left out (options of unusual levels, numbers with an unusual count of digits), and those that
    are as long as what every reading of the clock logs. Readings themselves count where they are hooked:
    those of the time of day, whatever clock is asked for. `logs_calls`: calls are logged, not only what QEMU
    does not support.
    """
    # All numbers of calls that are new or rare have as many digits as this one.
    lengths = {len(b"Unsupported syscall: %d\n" % (arch.syscall_nr("pidfd_open") or 434))}
    lengths |= {len(b"Unsupported ioctl: cmd=0x\n") + digits for digits in (4, 8, 16)}
    # What every reading of the clock logs, and every file that is not there.
    reading = len(b"{tv_sec = %d,tv_nsec = 123456789}" % int(time.monotonic()))
    common = {reading, _failure_length(arch, "ENOENT")}
    for name, error in _ERRORS:
        is_hooked = bool({name, "socketcall"} & set(guest_names))
        for other in _ALL if is_hooked else (arch,):
            failure = _failure_length(other, error)
            if (logs_calls and (failure not in common or failure in lengths)) or (
                is_hooked and (name, error) in _UNANNOUNCED
            ):
                lengths.add(failure)
            else:
                lengths |= _announced(other, name, is_hooked and other.errno_kind == arch.errno_kind)
    for name in guest_names:
        lengths |= {len(piece) for other in _ALL if (piece := _missing_piece(other, name))}
    return frozenset(lengths | (_readings(guest_names) if logs_calls else set()))


def _readings(guest_names: Collection[str]) -> set[int]:
    """Return the lengths of what is logged about the time of day by those of these calls that read it."""
    now = b"%d" % int(time.time())
    lengths = {len(now) + 1} if "time" in guest_names else set()
    if not _READINGS.isdisjoint(guest_names):
        lengths |= {len(b"{tv_sec = ,tv_nsec = }") + len(now) + digits for digits in range(1, 10)}
    return lengths


def _failure_length(arch: Arch, error: str) -> int:
    number = arch.errno_number(error) or 0
    return len(b"-1 errno=%d (%s)" % (number, os.strerror(arch.to_host(number)).encode()))


def _announced(arch: Arch, name: str, all_of_them: bool) -> set[int]:
    """Return the lengths of the lines that announce what QEMU answers itself of the calls `name`."""
    if all_of_them:
        return set(_ANNOUNCED.get(name, ()))
    # SOL_SOCKET is 65535 on MIPS, with options of two and four digits; IPPROTO_IP is 0.
    mips = ((0xFFFF, 0x1001), (0xFFFF, 46), (0, 46))
    options = mips if arch.errno_kind == "mips" else ((1, 46),)
    if name == "setsockopt":
        return {len(b"Unsupported setsockopt level=%d optname=%d\n" % option) for option in options}
    if name == "getsockopt":
        return {len(b"getsockopt level=%d optname=%d not yet supported\n" % option) for option in options}
    return set()


def _missing_piece(arch: Arch, name: str) -> bytes | None:
    """Return what is logged about a system call that QEMU does not have, None for one that it may have."""
    number = arch.syscall_nr(name) if name in _MISSING else None
    if name.startswith("syscall_") and name[8:].isdigit():
        number = int(name[8:])
    return None if number is None else b"Unsupported syscall: %d\n" % number


def may_be_told(name: str, logs_calls: bool = True) -> bool:
    """Return whether a log may tell of the guest syscall `name`, on any architecture.

    `logs_calls`: it is a log of calls, not only of what QEMU does not support.
    """
    if name in CLOCKS:
        return logs_calls
    return name in SERVED or any(_missing_piece(arch, name) for arch in _ALL)


def is_told(first: Arch, name: str, guest_names: Collection[str], running: Iterable[Arch]) -> bool:
    """Return whether the log tells of the guest syscall `name` in programs of all architectures `running`.

    The guest began with a program of `first`, and `guest_names` were hooked then.
    """
    lengths = log_lengths(first, guest_names)
    if name in CLOCKS:
        return _readings((name,)) <= lengths
    pieces = [piece for arch in running if (piece := _missing_piece(arch, name))]
    return name in SERVED or (bool(pieces) and all(len(piece) in lengths for piece in pieces))


class Served(msgspec.Struct, frozen=True):
    """What a piece of the log says: which calls it can be about."""

    names: frozenset[str]
    number: int | None = None
    """The guest syscall, where the piece names it."""


def read_piece(arch: Arch, piece: bytes) -> Served | None:
    """Return what a piece of the log says about a call that QEMU answers, None for any other piece.

    A failure may just as well be that of a call which has been executed.
    """
    if found := _FAILURE.fullmatch(piece):
        error = arch.errno_name(int(found[1]))
        names = [name for name, other in _ERRORS if other == error]
        return Served(frozenset((*names, "socketcall"))) if names else None
    if _READING.fullmatch(piece):
        return Served(_READINGS)
    if _SECONDS.fullmatch(piece):
        return Served(frozenset(("time",)))
    if found := _UNSUPPORTED.fullmatch(piece):
        return Served(frozenset(), int(found[1]))
    for shape, name in ((_IOCTL, "ioctl"), (_SETSOCKOPT, "setsockopt"), (_GETSOCKOPT, "getsockopt")):
        if shape.fullmatch(piece):
            return Served(frozenset((name, "socketcall")) if name != "ioctl" else frozenset((name,)))
    return None
