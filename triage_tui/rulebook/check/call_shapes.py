"""What a syscall can return and which memory belongs to its arguments, from the manual pages (section 2).

Both are about the guest's side: `a1` is argument 1, sizes are bytes of the guest's own structures. What is
not in the tables is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from triage_tui.runs import errnos, guest_abi

FIRST_INTERNAL, LAST_ERROR = 512, 4095
"""Errors from ERESTARTSYS (include/linux/errno.h) on are the kernel's own, but for EDQUOT of MIPS (1133)."""
LAST_COMMON = 34
"""Up to ERANGE the numbers are the same on every architecture."""

Result = Literal["zero", "descriptor", "count", "process", "always", "any"]
"""`zero`: 0 or an error; `descriptor`: a file descriptor or an error; `count`: at most what an argument
says, or an error; `process`: a process number; `always`: it cannot fail; `any`: not known."""


def _table(*rows: tuple[Result, str]) -> dict[str, Result]:
    return {name: what for what, names in rows for name in names.split()}


_RESULTS = _table(
    (
        "zero",
        "bind connect listen close access faccessat faccessat2 chdir fchdir chroot mkdir mkdirat mknod "
        "mknodat unlink unlinkat rmdir rename renameat renameat2 link linkat symlink symlinkat chmod "
        "fchmod fchmodat chown chown32 fchown fchown32 lchown lchown32 fchownat truncate ftruncate "
        "truncate64 ftruncate64 stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs "
        "statfs64 fstatfs fstatfs64 setsockopt getsockopt getsockname getpeername shutdown socketpair "
        "pipe pipe2 kill tkill tgkill setuid setuid32 setgid setgid32 setreuid setreuid32 setregid "
        "setregid32 setresuid setresuid32 setresgid setresgid32 setgroups setgroups32 setpgid mount "
        "umount umount2 pivot_root reboot sethostname setdomainname uname sysinfo setrlimit getrlimit "
        "ugetrlimit prlimit64 getrusage clock_gettime clock_gettime64 clock_settime clock_settime64 "
        "clock_getres gettimeofday settimeofday nanosleep clock_nanosleep clock_nanosleep_time64 sync "
        "fsync fdatasync flock munmap mprotect msync mlock munlock mlockall munlockall swapon swapoff "
        "init_module finit_module delete_module epoll_ctl utimensat utime utimes futimesat capset capget "
        "sched_setscheduler setpriority timer_settime timerfd_settime inotify_rm_watch",
    ),
    (
        "descriptor",
        "open openat openat2 creat socket accept accept4 dup dup2 dup3 epoll_create epoll_create1 eventfd "
        "eventfd2 signalfd signalfd4 timerfd_create inotify_init inotify_init1 memfd_create pidfd_open "
        "fanotify_init",
    ),
    (
        "count",
        "read write pread64 pwrite64 recv send recvfrom sendto getrandom readlink readlinkat getdents "
        "getdents64 getcwd readv writev preadv pwritev recvmsg sendmsg sendfile sendfile64 splice poll ppoll "
        "ppoll_time64 epoll_wait epoll_pwait select _newselect pselect6 pselect6_time64 getxattr lgetxattr "
        "fgetxattr listxattr llistxattr flistxattr",
    ),
    ("process", "fork vfork clone clone3 wait4 waitpid getpgid getsid setsid set_tid_address"),
    (
        "always",
        "getpid getppid gettid getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 umask "
        "getpgrp sched_yield setfsuid setfsuid32 setfsgid setfsgid32 alarm",
    ),
)

_LIMITS = {
    name: place
    for place, names in (
        (2, "getrandom getcwd poll ppoll ppoll_time64"),
        (3, "read write pread64 pwrite64 recv send recvfrom sendto getdents getdents64 readlink epoll_wait"),
        (3, "epoll_pwait listxattr llistxattr flistxattr"),
        (4, "readlinkat sendfile sendfile64 getxattr lgetxattr fgetxattr"),
        (5, "splice"),
    )
    for name in names.split()
}
"""Which argument says how much a call can return at most."""
_SIGNED_32 = frozenset(("poll", "ppoll", "ppoll_time64", "epoll_wait", "epoll_pwait"))

NO_RESULT = frozenset(("exit", "exit_group", "sigreturn", "rt_sigreturn", "execve", "execveat"))
"""Calls that do not come back where they were made."""
NOT_AFTER = NO_RESULT | {"fork", "vfork", "clone", "clone3"}
"""Calls whose result no rule is shown, and whose arguments cannot be changed (docs/hooks.md)."""


def result_of(syscall: str) -> Result:
    """Return what kind of result a syscall has."""
    return _RESULTS.get(syscall, "any")


def limit_argument(syscall: str) -> int | None:
    """Return the number (from 1) of the argument that bounds the result, None where there is none."""
    return _LIMITS.get(syscall)


