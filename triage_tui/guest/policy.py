"""What a guest may not do, whatever its rules say: host syscalls that are answered without being executed.

Name spaces already keep most of this from reaching the host. The answers are the second fence, they also hold
where a name space cannot be had, and each one is evidence in the run record.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from triage_tui.errors import TriageError
from triage_tui.guest.return_stub import MARKER_ARGUMENT, MARKER_CALL, MARKER_WHENCE
from triage_tui.guest.seccomp import Notification, Watch
from triage_tui.text import safe_line


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call is answered: `result` is 0 or a negative host errno, `why` one clause for the record.

    `why` is empty where the file or argument itself is the reason.
    """

    result: int
    why: str


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
        "kernel interface that firmware does not need",
    ),
    **dict.fromkeys(("quotactl", "acct"), "system accounting"),
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

_PR_REFUSED = {22: "a filter of its own", 4: "dumpable flag"}
"""prctl options: PR_SET_SECCOMP, and PR_SET_DUMPABLE, which would hide the guest from its supervisor."""


@dataclass(frozen=True, slots=True)
class ContainmentPolicy:
    """Which of the refusals are lifted. `allow` holds host syscall names and SIOC names."""

    allow: frozenset[str] = frozenset()

    @classmethod
    def allowing(cls, names: Iterable[str]) -> ContainmentPolicy:
        """Return the policy that lifts the refusals `names`.

        Raises:
            TriageError: there is no such refusal; a name with a mistake in it must not pass for a decision.
        """
        chosen = frozenset(names)
        known = frozenset((*_REFUSED, *_ABSENT, *_SIOC_SET.values()))
        for name in sorted(chosen - known):
            names_known = ", ".join(sorted(known))
            raise TriageError(f"{safe_line(name, 60)} is no call that containment refuses: {names_known}")
        return cls(chosen)

    def watches(self) -> list[Watch]:
        """Return the host syscalls that have to be seen for this policy."""
        names = [name for name in (*_REFUSED, *_ABSENT) if name not in self.allow]
        conditions = [Watch("prctl", 0, option) for option in _PR_REFUSED]
        return [*(Watch(name) for name in names), *conditions, Watch("ioctl")]

    def judge(
        self, name: str, notification: Notification, is_inside: Callable[[int], bool]
    ) -> Refusal | None:
        """Return how the host call `name` is answered, or None if it may be executed.

        `is_inside` tells whether a process id, as the guest sees it, belongs to the guest.
        """
        if name in self.allow:
            return None
        if name in _REFUSED:
            return Refusal(-errno.EPERM, f"refused by containment: {_REFUSED[name]}")
        if name in _ABSENT:
            return Refusal(-errno.ENOSYS, f"refused by containment: {_ABSENT[name]}")
        if name == "ioctl":
            request = _SIOC_SET.get(notification.args[1] & 0xFFFFFFFF)
            if request is not None and request not in self.allow:
                return Refusal(-errno.EPERM, f"refused by containment: network configuration ({request})")
        elif name == "prctl":
            option = notification.args[0] & 0xFFFFFFFF
            if option == 4:
                return Refusal(0, "answered by containment: dumpable flag")
            if option in _PR_REFUSED:
                return Refusal(-errno.EINVAL, f"refused by containment: {_PR_REFUSED[option]}")
        elif name in ("kill", "tkill", "tgkill"):
            target = notification.args[0] & 0xFFFFFFFF
            target -= (target & 0x80000000) << 1
            if not is_inside(target):
                return Refusal(-errno.EPERM, f"refused by containment: signal to process {target} outside")
        return None


HOOKABLE = (
    "open openat openat2 creat stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat "
    "connect bind listen socket setsockopt getsockopt mkdir mkdirat mknod mknodat unlink unlinkat rename "
    "renameat renameat2 rmdir symlink symlinkat link linkat chmod fchmodat chown lchown fchownat execve "
    "execveat chdir chroot setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid "
    "capset getuid geteuid getgid getegid getgroups getresuid getresgid fchown tgkill tkill clock_nanosleep "
    "nanosleep pselect6 ppoll sysinfo uname"
)
"""Host syscalls that are always notified: what rules usually hook, rare enough to cost little."""

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
    "accept": "accept4", "mmap2": "mmap", "clock_gettime64": "clock_gettime", "statfs64": "statfs",
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


@cache
def host_names(guest: str) -> frozenset[str]:
    """Return the host syscalls through which the guest syscall `guest` may be seen."""
    names = {guest, _HOST_NAMES.get(guest, guest)}
    if guest == "socketcall":
        names |= _SOCKET_CALLS
    if "openat" in names:
        names.add("open")
    if "newfstatat" in names:
        names |= {"stat", "lstat", "statx"}
    if "faccessat2" in names:
        names |= {"access", "faccessat"}
    return frozenset(names)


_CLOSERS = {"close": 0, "dup2": 1, "dup3": 1}
_ALWAYS = "exit exit_group set_robust_list clone clone3 fork vfork kill"


def watches(
    containment: ContainmentPolicy, guest_names: Iterable[str], first_protected_fd: int
) -> list[Watch]:
    """Return all host syscalls to be notified about, each once.

    `guest_names` are the guest syscalls that rules hook; from `first_protected_fd` on descriptors are the
    emulator's own, which the guest must not close or replace.
    """
    names = dict.fromkeys([*HOOKABLE.split(), *_ALWAYS.split()])
    for guest in guest_names:
        names |= dict.fromkeys(sorted(host_names(guest)))
    result = [Watch(name) for name in names]
    closers = [Watch(name, index, first_protected_fd, True) for name, index in _CLOSERS.items()]
    result += [watch for watch in closers if watch.name not in names]
    result += [watch for watch in containment.watches() if watch.name not in names]
    if "close_range" not in names:
        result.append(Watch("close_range"))
    if MARKER_CALL not in names:
        result.append(Watch(MARKER_CALL, MARKER_ARGUMENT, MARKER_WHENCE))
    return result
