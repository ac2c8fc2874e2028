"""Names of numbers in arguments that QEMU prints raw, with what they are called on which architecture.

Sources: include/uapi of Linux: asm-generic/resource.h and its mips variant, linux/wait.h,
asm-generic/fcntl.h, linux/fcntl.h, asm/prctl.h of x86, linux/socket.h, linux/in.h, linux/netlink.h,
linux/if_ether.h, linux/reboot.h, linux/inotify.h, linux/random.h, linux/fs.h, linux/resource.h.
"""

from __future__ import annotations

from collections.abc import Callable

from triage_tui.guest.arch import Arch
from triage_tui.guest.log.device_requests import request_name

_LIMITS = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
_LIMITS_MIPS = (
    "CPU FSIZE DATA STACK CORE NOFILE AS RSS NPROC MEMLOCK LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
)
_LIMIT_ARGUMENT = {"getrlimit": 0, "ugetrlimit": 0, "setrlimit": 0, "prlimit64": 1}
_ARCH_PRCTL = {0x1001: "ARCH_SET_GS", 0x1002: "ARCH_SET_FS", 0x1003: "ARCH_GET_FS", 0x1004: "ARCH_GET_GS"}
_MESSAGE = {
    0x1: "MSG_OOB", 0x2: "MSG_PEEK", 0x4: "MSG_DONTROUTE", 0x8: "MSG_CTRUNC", 0x20: "MSG_TRUNC",
    0x40: "MSG_DONTWAIT", 0x80: "MSG_EOR", 0x100: "MSG_WAITALL", 0x800: "MSG_CONFIRM",
    0x2000: "MSG_ERRQUEUE", 0x4000: "MSG_NOSIGNAL", 0x8000: "MSG_MORE", 0x10000: "MSG_WAITFORONE",
    0x40000000: "MSG_CMSG_CLOEXEC",
}  # fmt: skip
_WAIT = {1: "WNOHANG", 2: "WUNTRACED", 8: "WCONTINUED", 0x40000000: "__WALL", 0x80000000: "__WCLONE"}
_LOCK = {1: "LOCK_SH", 2: "LOCK_EX", 4: "LOCK_NB", 8: "LOCK_UN"}
_AT = {0x100: "AT_SYMLINK_NOFOLLOW", 0x800: "AT_NO_AUTOMOUNT", 0x1000: "AT_EMPTY_PATH"}
_FLAGS: dict[str, tuple[int, dict[int, str]]] = {
    "sendto": (3, _MESSAGE), "recvfrom": (3, _MESSAGE), "send": (3, _MESSAGE), "recv": (3, _MESSAGE),
    "sendmsg": (2, _MESSAGE), "recvmsg": (2, _MESSAGE), "wait4": (2, _WAIT), "waitpid": (2, _WAIT),
    "flock": (1, _LOCK), "newfstatat": (3, _AT), "fstatat64": (3, _AT),
}  # fmt: skip
"""Call -> index of its flags, and their names."""
_PROTOCOLS = {
    "PF_INET": {1: "IPPROTO_ICMP", 2: "IPPROTO_IGMP", 47: "IPPROTO_GRE", 50: "IPPROTO_ESP",
                103: "IPPROTO_PIM", 112: "IPPROTO_VRRP", 255: "IPPROTO_RAW"},
    "PF_INET6": {58: "IPPROTO_ICMPV6", 255: "IPPROTO_RAW"},
    "PF_NETLINK": {0: "NETLINK_ROUTE", 2: "NETLINK_USERSOCK", 4: "NETLINK_SOCK_DIAG", 5: "NETLINK_NFLOG",
                   6: "NETLINK_XFRM", 7: "NETLINK_SELINUX", 9: "NETLINK_AUDIT", 11: "NETLINK_CONNECTOR",
                   12: "NETLINK_NETFILTER", 15: "NETLINK_KOBJECT_UEVENT", 16: "NETLINK_GENERIC",
                   21: "NETLINK_CRYPTO"},
    "PF_PACKET": {0x3: "ETH_P_ALL", 0x800: "ETH_P_IP", 0x806: "ETH_P_ARP", 0x86DD: "ETH_P_IPV6",
                  0x8863: "ETH_P_PPP_DISC", 0x8864: "ETH_P_PPP_SES", 0x888E: "ETH_P_PAE",
                  0x88CC: "ETH_P_LLDP"},
}  # fmt: skip
"""Domain of socket(2), as the log has it -> names of its protocols; those of packet(7) in network order."""
_REBOOT = {
    0x01234567: "LINUX_REBOOT_CMD_RESTART", 0xCDEF0123: "LINUX_REBOOT_CMD_HALT",
    0x4321FEDC: "LINUX_REBOOT_CMD_POWER_OFF", 0xA1B2C3D4: "LINUX_REBOOT_CMD_RESTART2",
    0x89ABCDEF: "LINUX_REBOOT_CMD_CAD_ON", 0: "LINUX_REBOOT_CMD_CAD_OFF",
    0xD000FCE2: "LINUX_REBOOT_CMD_SW_SUSPEND", 0x45584543: "LINUX_REBOOT_CMD_KEXEC",
}  # fmt: skip
_REBOOT_MAGIC = {
    0xFEE1DEAD: "LINUX_REBOOT_MAGIC1", 672274793: "LINUX_REBOOT_MAGIC2", 85072278: "LINUX_REBOOT_MAGIC2A",
    369367448: "LINUX_REBOOT_MAGIC2B", 537993216: "LINUX_REBOOT_MAGIC2C",
}  # fmt: skip
_WATCH = {
    0x1: "IN_ACCESS", 0x2: "IN_MODIFY", 0x4: "IN_ATTRIB", 0x8: "IN_CLOSE_WRITE", 0x10: "IN_CLOSE_NOWRITE",
    0x20: "IN_OPEN", 0x40: "IN_MOVED_FROM", 0x80: "IN_MOVED_TO", 0x100: "IN_CREATE", 0x200: "IN_DELETE",
    0x400: "IN_DELETE_SELF", 0x800: "IN_MOVE_SELF", 0x1000000: "IN_ONLYDIR", 0x2000000: "IN_DONT_FOLLOW",
    0x10000000: "IN_MASK_CREATE", 0x20000000: "IN_MASK_ADD", 0x80000000: "IN_ONESHOT",
}  # fmt: skip
_RANDOM = {1: "GRND_NONBLOCK", 2: "GRND_RANDOM", 4: "GRND_INSECURE"}
_SYNC_RANGE = {1: "SYNC_FILE_RANGE_WAIT_BEFORE", 2: "SYNC_FILE_RANGE_WRITE", 4: "SYNC_FILE_RANGE_WAIT_AFTER"}
_FLAGS |= {
    "inotify_add_watch": (2, _WATCH), "getrandom": (2, _RANDOM), "sync_file_range": (3, _SYNC_RANGE),
    "sync_file_range2": (1, _SYNC_RANGE),
}  # fmt: skip
_PRIORITY = {0: "PRIO_PROCESS", 1: "PRIO_PGRP", 2: "PRIO_USER"}
_CHOICES: dict[str, dict[int, dict[int, str]]] = {
    "getpriority": {0: _PRIORITY},
    "setpriority": {0: _PRIORITY},
    "reboot": {0: _REBOOT_MAGIC, 1: _REBOOT_MAGIC, 2: _REBOOT},
}
"""Call -> index of an argument -> names of its values."""
_DIRECTORY = frozenset(
    (
        "openat",
        "newfstatat",
        "fstatat64",
        "faccessat",
        "readlinkat",
        "mkdirat",
        "unlinkat",
        "fchmodat",
        "statx",
    )
)
"""Calls of which the first argument is a directory's descriptor."""
_SIGNED = frozenset(("wait4", "waitpid"))
_OTHERS = ("arch_prctl", "fcntl", "fcntl64", "socket", "clone", "ioctl", "kill", "tkill", "tgkill")
NAMED = frozenset((*_LIMIT_ARGUMENT, *_FLAGS, *_CHOICES, *_DIRECTORY, *_OTHERS))
"""The calls that `name_values` knows."""


