"""What a guest may not do, whatever its rules say: host syscalls that are answered without being executed.

Name spaces already keep most of this from reaching the host. The answers are the second fence, they also hold
where a name space cannot be had, and each one is evidence in the run record.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from functools import cache

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.cell import child_stops, own_descriptors, pidfds
from triage_tui.guest.emulator.return_stub import MARKER_ARGUMENT, MARKER_CALL, MARKER_WHENCE
from triage_tui.guest.host.seccomp import Notification, Watch
from triage_tui.runs.model import Syscall
from triage_tui.text import safe_line


class Refusal(msgspec.Struct, frozen=True):
    """How a call is answered: `result` is 0 or a negative host errno, `why` one clause for the record.

    `why` is empty where the file or argument itself is the reason.
    """

    result: int
    why: str


EXECUTIONS = frozenset(("execve", "execveat"))
"""Host syscalls that execute a program."""
FORKS = frozenset(("clone", "fork", "vfork"))
"""Host syscalls that make a process or a thread."""

_UNUSUAL = "kernel interface that firmware does not need"
_MOUNTING = "mount umount2 pivot_root open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr"
_REFUSED = {
    **dict.fromkeys(_MOUNTING.split(), "changing mounts"),
    **dict.fromkeys(("sethostname", "setdomainname"), "renaming the host"),
    **dict.fromkeys(("settimeofday", "clock_settime", "adjtimex", "clock_adjtime"), "setting the clock"),
    **dict.fromkeys(("swapon", "swapoff"), "swap space"),
    **dict.fromkeys(
        ("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"), "kernel modules"
    ),
    **dict.fromkeys(("iopl", "ioperm"), "raw hardware access"),
    **dict.fromkeys(
        ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"), "access to other processes"
    ),
    **dict.fromkeys(("unshare", "setns"), "name spaces"),
    **dict.fromkeys(
        ("bpf", "userfaultfd", "perf_event_open", "add_key", "request_key", "keyctl", "open_by_handle_at"),
        _UNUSUAL,
    ),
    **dict.fromkeys(("quotactl", "acct"), "system accounting"),
    **dict.fromkeys(("fanotify_init", "name_to_handle_at", "quotactl_fd", "memfd_secret"), _UNUSUAL),
    "syslog": "the host's kernel log",
    "vhangup": "the host's terminals",
    "reboot": "restarting the machine",
}
# ENOSYS, as on a kernel without it: programs fall back to what can be watched.
_ABSENT = {"io_uring_setup": "io_uring passes by system call interception", "seccomp": "a filter of its own"}

_SIOC_SET = {
    0x890B: "SIOCADDRT", 0x890C: "SIOCDELRT", 0x8914: "SIOCSIFFLAGS", 0x8916: "SIOCSIFADDR",
    0x8918: "SIOCSIFDSTADDR", 0x891A: "SIOCSIFBRDADDR", 0x891C: "SIOCSIFNETMASK", 0x891E: "SIOCSIFMETRIC",
    0x8920: "SIOCSIFMEM", 0x8922: "SIOCSIFMTU", 0x8923: "SIOCSIFNAME", 0x8924: "SIOCSIFHWADDR",
    0x8926: "SIOCSIFENCAP", 0x8930: "SIOCSIFSLAVE", 0x8934: "SIOCSIFPFLAGS", 0x8936: "SIOCDIFADDR",
    0x8937: "SIOCSIFHWBROADCAST", 0x8943: "SIOCSIFTXQLEN", 0x8953: "SIOCDARP", 0x8955: "SIOCSARP",
    0x8971: "SIOCSIFMAP", 0x8980: "SIOCADDDLCI", 0x89A0: "SIOCBRADDBR", 0x89A1: "SIOCBRDELBR",
    0x89A2: "SIOCBRADDIF", 0x89A3: "SIOCBRDELIF", 0x8B00: "SIOCSIWCOMMIT",
}  # fmt: skip
"""Requests of netdevice(7), route(8) and bridges that change the network configuration."""

_TERMINAL = {0x5412: "TIOCSTI", 0x541C: "TIOCLINUX", 0x541D: "TIOCCONS", 0x540E: "TIOCSCTTY"}
"""Requests of ioctl_tty(2) that reach the terminal itself, not what is written to it."""

_RARE = "which no firmware needs"
_FAMILIES = {
    38: "AF_ALG, the kernel's ciphers",
    40: "AF_VSOCK, the host of a virtual machine",
    42: "AF_QIPCRTR, the machine's modem",
    44: f"AF_XDP, {_RARE}",
    **{
        number: f"AF_{name}, {_RARE}"
        for number, name in (
            (3, "AX25"), (6, "NETROM"), (9, "X25"), (11, "ROSE"), (12, "DECnet"), (19, "ECONET"), (21, "RDS"),
            (27, "IB"), (30, "TIPC"), (32, "IUCV"), (33, "RXRPC"), (37, "CAIF"), (41, "KCM"), (43, "SMC"),
            (45, "MCTP"),
        )
    },
}  # fmt: skip
"""Address families of socket(2) that no network name space holds, or that are mere surface of the kernel: it
loads a module for each that is asked for. The answer is that of a kernel without them. What programs of
devices use stays open: AF_PACKET, AF_KEY, AF_PPPOX, AF_ATMPVC, AF_CAN, AF_BLUETOOTH and their like."""

_JUDGED = str.split("socket personality mknod mknodat rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal")
"""Host syscalls of which `ContainmentPolicy.judge` has to see every one; kill is watched anyway."""
_SIGNAL_TO_FIRST = "a signal to the cell's own first process"
_PERSONALITY_QUERY = 0xFFFFFFFF
_SIGNAL_ARGUMENT = {"kill": 1, "tkill": 1, "tgkill": 2, "rt_sigqueueinfo": 1, "rt_tgsigqueueinfo": 2}
"""Host syscall -> index of the signal; the process or thread comes first."""
_DEVICE_KINDS = (0o020000, 0o060000)

NEVER_NEEDED = (
    "uselib modify_ldt _sysctl create_module query_module nfsservctl lookup_dcookie migrate_pages move_pages "
    "fanotify_mark kcmp io_uring_enter io_uring_register process_madvise process_mrelease map_shadow_stack "
    "statmount listmount"
)
"""Host syscalls that neither QEMU nor a guest through it makes: the filter refuses them by itself. Who makes
one is native code in the emulator's process."""

