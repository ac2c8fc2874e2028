"""Say in words what the emulator's log shows of a call's arguments as numbers.

QEMU 7.2 (linux-user/strace.c) prints many arguments raw, in calls without a format of their own all six
that there can be, 64-bit pointers in part as 32 bits, and address families as the bytes lie in memory.

Sources of the numbers: include/uapi of Linux: linux/prctl.h, linux/eventpoll.h, linux/time.h,
asm-generic/fcntl.h and the same of arm, arm64, mips, powerpc; of the numbers of arguments: section 2 of
man-pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from triage_tui.guest.arch import Arch, by_name
from triage_tui.guest.log.argument_layouts import LAID_OUT, whole_arguments
from triage_tui.guest.log.argument_values import NAMED, name_values
from triage_tui.guest.log.whole_addresses import WholeAddresses
from triage_tui.runs.model import Syscall
from triage_tui.runs.socket_options import option_names


def _parse(text: str) -> dict[int, str]:
    pairs = (word.split("=") for word in text.split())
    return {int(number, 0): name for name, number in pairs}


_ARITY: dict[str, int] = {
    name: count
    for count, names in (
        (0, "getpid gettid getppid getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32 fork "
            "vfork pause sync setsid getpgrp sched_yield inotify_init munlockall vhangup restart_syscall "
            "rt_sigreturn sigreturn"),
        (1, "set_tid_address epoll_create1 epoll_create inotify_init1 close dup pipe unshare set_thread_area "
            "syncfs fsync fdatasync fchdir exit exit_group getpgid getsid eventfd umask mlockall sysinfo "
            "timer_getoverrun timer_delete set_tls sched_getscheduler"),
        (2, "pipe2 eventfd2 shutdown listen set_robust_list timerfd_create timerfd_gettime "
            "timerfd_gettime64 flock munlock mlock inotify_rm_watch setns dup2 kill tkill memfd_create "
            "setpgid "
            "sched_getparam sched_setparam getgroups setgroups getrusage timer_gettime capget "
            "getrlimit ugetrlimit setrlimit capset "
            "clock_getres clock_getres_time64 sigaltstack getpriority membarrier"),
        (3, "dup3 connect bind accept getsockname getpeername socket get_robust_list getcpu tgkill mlock2 "
            "setresuid setresgid getresuid getresgid setresuid32 setresgid32 getresuid32 getresgid32 madvise "
            "sched_setaffinity sched_getaffinity sched_setscheduler getrandom seccomp inotify_add_watch poll "
            "timer_create getdents getdents64 msync close_range setpriority mincore cacheflush reboot"),
        (4, "accept4 epoll_ctl epoll_wait socketpair signalfd4 timerfd_settime timerfd_settime64 prlimit64 "
            "send recv tee timer_settime rseq rt_sigaction rt_sigprocmask wait4 sendmmsg"),
        (5, "setsockopt getsockopt prctl ppoll ppoll_time64 recvmmsg waitid mount"),
        (6, "epoll_pwait sendto recvfrom splice pselect6 pselect6_time64"),
    )
    for name in names.split()
}  # fmt: skip
"""Name of a call -> how many arguments it has."""
_POINTERS: dict[str, tuple[int, ...]] = {
    "set_tid_address": (0,), "set_robust_list": (0,), "getrlimit": (1,), "ugetrlimit": (1,),
    "setrlimit": (1,), "rseq": (0,), "setsockopt": (3,), "getsockopt": (3, 4),
    "epoll_ctl": (3,), "epoll_wait": (1,), "epoll_pwait": (1,), "pipe2": (0,), "socketpair": (3,),
    "accept": (1, 2), "accept4": (1, 2), "connect": (1,), "bind": (1,), "getsockname": (1, 2),
    "getpeername": (1, 2), "signalfd4": (1,), "timerfd_settime": (2, 3), "timerfd_gettime": (1,),
    "prlimit64": (2, 3), "getrandom": (0,), "send": (1,), "recv": (1,), "inotify_add_watch": (1,),
    "sched_getaffinity": (2,), "sched_setaffinity": (2,), "poll": (0,), "ppoll": (0, 2, 3), "wait4": (1, 3),
    "pselect6": (1, 2, 3, 4, 5), "pselect6_time64": (1, 2, 3, 4, 5),
}  # fmt: skip
"""Name of a call -> indices of arguments that are addresses, of calls that QEMU prints in decimal."""
_ADDRESS = {"connect": 1, "bind": 1, "sendto": 4}
"""Call -> index of the argument that is the peer's address."""
_FAMILY = re.compile(r"sa_family=(\d{1,5})\b")
_FAMILIES = _parse(
    "AF_UNSPEC=0 AF_UNIX=1 AF_INET=2 AF_AX25=3 AF_INET6=10 AF_NETLINK=16 AF_PACKET=17 AF_PPPOX=24 AF_CAN=29 "
    "AF_TIPC=30 AF_BLUETOOTH=31 AF_ALG=38 AF_VSOCK=40"
)
_SOCKADDR_CALLS = frozenset(
    ("connect", "bind", "sendto", "accept", "accept4", "recvfrom", "getsockname", "getpeername")
)