def result_problem(syscall: str, value: int, arch: str, arguments: Sequence[int] = ()) -> str | None:
    """Return what is wrong with a result that a rule gives, in words, None when nothing is.

    `arch` may be empty: then only what is wrong everywhere is told. `arguments` are those of the call as the
    rule gets them, where they are known.
    """
    kind = result_of(syscall)
    if value < 0:
        return _error_problem(syscall, -value, arch)
    if kind == "zero" and value > 0:
        wrong_sign = _name_of(value, arch)
        hint = f"; for the error {wrong_sign} it is -{value}" if wrong_sign else ""
        return f"{syscall} returns 0 or an error, never {value}{hint}"
    if kind == "descriptor" and value > 1 << 20:
        return f"{value} is no file descriptor"
    place = _LIMITS.get(syscall)
    if kind == "count" and place is not None and len(arguments) >= place:
        most = arguments[place - 1] & 0xFFFFFFFF if syscall in _SIGNED_32 else arguments[place - 1]
        if value > most >= 0:
            return f"{syscall} returns {value}, more than the {most} that its argument {place} allows"
    return None


def _error_problem(syscall: str, number: int, arch: str) -> str | None:
    if result_of(syscall) == "always":
        return f"{syscall} cannot fail, and programs do not expect the error {number}"
    if number > LAST_ERROR:
        if syscall in ("mmap", "mmap2", "brk", "mremap", "shmat", "lseek", "_llseek", "prctl", "ptrace"):
            return None
        return f"-{number} is no error: errors are -1 to -{LAST_ERROR}, so the program takes it for success"
    kinds = [guest_abi.errno_kind(arch)] if arch else ["generic", "mips", "powerpc"]
    if not any(number in errnos.names(kind) for kind in kinds):
        where = f" on {arch}" if arch else " on any architecture"
        return f"-{number} is no error{where}"
    return None


def _name_of(number: int, arch: str) -> str | None:
    return errnos.names(guest_abi.errno_kind(arch)).get(number) if number <= LAST_COMMON or arch else None


# Memory


Direction = Literal["in", "out", "both"]


class Buffer(msgspec.Struct, frozen=True):
    """Memory that an argument points to. `argument` counts from 1.

    `size` is a number of bytes; `a3`, `*a3` or `a2*8` where an argument says it (`*` in front: what it points
    to, an int); `path` for a string with its NUL; a name of `_SIZES`; `ioctl`: the request says it.
    """

    argument: int
    direction: Direction
    size: int | str


_WORDS = {"timespec": 2, "timeval": 2, "rlimit": 2, "tms": 4, "itimerval": 4}
"""Structures of so many words."""
_SIZES = {
    "utsname": 390,
    "statx": 256,
    "rlimit64": 16,
    "timespec64": 16,
    "pollfd": 8,
    "int": 4,
    "pair": 8,
}
_BY_ARCH = {
    "stat": {
        "arm": 64, "armeb": 64, "aarch64": 128, "i386": 64, "mips": 144, "mipsel": 144, "mips64": 104,
        "mips64el": 104, "x86_64": 144, "riscv64": 128, "ppc": 88, "ppc64": 144, "ppc64le": 144, "s390x": 144,
    },
    "stat64": {"arm": 104, "armeb": 104, "i386": 96, "mips": 104, "mipsel": 104, "ppc": 104},
    "termios": {"mips": 40, "mipsel": 40, "mips64": 40, "mips64el": 40, "ppc": 44, "ppc64le": 44, "": 36},
    "epoll_event": {"x86_64": 12, "i386": 12, "": 16},
}  # fmt: skip
"""sizeof in the kernel's user headers (arch/*/include/uapi/asm); "" stands for all others."""


def _buffers(text: str) -> tuple[Buffer, ...]:
    found = []
    for word in text.split():
        place, direction, size = word.split(":")
        found.append(Buffer(int(place), direction, int(size) if size.isdigit() else size))  # type: ignore[arg-type]
    return tuple(found)