_PR_SET_DUMPABLE = 4
_PR_REFUSED = {22: "a filter of its own", _PR_SET_DUMPABLE: "dumpable flag"}
"""prctl options: PR_SET_SECCOMP, and PR_SET_DUMPABLE, which would hide the guest from its supervisor."""


class ContainmentPolicy(msgspec.Struct, frozen=True):
    """Which of the refusals are lifted. `allow` holds host syscall names and SIOC names."""

    allow: frozenset[str] = frozenset()

    @classmethod
    def allowing(cls, names: Iterable[str]) -> ContainmentPolicy:
        """Return the policy that lifts the refusals `names`.

        Raises:
            TriageError: there is no such refusal; a name with a mistake in it must not pass for a decision.
        """
        chosen = frozenset(names)
        known = frozenset((*_REFUSED, *_ABSENT, *_SIOC_SET.values(), *_TERMINAL.values(), *_JUDGED))
        for name in sorted(chosen - known):
            names_known = ", ".join(sorted(known))
            raise TriageError(f"{safe_line(name, 60)} is no call that containment refuses: {names_known}")
        return cls(chosen)

    def watches(self) -> list[Watch]:
        """Return the host syscalls that have to be seen for this policy."""
        names = [name for name in (*_REFUSED, *_ABSENT) if name not in self.allow]
        conditions = [Watch("prctl", 0, option) for option in _PR_REFUSED]
        more = [Watch(name) for name in ("ioctl", *_JUDGED) if name not in self.allow]
        return [*(Watch(name) for name in names), *conditions, *more]

    def never_executed(self) -> frozenset[str]:
        """Return the host syscalls that are never executed as they stand, whatever their arguments are.

        Those that execute a program are among them: what they ask for runs under an emulator, or not at all.
        """
        return frozenset((*EXECUTIONS, *_REFUSED, *_ABSENT)) - self.allow

    def judge(self, name: str, notification: Notification) -> Refusal | None:
        """Return how the host call `name` is answered, or None if it may be executed.

        Raises:
            OSError: what it is about cannot be told.
        """
        if name in self.allow:
            return None
        if name in _REFUSED:
            return Refusal(-errno.EPERM, f"refused by containment: {_REFUSED[name]}")
        if name in _ABSENT:
            return Refusal(-errno.ENOSYS, f"refused by containment: {_ABSENT[name]}")
        if name == "pidfd_send_signal" and notification.args[1] & 0xFFFFFFFF:
            # Signal 0 only asks whether the process exists. Whatever the number stands for by the time that
            # the kernel looks: its first process takes no signal from within the cell.
            fd = notification.args[0] & 0xFFFFFFFF
            first = pidfds.is_of_first_process(notification.tid, fd)
            return Refusal(-errno.EPERM, f"refused by containment: {_SIGNAL_TO_FIRST}") if first else None
        why = self._by_arguments(name, [argument & 0xFFFFFFFF for argument in notification.args])
        if why is None:
            return None
        result, words = why
        return Refusal(result, f"{'refused' if result else 'answered'} by containment: {words}")

    def _by_arguments(self, name: str, low: list[int]) -> tuple[int, str] | None:
        """Return result and reason for a call that only some arguments make dangerous."""
        if name == "ioctl":
            network, terminal = _SIOC_SET.get(low[1]), _TERMINAL.get(low[1])
            if network is not None and network not in self.allow:
                return -errno.EPERM, f"network configuration ({network})"
            if terminal is not None and terminal not in self.allow:
                return -errno.EPERM, f"the host's terminal ({terminal})"
        elif name == "prctl" and low[0] in _PR_REFUSED:
            return (0 if low[0] == _PR_SET_DUMPABLE else -errno.EINVAL), _PR_REFUSED[low[0]]
        elif name == "socket" and low[0] in _FAMILIES:
            return -errno.EAFNOSUPPORT, f"sockets of {_FAMILIES[low[0]]}"
        elif name == "personality" and low[0] not in (0, _PERSONALITY_QUERY):
            return -errno.EPERM, "the personality would be the emulator's"
        elif name in ("mknod", "mknodat") and low[1 if name == "mknod" else 2] & 0o170000 in _DEVICE_KINDS:
            return -errno.EPERM, "a device node"
        elif name in _SIGNAL_ARGUMENT and low[0] == 1 and low[_SIGNAL_ARGUMENT[name]]:
            # Signal 0 only asks whether the process exists.
            return -errno.EPERM, _SIGNAL_TO_FIRST
        elif name == "prlimit64" and low[0] == 1:
            return -errno.EPERM, "limits of the cell's own first process"
        return None