def _number(texts: list[str], index: int) -> int | None:
    try:
        return int(texts[index], 0)
    except (ValueError, IndexError):
        return None


def _limit(arch: Arch, number: int) -> str:
    names = (_LIMITS_MIPS if arch.name.startswith("mips") else _LIMITS).split()
    return f"RLIMIT_{names[number]}" if 0 <= number < len(names) else str(number)


def name_values(arch: Arch, name: str, texts: list[str]) -> None:
    """Replace the numbers of `texts`, the arguments of the call `name`, that have names."""
    index = _LIMIT_ARGUMENT.get(name)
    if index is not None and (number := _number(texts, index)) is not None:
        texts[index] = _limit(arch, number)
    elif name in _FLAGS:
        index, names = _FLAGS[name]
        if number := _number(texts, index):
            rest = number & 0xFFFFFFFF
            found = [text for bit, text in names.items() if rest & bit]
            rest &= ~sum(bit for bit in names if rest & bit)
            texts[index] = "|".join(found + ([hex(rest)] if rest else []))
    elif name in _CHOICES:
        for index, names in _CHOICES[name].items():
            if (number := _number(texts, index)) is not None:
                texts[index] = names.get(number & 0xFFFFFFFF, texts[index])
    elif name in _SPECIAL:
        _SPECIAL[name](arch, texts)
    elif name.startswith("fcntl") and texts[1:] == ["F_SETFD", "1"]:
        texts[2] = "FD_CLOEXEC"
    elif name == "arch_prctl" and (number := _number(texts, 0)) is not None:
        texts[0] = _ARCH_PRCTL.get(number, texts[0])
    first = _number(texts, 0)
    if name in _DIRECTORY and first is not None and first & 0xFFFFFFFF == 0xFFFFFF9C:
        texts[0] = "AT_FDCWD"
    elif name in _SIGNED and first is not None and first >= 1 << 31:
        texts[0] = str((first & 0xFFFFFFFF) - (1 << 32))


