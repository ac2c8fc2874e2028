"""What a syscall is for: its operation, the object it names, its flags.

Names are the guest's own (one kernel request has several: open, openat, stat64, newfstatat...), so everything
after this module asks for operations. Text arguments are as strace(1) and QEMU's -strace print them.
"""

from __future__ import annotations

import posixpath
import re
from contextlib import suppress

from triage_tui.runs.model import DOUBT, UNLOGGED, Syscall

_GROUPS = {
    "open": "open openat openat2 open64 creat",
    "stat": "stat stat64 lstat lstat64 newfstatat fstatat fstatat64 statx oldstat oldlstat statfs statfs64",
    "access": "access faccessat faccessat2",
    "readlink": "readlink readlinkat",
    "chdir": "chdir chroot",
    "mkdir": "mkdir mkdirat",
    "mknod": "mknod mknodat",
    "unlink": "unlink unlinkat rmdir",
    "rename": "rename renameat renameat2 link linkat symlink symlinkat",
    "attribute": "chmod fchmod fchmodat chown chown32 lchown lchown32 fchown fchown32 fchownat utimensat "
    "truncate",
    "exec": "execve execveat",
    "connect": "connect",
    "bind": "bind",
    "listen": "listen",
    "accept": "accept accept4",
    "socket": "socket",
    "sockopt": "setsockopt getsockopt",
    "ioctl": "ioctl",
    "read": "read readv pread64 preadv recv recvfrom recvmsg recvmmsg",
    "write": "write writev pwrite64 pwritev",
    "send": "send sendto sendmsg sendmmsg",
    "poll": "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_wait epoll_pwait",
    "sleep": "nanosleep clock_nanosleep clock_nanosleep_time64 clock_nanosleep64",
    "child_wait": "wait4 waitpid waitid",
    "lock": "futex futex_time64 flock fcntl_lock",
    "pause": "pause sigsuspend rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64",
    "kill": "kill tkill tgkill",
    "getid": "getuid getuid32 geteuid geteuid32",
    "setid": "setuid setuid32 seteuid setgid setgid32 setgroups setgroups32 setreuid setreuid32 setregid "
    "setregid32 setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 "
    "capset initgroups",
    "limit": "setrlimit prlimit64 setpriority nice sched_setscheduler sched_setparam mlock mlock2 mlockall",
    "mount": "mount umount umount2 pivot_root",
    "clock": "settimeofday clock_settime clock_settime64 stime adjtimex clock_adjtime",
    "reboot": "reboot",
    "fork": "fork vfork clone clone3",
    "exit": "exit exit_group",
    "ipc": "shmget semget msgget shmat",
    "trace": "ptrace",
    "memory": "mmap mmap2 brk mremap",
}
REFUSED = "refused by containment"
"""How the note of a call begins that the run itself did not let happen."""

OPERATIONS: dict[str, str] = {name: group for group, names in _GROUPS.items() for name in names.split()}
"""Guest syscall name -> operation. A name that is missing is its own operation."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


HOUSEKEEPING = _names(
    "close munmap mprotect brk madvise rt_sigaction rt_sigprocmask sigaction sigprocmask sigaltstack fstat "
    "fstat64 write writev exit exit_group getpid gettid getppid clock_gettime clock_gettime64 gettimeofday "
    "time futex mmap mmap2 lseek _llseek fcntl fcntl64 getrandom sigreturn rt_sigreturn set_robust_list rseq"
)
"""Calls that say nothing about distance: cleaning up, memory, clocks, the program's own message."""

WAIT_OPERATIONS = frozenset(("poll", "accept", "read", "child_wait", "lock", "pause", "connect"))

_PATH_SECOND = _names(
    "openat openat2 newfstatat fstatat fstatat64 statx faccessat faccessat2 readlinkat mkdirat mknodat "
    "unlinkat fchmodat fchownat utimensat execveat"
)
_PATH_FIRST = _names(
    "open open64 creat stat stat64 lstat lstat64 oldstat oldlstat statfs statfs64 access readlink chdir "
    "chroot mkdir mknod unlink rmdir chmod chown chown32 lchown lchown32 truncate execve"
)
PATH_ARGUMENT: dict[str, int] = dict.fromkeys(_PATH_SECOND, 1) | dict.fromkeys(_PATH_FIRST, 0)
"""Guest syscall name -> index of its path argument."""

FILE_WATCHES = frozenset(("inotify_init", "inotify_init1", "fanotify_init"))
CHANGES_OF_FILES = "changes of files"
"""Origin of a descriptor of one of `FILE_WATCHES`."""

CREATING = frozenset(("mkdir", "mknod", "bind"))
LINKING = frozenset(("link", "linkat", "symlink", "symlinkat"))

_LETS_GO = re.compile(r"FUTEX_(?:WAKE|(?:CMP_)?REQUEUE|UNLOCK)|LOCK_UN\b")
_LIBRARY = re.compile(r"(?:\.so(?:\.\d+)*|/ld-[^/]*|/ld\.so)\Z")


def operation(call: Syscall) -> str:
    """Return what the call is for; one that lets go of a lock waits for nothing, and is its own operation."""
    name = call.name.lower()
    found = OPERATIONS.get(name, name)
    return name if found == "lock" and _LETS_GO.search(argument(call, 1)) else found


def argument(call: Syscall, index: int) -> str:
    """Return the text of argument `index`, "" when there is none."""
    return call.arguments[index] if index < len(call.arguments) else ""