_KERNEL_FILES = ("/proc/sys/", "/proc/sysrq-trigger", "/proc/irq/", "/sys/")
_DENIALS = frozenset(("EACCES", "EPERM", "EROFS"))
_FOREIGN_PROCESS = re.compile(r"/proc/\d+/")


def why_denied(record: Syscall) -> str | None:
    """Return why a failed call reached nothing outside, where name spaces or the emulator itself saw to that.

    Such a call did not come to `ContainmentPolicy.judge`, or was executed and found nothing; it is evidence
    like a refusal.
    """
    name = _HOST_NAMES.get(record.name, record.name)
    if record.errno == "ENOSYS" and record.host is None:
        reason = _REFUSED.get(name) or _ABSENT.get(name)
        return f"not executed: {reason}" if reason else None
    if name in _SIGNAL_ARGUMENT and record.errno == "ESRCH":
        return "no such process in the guest's cell: signals do not reach others"
    if name == "prlimit64" and record.errno == "EPERM" and record.note is None:
        return "refused by the cell: no limit can be raised above the host's"
    path = record.path or ""
    if path.startswith(_KERNEL_FILES) and record.errno in _DENIALS:
        return "refused by the cell: settings of the host's kernel"
    if path.startswith("/proc/") and record.errno == "EROFS":
        return "refused by the cell: /proc is read-only"
    if _FOREIGN_PROCESS.match(path) and record.errno in (*_DENIALS, "ENOENT"):
        return "no process of the guest: the cell shows no others"
    return None


