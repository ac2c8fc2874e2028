"""Names of numbers in arguments that QEMU prints raw, with what they are called on which architecture.

Sources: include/uapi of Linux: asm-generic/resource.h and its mips variant, linux/wait.h,
asm-generic/fcntl.h, linux/fcntl.h, asm/prctl.h of x86, linux/socket.h.
"""

from __future__ import annotations

from triage_tui.guest.arch import Arch

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
NAMED = frozenset((*_LIMIT_ARGUMENT, *_FLAGS, *_DIRECTORY, "arch_prctl", "fcntl", "fcntl64"))
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
    elif name.startswith("fcntl") and texts[1:] == ["F_SETFD", "1"]:
        texts[2] = "FD_CLOEXEC"
    elif name == "arch_prctl" and (number := _number(texts, 0)) is not None:
        texts[0] = _ARCH_PRCTL.get(number, texts[0])
    first = _number(texts, 0)
    if name in _DIRECTORY and first is not None and first & 0xFFFFFFFF == 0xFFFFFF9C:
        texts[0] = "AT_FDCWD"
    elif name in _SIGNED and first is not None and first >= 1 << 31:
        texts[0] = str((first & 0xFFFFFFFF) - (1 << 32))