def request_number(call: Syscall) -> int:
    """Return the request of an ioctl as a number of 32 bits; the log may have its name alone. 0: unknown."""
    known = number(call, 1)
    if known is None and call.request is not None:
        with suppress(ValueError):
            known = int(call.request, 0)
    return (known or 0) & 0xFFFFFFFF


def number(call: Syscall, index: int) -> int | None:
    """Return argument `index` as a number: from the raw registers, else from its text."""
    if index < len(call.args):
        value = call.args[index]
        return value - (1 << 32) if 0x80000000 <= value < 1 << 32 else value
    text = argument(call, index)
    try:
        return int(text, 0)
    except ValueError:
        return None


SELECTS = frozenset(("select", "_newselect", "pselect6", "pselect6_time64"))


def descriptor(call: Syscall) -> int | None:
    """Return the descriptor that the call works on: its first argument.

    select(2) begins with the number of descriptors: 1 means descriptor 0 alone, more does not say which.
    """
    value = number(call, 0)
    if call.name in SELECTS:
        return 0 if value == 1 else None
    return value if value is not None and 0 <= value < 1 << 20 else None


def failed(call: Syscall) -> bool:
    """Tell whether the call returned an error, and surely was made."""
    return call.errno is not None and not _is_doubtful(call)


def succeeded(call: Syscall) -> bool:
    """Tell whether the call returned without an error, and surely was made."""
    return call.errno is None and call.ret is not None and not _is_doubtful(call)


def is_under_way(call: Syscall) -> bool:
    """Tell whether the call had not returned."""
    return call.ret is None and call.errno is None and UNLOGGED not in (call.note or "")


def _is_doubtful(call: Syscall) -> bool:
    return call.note is not None and DOUBT in call.note


def resource(path: str) -> str:
    """Return what a path stands for, as far as its place in the tree says so."""
    if not path:
        return ""
    if _LIBRARY.search(path):
        return "library"
    if path.startswith(("/proc/mtd", "/dev/mtd")):
        return "mtd"
    if path.startswith(("/dev/nvram", "/proc/nvram")):
        return "nvram"
    if path.startswith(("/proc/net", "/sys/class/net", "/proc/sys/net")):
        return "procnet"
    if path == "/dev/log" or path.startswith(("/dev/shm/", "/run/", "/var/run/", "/tmp/", "/var/lock/")):
        return "runtime"
    if path.startswith("/dev/"):
        return "device"
    return "proc" if path.startswith(("/proc/", "/sys/")) else "file"


_DIRECTORIES = frozenset(
    f"/{name}"
    for name in [
        "bin",
        "boot",
        "dev",
        "dev/pts",
        "dev/shm",
        "etc",
        "home",
        "lib",
        "media",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "run/lock",
        "sbin",
        "srv",
        "sys",
        "tmp",
        "usr",
        "var",
        "var/cache",
        "var/db",
        "var/empty",
        "var/lib",
        "var/lock",
        "var/log",
        "var/mail",
        "var/run",
        "var/spool",
        "var/tmp",
    ]
)
"""Directories of the Filesystem Hierarchy Standard, and those that its parts always have."""


def is_directory_by_name(path: str) -> bool:
    """Tell whether an absolute path is that of a directory: by its end, or because it always is one."""
    return (path.endswith("/") and path != "/") or path.rstrip("/") in _DIRECTORIES


def makes_object(call: Syscall) -> bool:
    """Tell whether a call is there to make what it names, open with O_CREAT aside."""
    return operation(call) in CREATING or call.name in LINKING or call.name == "creat"


def made_by_link(call: Syscall) -> str:
    """Return the path that a link(2) or symlink(2) is to make, "" for other calls: the last that it names."""
    if call.name not in LINKING:
        return ""
    named = [text[1:-1] for text in call.arguments if len(text) > 2 and text[0] == text[-1] == '"']
    return named[-1] if len(named) > 1 else ""


def absolute(path: str, cwd: str) -> str:
    """Return `path` as seen from working directory `cwd`, without resolving links."""
    return path if path.startswith("/") or not path else posixpath.normpath(posixpath.join(cwd or "/", path))


def detail(call: Syscall) -> str:
    """Return the arguments that tell calls of this operation apart when no path does."""
    kind = operation(call)
    if kind == "socket":
        return ",".join(call.arguments[:3])
    if kind == "sockopt":
        return ",".join(call.arguments[1:3])
    if kind in ("setid", "kill", "ipc", "limit", "trace"):
        return ",".join(call.arguments[:2])
    return ""


def request(call: Syscall) -> str:
    """Return the name of an ioctl's request, or its number as text."""
    known = call.request or ""
    if operation(call) != "ioctl" or known[:1].isalpha():
        return known
    said = argument(call, 1)
    return said if said[:1].isalpha() else known or said


def flags(call: Syscall) -> str:
    """Return the flags of an open call as text, "" for others."""
    if operation(call) != "open":
        return ""
    return argument(call, PATH_ARGUMENT.get(call.name.lower(), 0) + 1)


def describe(call: Syscall) -> str:
    """Return the call in short: name, object and result, raw text."""
    path = made_by_link(call) or call.path
    parts = [f'"{path}"'] if path is not None else []
    if call.peer and call.path is None:
        parts.append(call.peer)
    if operation(call) == "ioctl":
        parts.append(request(call))
        if call.interface:
            parts.append(f'"{call.interface}"')
    if not parts:
        parts = [detail(call) or ", ".join(call.arguments[:2])]
    result = "" if call.ret is None else f" = {call.errno}" if call.errno else f" = {call.ret}"
    return f"{call.name}({', '.join(part for part in parts if part)}){result}"