def why_no_child(record: Syscall, processes: int) -> str | None:
    """Return what may have kept a call from making a process or a thread: this run has at most `processes`.

    EAGAIN of fork(2) is a limit: this one, or, rarely, one that is set for all of this run from outside.
    """
    if record.errno != "EAGAIN" or record.intercepted:
        return None
    if _HOST_NAMES.get(record.name, record.name) != "clone":
        return None
    return f"the limit of {processes} processes and threads of this run (--max-processes)"


HOOKABLE = (
    "creat openat2 connect bind getsockname listen socket setsockopt getsockopt mkdir mkdirat mknod "
    "mknodat unlink unlinkat rename renameat renameat2 rmdir symlink symlinkat link linkat chmod "
    "fchmodat chown lchown fchownat execve execveat chdir chroot setuid setgid setreuid setregid "
    "setresuid setresgid setgroups setfsuid setfsgid capset getuid geteuid getgid getegid getgroups "
    "getresuid getresgid fchown tgkill tkill clock_nanosleep nanosleep sysinfo uname prlimit64 setrlimit "
    "sync_file_range"
)
"""Host syscalls that are always notified: what rules usually hook, rare enough to cost little.

The stat, access and readlink families and the waits for descriptors are left out: programs make them by the
thousand. A rule hooks them from the start of a run on. `open` and `openat` are notified but for directories,
see `OPENS`.
"""

OPENS = {"open": 1, "openat": 2}
"""Host syscalls that open a file -> index of their flags. Who lists directories opens them by the thousand:
with O_DIRECTORY they are notified only when a rule hooks them from the start on."""

_TEMPORARY_FILE = 0o20000000
"""__O_TMPFILE of asm-generic/fcntl.h, the highest of the flags; O_TMPFILE has O_DIRECTORY as well."""

# Guest names whose host call has another name (linux-user/syscall.c); everything else keeps its name.
_HOST_NAMES = {
    "open": "openat", "creat": "openat", "stat": "newfstatat", "lstat": "newfstatat", "stat64": "newfstatat",
    "lstat64": "newfstatat", "fstatat64": "newfstatat", "fstat64": "fstat", "oldstat": "newfstatat",
    "access": "faccessat2", "faccessat": "faccessat2", "poll": "ppoll", "ppoll_time64": "ppoll",
    "select": "pselect6", "_newselect": "pselect6", "pselect6_time64": "pselect6", "send": "sendto",
    "recv": "recvfrom", "nanosleep": "clock_nanosleep", "clock_nanosleep_time64": "clock_nanosleep",
    "pipe": "pipe2", "fork": "clone", "vfork": "clone", "getuid32": "getuid", "geteuid32": "geteuid",
    "getgid32": "getgid", "getegid32": "getegid", "setuid32": "setuid", "setgid32": "setgid",
    "setreuid32": "setreuid", "setregid32": "setregid", "setresuid32": "setresuid",
    "setresgid32": "setresgid", "setgroups32": "setgroups", "getgroups32": "getgroups",
    "setfsuid32": "setfsuid", "setfsgid32": "setfsgid", "chown32": "chown", "lchown32": "lchown",
    "fchown32": "fchown", "fcntl64": "fcntl", "_llseek": "lseek", "dup2": "dup3", "epoll_wait": "epoll_pwait",
    "pread64": "pread64", "umount": "umount2", "waitpid": "wait4", "futex_time64": "futex",
    "accept": "accept4", "settimeofday": "clock_settime", "stime": "clock_settime",
    "clock_settime64": "clock_settime", "adjtimex": "clock_adjtime", "clock_adjtime64": "clock_adjtime",
    "mmap2": "mmap", "clock_gettime64": "clock_gettime", "statfs64": "statfs",
    "sync_file_range2": "sync_file_range", "arm_sync_file_range": "sync_file_range",
    "setrlimit": "prlimit64", "getrlimit": "prlimit64", "ugetrlimit": "prlimit64",
    "fstatfs64": "fstatfs", "truncate64": "truncate", "ftruncate64": "ftruncate", "sendfile64": "sendfile",
    "sigpending": "rt_sigpending", "sigsuspend": "rt_sigsuspend", "pause": "rt_sigsuspend",
    "sigaction": "rt_sigaction", "signal": "rt_sigaction", "nice": "setpriority", "utime": "utimensat",
    "utimes": "utimensat", "futimesat": "utimensat", "utimensat_time64": "utimensat",
    "fadvise64_64": "fadvise64", "arm_fadvise64_64": "fadvise64", "getresuid32": "getresuid",
    "getresgid32": "getresgid", "rt_sigtimedwait_time64": "rt_sigtimedwait",
    "timer_gettime64": "timer_gettime", "timer_settime64": "timer_settime", "timerfd": "timerfd_create",
    "timerfd_gettime64": "timerfd_gettime", "timerfd_settime64": "timerfd_settime",
    "semtimedop_time64": "semtimedop", "mq_timedsend_time64": "mq_timedsend",
    "mq_timedreceive_time64": "mq_timedreceive", "recvmmsg_time64": "recvmmsg",
    "sched_rr_get_interval_time64": "sched_rr_get_interval", "munmap": "mmap",
}  # fmt: skip