_EPOLL_OPERATION = _parse("EPOLL_CTL_ADD=1 EPOLL_CTL_DEL=2 EPOLL_CTL_MOD=3")
_SHUTDOWN = _parse("SHUT_RD=0 SHUT_WR=1 SHUT_RDWR=2")
_CLOCK = _parse(
    "CLOCK_REALTIME=0 CLOCK_MONOTONIC=1 CLOCK_BOOTTIME=7 CLOCK_REALTIME_ALARM=8 CLOCK_BOOTTIME_ALARM=9"
)
_DOMAIN = {number: name.replace("AF_", "PF_") for number, name in _FAMILIES.items()}
_PRCTL = _parse(
    "PR_SET_PDEATHSIG=1 PR_GET_PDEATHSIG=2 PR_GET_DUMPABLE=3 PR_SET_DUMPABLE=4 PR_GET_UNALIGN=5 "
    "PR_SET_UNALIGN=6 PR_GET_KEEPCAPS=7 PR_SET_KEEPCAPS=8 PR_GET_FPEMU=9 PR_SET_FPEMU=10 PR_GET_FPEXC=11 "
    "PR_SET_FPEXC=12 PR_GET_TIMING=13 PR_SET_TIMING=14 PR_SET_NAME=15 PR_GET_NAME=16 PR_GET_ENDIAN=19 "
    "PR_SET_ENDIAN=20 PR_GET_SECCOMP=21 PR_SET_SECCOMP=22 PR_CAPBSET_READ=23 PR_CAPBSET_DROP=24 "
    "PR_GET_TSC=25 PR_SET_TSC=26 PR_GET_SECUREBITS=27 PR_SET_SECUREBITS=28 PR_SET_TIMERSLACK=29 "
    "PR_GET_TIMERSLACK=30 "
    "PR_MCE_KILL=33 PR_MCE_KILL_GET=34 PR_SET_MM=35 PR_SET_CHILD_SUBREAPER=36 PR_GET_CHILD_SUBREAPER=37 "
    "PR_SET_NO_NEW_PRIVS=38 PR_GET_NO_NEW_PRIVS=39 PR_GET_TID_ADDRESS=40 PR_SET_THP_DISABLE=41 "
    "PR_GET_THP_DISABLE=42 PR_SET_FP_MODE=45 PR_GET_FP_MODE=46 PR_CAP_AMBIENT=47 PR_SVE_SET_VL=50 "
    "PR_SVE_GET_VL=51 PR_GET_SPECULATION_CTRL=52 PR_SET_SPECULATION_CTRL=53 PR_PAC_RESET_KEYS=54 "
    "PR_SET_TAGGED_ADDR_CTRL=55 PR_GET_TAGGED_ADDR_CTRL=56 PR_SET_SYSCALL_USER_DISPATCH=59 PR_SCHED_CORE=62 "
    "PR_SET_VMA=0x53564d41 PR_SET_PTRACER=0x59616d61"
)
_PRCTL_ARITY = {
    "PR_SET_PDEATHSIG": 2, "PR_GET_PDEATHSIG": 2, "PR_GET_DUMPABLE": 1, "PR_SET_DUMPABLE": 2,
    "PR_GET_KEEPCAPS": 1, "PR_SET_KEEPCAPS": 2, "PR_SET_NAME": 2, "PR_GET_NAME": 2, "PR_GET_SECCOMP": 1,
    "PR_SET_SECCOMP": 3, "PR_CAPBSET_READ": 2, "PR_CAPBSET_DROP": 2, "PR_SET_TIMERSLACK": 2,
    "PR_GET_TIMERSLACK": 1, "PR_SET_CHILD_SUBREAPER": 2, "PR_GET_CHILD_SUBREAPER": 2,
}  # fmt: skip
"""Option of prctl(2) -> arguments that count, where the kernel does not look at the others."""
_VALUES: dict[str, tuple[tuple[int, dict[int, str]], ...]] = {
    "epoll_ctl": ((1, _EPOLL_OPERATION),),
    "shutdown": ((1, _SHUTDOWN),),
    "prctl": ((0, _PRCTL),),
    "timerfd_create": ((0, _CLOCK),),
    "socket": ((0, _DOMAIN),),
    "socketpair": ((0, _DOMAIN),),
}
"""Call -> indices of arguments that are one of several values, with the values' names."""
_FLAGS = {
    "pipe2": (1, "O"),
    "dup3": (2, "O"),
    "eventfd2": (1, "EFD"),
    "accept4": (3, "SOCK"),
    "epoll_create1": (0, "EPOLL"),
    "inotify_init1": (0, "IN"),
    "timerfd_create": (1, "TFD"),
    "signalfd4": (3, "SFD"),
}
"""Call -> index of its flags, and what the flags' names begin with."""
_CLOEXEC = 0o2000000
_SOCKET_KINDS = _parse("SOCK_STREAM=1 SOCK_DGRAM=2 SOCK_RAW=3 SOCK_RDM=4 SOCK_SEQPACKET=5 SOCK_PACKET=10")
_SOCKET_KINDS_MIPS = _SOCKET_KINDS | _parse("SOCK_DGRAM=1 SOCK_STREAM=2")
_OPENS = {"open": 1, "openat": 2}
"""Call that opens a file -> index of its flags."""
_TEMPORARY = "__O_TMPFILE"
_DECODED = frozenset((*_ARITY, *_OPENS, *_VALUES, *_FLAGS, *_ADDRESS, *_SOCKADDR_CALLS, *LAID_OUT, *NAMED))


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def _nonblock(arch: Arch) -> int:
    return 0x80 if arch.name.startswith("mips") else 0o4000