def _name_protocol(_arch: Arch, texts: list[str]) -> None:
    names = _PROTOCOLS.get(texts[0]) if texts else None
    if names is not None and (number := _number(texts, 2)) is not None:
        if texts[0] != "PF_PACKET":
            texts[2] = names.get(number, texts[2])
        elif (name := names.get(_swapped(number), names.get(number))) is not None:
            # QEMU shows it in the order of the host or of the guest.
            texts[2] = f"htons({name})"


def _swapped(number: int) -> int:
    return (number & 0xFF) << 8 | number >> 8 & 0xFF


def _name_end_signal(arch: Arch, texts: list[str]) -> None:
    """The lowest byte of the flags is the signal at the child's end (clone(2))."""
    if texts and arch.name != "s390x":
        sigchld = "0x12" if arch.name.startswith("mips") else "0x11"
        flags = texts[0].split("|")
        texts[0] = "|".join("SIGCHLD" if flag == sigchld else flag for flag in flags)


def _name_request(arch: Arch, texts: list[str]) -> None:
    if (number := _number(texts, 1)) is not None:
        texts[1] = request_name(arch, number) or texts[1]


def _name_no_signal(_arch: Arch, texts: list[str]) -> None:
    """QEMU 10 has no name for signal 0."""
    if texts and texts[-1] == "(null)":
        texts[-1] = "0"


_SPECIAL: dict[str, Callable[[Arch, list[str]], None]] = {
    "socket": _name_protocol,
    "clone": _name_end_signal,
    "ioctl": _name_request,
    "kill": _name_no_signal,
    "tkill": _name_no_signal,
    "tgkill": _name_no_signal,
}