_SOCKET_CALLS = frozenset(
    (
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "accept4",
        "sendto",
        "recvfrom",
        "setsockopt",
        "getsockopt",
    )
) | {"sendmsg", "recvmsg"}
"""Host calls that socketcall(2) is taken apart into."""


_MESSAGE_CALLS = frozenset(
    ("semop", "semtimedop", "semget", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl")
) | {"shmat", "shmdt", "shmget", "shmctl"}
"""Host calls that ipc(2) is taken apart into."""


@cache
def host_names(guest: str) -> frozenset[str]:
    """Return the host syscalls through which the guest syscall `guest` may be seen."""
    names = {guest, _HOST_NAMES.get(guest, guest)}
    if guest == "socketcall":
        names |= _SOCKET_CALLS
    if guest == "ipc":
        names |= _MESSAGE_CALLS
    if "openat" in names:
        names.add("open")
    if "newfstatat" in names:
        names |= {"stat", "lstat", "statx"}
    if "faccessat2" in names:
        names |= {"access", "faccessat"}
    if guest == "exit":
        # That of the last thread.
        names.add("exit_group")
    return frozenset(names)


_ALWAYS = "exit exit_group set_robust_list clone fork vfork kill"


def watches(
    containment: ContainmentPolicy, guest_names: Iterable[str], first_protected_fd: int
) -> list[Watch]:
    """Return all host syscalls to be notified about, each once.

    `guest_names` are the guest syscalls that rules hook; from `first_protected_fd` on descriptors are the
    emulator's own, which the guest must not close, replace or use.
    """
    names = dict.fromkeys([*HOOKABLE.split(), *_ALWAYS.split()])
    for guest in guest_names:
        names |= dict.fromkeys(sorted(host_names(guest)))
    result = [Watch(name) for name in names]
    opens = [Watch(name, index, os.O_DIRECTORY, without=True) for name, index in OPENS.items()]
    opens += [Watch(name, index, _TEMPORARY_FILE, at_least=True) for name, index in OPENS.items()]
    opens += [Watch("sendto", 5, 1, at_least=True)]
    result += [watch for watch in opens if watch.name not in names]
    closers = [
        Watch(name, index, first_protected_fd, True) for name, index in own_descriptors.CLOSERS.items()
    ]
    result += [watch for watch in closers if watch.name not in names]
    result += [watch for watch in containment.watches() if watch.name not in names]
    if child_stops.CALL not in names:
        result.append(child_stops.WATCH)
    if "close_range" not in names:
        result.append(Watch("close_range"))
    if MARKER_CALL not in names:
        result.append(Watch(MARKER_CALL, MARKER_ARGUMENT, MARKER_WHENCE))
    always = {watch.name for watch in result if watch.arg is None}
    return result + [
        watch for watch in own_descriptors.watches(first_protected_fd) if watch.name not in always
    ]