_BUFFERS = {
    name: _buffers(text)
    for names, text in (
        ("read pread64 recv getdents getdents64", "2:out:a3"),
        ("write pwrite64 send", "2:in:a3"),
        ("recvfrom", "2:out:a3 5:out:*a6 6:both:int"),
        ("sendto", "2:in:a3 5:in:a6"),
        ("connect bind", "2:in:a3"),
        ("accept accept4 getsockname getpeername", "2:out:*a3 3:both:int"),
        ("getsockopt", "4:out:*a5 5:both:int"),
        ("setsockopt", "4:in:a5"),
        ("getrandom", "1:out:a2"),
        ("getcwd", "1:out:a2"),
        ("readlink", "1:in:path 2:out:a3"),
        ("readlinkat", "2:in:path 3:out:a4"),
        ("open creat access chdir chroot mkdir mknod unlink rmdir chmod chown chown32 lchown", "1:in:path"),
        ("openat faccessat faccessat2 mkdirat mknodat unlinkat fchmodat fchownat", "2:in:path"),
        ("stat lstat", "1:in:path 2:out:stat"),
        ("stat64 lstat64", "1:in:path 2:out:stat64"),
        ("fstat", "2:out:stat"),
        ("fstat64", "2:out:stat64"),
        ("newfstatat", "2:in:path 3:out:stat"),
        ("fstatat64", "2:in:path 3:out:stat64"),
        ("statx", "2:in:path 5:out:statx"),
        ("rename link symlink", "1:in:path 2:in:path"),
        ("renameat linkat", "2:in:path 4:in:path"),
        ("symlinkat", "1:in:path 3:in:path"),
        ("uname", "1:out:utsname"),
        ("pipe pipe2", "1:out:pair"),
        ("socketpair", "4:out:pair"),
        ("poll", "1:both:a2*8"),
        ("ppoll", "1:both:a2*8 3:in:timespec 4:in:a5"),
        ("epoll_wait", "2:out:a3*epoll_event"),
        ("epoll_pwait", "2:out:a3*epoll_event 5:in:a6"),
        ("gettimeofday", "1:out:timeval 2:out:8"),
        ("clock_gettime clock_getres", "2:out:timespec"),
        ("clock_gettime64", "2:out:timespec64"),
        ("nanosleep", "1:in:timespec 2:out:timespec"),
        ("times", "1:out:tms"),
        ("getrlimit ugetrlimit", "2:out:rlimit"),
        ("setrlimit", "2:in:rlimit"),
        ("prlimit64", "3:in:rlimit64 4:out:rlimit64"),
        ("ioctl", "3:both:ioctl"),
    )
    for name in names.split()
}


def buffers_of(syscall: str) -> tuple[Buffer, ...] | None:
    """Return the memory of a syscall's arguments, None for a syscall that is not in the table."""
    return _BUFFERS.get(syscall)


def fixed_size(buffer: Buffer, arch: str) -> int | None:
    """Return the bytes of a buffer whose size no argument says, None where it is not known."""
    size = buffer.size
    if isinstance(size, int):
        return size
    if size in _SIZES:
        return _SIZES[size]
    if size in _WORDS and arch:
        return _WORDS[size] * guest_abi.word(arch)
    if size in _BY_ARCH and arch:
        table = _BY_ARCH[size]
        return table.get(arch, table.get(""))
    return None


def size_arguments(buffer: Buffer) -> set[int]:
    """Return the numbers of the arguments that say how long a buffer is."""
    size = buffer.size
    if size == "ioctl":
        return {2}
    if isinstance(size, str) and size.lstrip("*").startswith("a"):
        return {int(size.lstrip("*")[1])}
    return set()


def request_size(request: int, arch: str) -> int | None:
    """Return the bytes that an ioctl request is about, None where its number does not say it.

    Numbers made by _IOC (asm-generic/ioctl.h; arch/{mips,powerpc,alpha,sparc} have 13 bits of size) hold the
    size; 0x54.. are those of terminals and 0x89.. those of sockets (netdevice(7)).
    """
    request &= 0xFFFFFFFF
    old = request >> 16 == 0
    if old and request >> 8 == 0x89:
        if request == 0x8912:
            return 2 * guest_abi.word(arch)
        return 40 if guest_abi.word(arch) == 8 else 32
    few = arch.startswith(("mips", "ppc", "alpha", "sparc"))
    if old:
        return None if few else _TERMINAL.get(request)
    size = request >> 16 & (0x1FFF if few else 0x3FFF)
    return size or None


_TERMINAL = {
    0x5401: 36, 0x5402: 36, 0x5403: 36, 0x5404: 36, 0x540F: 4, 0x5410: 4, 0x5411: 4, 0x5413: 8, 0x5414: 8,
    0x5415: 4, 0x5416: 4, 0x5417: 4, 0x5418: 4, 0x541B: 4, 0x5421: 4,
}  # fmt: skip
"""asm-generic/ioctls.h; MIPS and PowerPC have other numbers."""


def size_at(buffer: Buffer, arguments: Sequence[int], arch: str, pointed: int | None = None) -> int | None:
    """Return the bytes of a buffer at one call, None where it is not known.

    `arguments` are the call's own; `pointed` is the number at the argument that a `*` size names.
    """
    size = buffer.size
    if size == "ioctl":
        return request_size(arguments[1], arch) if len(arguments) > 1 else None
    if not isinstance(size, str) or not size.startswith(("a", "*")):
        return fixed_size(buffer, arch)
    if size.startswith("*"):
        return pointed
    place, _, each = size[1:].partition("*")
    if len(arguments) < int(place):
        return None
    count = arguments[int(place) - 1] & ((1 << 8 * guest_abi.word(arch)) - 1)
    if not each:
        return count
    one = int(each) if each.isdigit() else fixed_size(Buffer(0, "out", each), arch)
    return None if one is None else (count & 0xFFFFFFFF) * one