def _direct(arch: Arch) -> int:
    if arch.name.startswith("mips"):
        return 0o100000
    if arch.name.startswith("ppc"):
        return 0o400000
    return 0o200000 if arch.name.startswith(("arm", "aarch64")) else 0o40000


def _join_flags(value: int, known: Iterable[tuple[int, str]]) -> str:
    """Return the flags' names with bars between them, what is left as a number."""
    names = []
    for bit, name in known:
        if value & bit:
            names.append(name)
            value &= ~bit
    if value or not names:
        names.append(hex(value) if value else "0")
    return "|".join(names)


def _flag_names(arch: Arch, prefix: str, value: int) -> str:
    known = [(_CLOEXEC, f"{prefix}_CLOEXEC")]
    if prefix != "EPOLL":
        known.append((_nonblock(arch), f"{prefix}_NONBLOCK"))
    if prefix == "EFD":
        known.append((1, "EFD_SEMAPHORE"))
    elif prefix == "O":
        known.append((_direct(arch), "O_DIRECT"))
    return _join_flags(value, known)


def _socket_kind(arch: Arch, value: int) -> str:
    kinds = _SOCKET_KINDS_MIPS if arch.name.startswith("mips") else _SOCKET_KINDS
    kind = kinds.get(value & 0xF, hex(value & 0xF))
    rest = value & ~0xF
    return f"{kind}|{_flag_names(arch, 'SOCK', rest)}" if rest else kind


def _family(match: re.Match[str], arch: Arch) -> str:
    number = int(match[1])
    if arch.endian == "big" and number & 0xFF == 0:
        number >>= 8
    return f"sa_family={_FAMILIES.get(number, number)}"


def _address(arch: Arch, text: str) -> str:
    """Return the text of an address in hexadecimal; NULL and what is no number stay as they are."""
    value = _number(text)
    return hex(value & arch.word_mask) if value else text


def _restore_pointers(arch: Arch, name: str, texts: list[str], args: Sequence[int]) -> None:
    """Write addresses in full: of 64-bit ones the log may have half, of any it may have a decimal number."""
    pointers = _POINTERS.get(name, ())
    for index, text in enumerate(texts):
        value = _number(text)
        if value is None:
            continue
        if arch.word == 8 and index < len(args) and (text.startswith("0x") or index in pointers):
            exact = args[index]
            if value >= 0 and exact >> 32 not in (0, 0xFFFFFFFF) and exact & 0xFFFFFFFF == value:
                texts[index] = hex(exact)
                continue
        if index in pointers and not text.startswith("0x"):
            texts[index] = _address(arch, text)


def decode_arguments(
    arch: Arch, name: str, texts: Sequence[str], args: Sequence[int] = (), peer: str | None = None
) -> list[str]:
    """Return better texts for the arguments of the call `name`; what is not a known number stays as it is.

    `args` are the argument registers and `peer` the decoded socket address, where they are known. The result
    does not change when it is decoded again.
    """
    out = list(texts)
    if name in _DECODED:
        if name in LAID_OUT and args and all(_number(text) is not None for text in out):
            # The registers of a held call, and what is behind them on the stack.
            out = [str(arg) for arg in args]
        if name in LAID_OUT and (whole := whole_arguments(arch, name, out)) is not None:
            out = whole
        arity = _ARITY.get(name)
        if name == "prctl" and out:
            first = _number(out[0])
            option = out[0] if first is None else _PRCTL.get(first & 0xFFFFFFFF, "")
            arity = _PRCTL_ARITY.get(option, arity)
            if option in ("PR_SET_NAME", "PR_GET_NAME") and len(out) > 1:
                out[1] = _address(arch, out[1])
        if arity is not None and all(_number(text) is not None for text in out[arity:]):
            del out[arity:]
        if name in ("setsockopt", "getsockopt") and len(out) > 2:
            level, number = _number(out[1]), _number(out[2])
            if level is not None and number is not None:
                names = option_names(arch.name, level, number)
                out[1:3] = [names[0] or out[1], names[1] or out[2]]
        for index, values in _VALUES.get(name, ()):
            if index < len(out) and (number := _number(out[index])) is not None:
                out[index] = values.get(number & 0xFFFFFFFF, out[index])
        index, prefix = _FLAGS.get(name, (0, ""))
        if prefix and index < len(out) and (number := _number(out[index])):
            out[index] = _flag_names(arch, prefix, number & 0xFFFFFFFF)
        if name == "socketpair" and len(out) > 1 and (number := _number(out[1])) is not None:
            out[1] = _socket_kind(arch, number & 0xFFFFFFFF)
        if name in NAMED:
            name_values(arch, name, out)
        if name in _OPENS and len(out) == _OPENS[name] + 1 and _TEMPORARY in out[-1].split("|"):
            # QEMU has the mode with O_CREAT only.
            out[-1] = "|".join(flag for flag in out[-1].split("|") if flag != "O_DIRECTORY")
            out[-1] = out[-1].replace(_TEMPORARY, "O_TMPFILE")
            out += [f"{args[len(out)] & 0o7777:#05o}".replace("o", "")] if len(args) > len(out) else []
        at = _ADDRESS.get(name, -1)
        if peer and 0 <= at < len(out):
            out[at] = peer
        elif name in _SOCKADDR_CALLS:
            out = [_FAMILY.sub(lambda match: _family(match, arch), text) for text in out]
    if args or name in _POINTERS:
        _restore_pointers(arch, name, out, args)
    return out


def with_decoded_arguments(
    calls: Iterable[Syscall], arch: Arch, addresses: WholeAddresses | None = None
) -> list[Syscall]:
    """Return the calls with arguments for people to read; those given stay as they are.

    `arch` is what calls without an architecture of their own are for.
    What compares calls while the guest runs goes by the texts of the log: the same call has the same text
    there whether or not its thread was held in it.
    """
    done = []
    for call in calls:
        if call.arguments or (call.args and call.name in LAID_OUT):
            mine = by_name(call.arch) if call.arch else arch
            texts = call.arguments
            if call.args or call.name in _DECODED:
                texts = decode_arguments(mine, call.name, texts, call.args, call.peer)
            if addresses is not None and mine.word == 8 and not call.args:
                texts = list(texts)
                addresses.complete(call, texts)
            if texts != call.arguments:
                call = replace(call, arguments=texts)
        done.append(call)
    return done
