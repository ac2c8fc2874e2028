"""Which structures the arguments of a call are, and their fields as text, for each architecture.

What an argument is follows from the man page of its call; an ifreq is read by its request (netdevice(7)), a
socket address by its family. Text of the guest in what is returned is raw.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from triage_tui.guest.arch import layouts
from triage_tui.guest.arch.model import Arch

MAX_ELEMENTS = 64
"""Elements that are decoded of an array."""


class Structure(NamedTuple):
    """What an argument is: a structure of `layouts`, or "sockaddr", "fd_set", "int"; how many at most."""

    name: str
    elements: int = 1
    request: str = ""
    """With "ifreq": the ioctl request that it is for."""


class FieldText(NamedTuple):
    """One decoded field: `size` bytes at `offset`."""

    name: str
    offset: int
    size: int
    text: str
    pointer: int | None = None
    """The value, where it is an address."""


_FIXED: dict[str, tuple[int, str]] = {
    name: (index, structure)
    for structure, index, names in (
        ("sockaddr", 1, "connect bind accept accept4 getsockname getpeername"),
        ("sockaddr", 4, "sendto recvfrom"),
        ("msghdr", 1, "sendmsg recvmsg"),
        ("epoll_event", 3, "epoll_ctl"),
        ("timespec", 0, "nanosleep"),
        ("timespec", 1, "clock_gettime clock_settime clock_getres"),
        ("timespec", 2, "clock_nanosleep ppoll"),
        ("timespec64", 1, "clock_gettime64 clock_settime64"),
        ("timespec64", 2, "clock_nanosleep_time64 ppoll_time64"),
        ("timeval", 0, "gettimeofday settimeofday"),
        ("timeval", 4, "select _newselect"),
        ("timespec", 4, "pselect6"),
        ("timespec64", 4, "pselect6_time64"),
        ("itimerval", 1, "setitimer getitimer"),
        ("sigaction", 1, "rt_sigaction"),
        ("utsname", 0, "uname"),
        ("rlimit", 1, "getrlimit setrlimit ugetrlimit"),
        ("rlimit64", 2, "prlimit64"),
        ("stat", 1, "fstat64 stat64 lstat64"),
        ("stat", 2, "newfstatat fstatat64"),
        ("int", 1, "wait4 waitpid"),
        ("int", 3, "getsockopt setsockopt"),
    )
    for name in names.split()
}
"""Call -> argument that is one structure, and which. Of ppoll, it is the second one after the descriptors."""
_ARRAYS: dict[str, tuple[int, str, int]] = {
    **dict.fromkeys(("readv", "writev", "preadv", "pwritev"), (1, "iovec", 2)),
    **dict.fromkeys(("poll", "ppoll", "ppoll_time64"), (0, "pollfd", 1)),
    **dict.fromkeys(("epoll_wait", "epoll_pwait"), (1, "epoll_event", 2)),
}
"""Call -> argument that is an array, of what, and the argument that counts its elements."""
_PAIRS = {"pipe": 0, "pipe2": 0, "socketpair": 3}
_SELECTS = frozenset(("select", "_newselect", "pselect6", "pselect6_time64"))
_SET_BYTES = 128
"""Bytes of an fd_set, select(2)."""
_NO_STRUCT = ("int", "fd_set")
_NAMING_INTERFACES = (
    "SIOCGIF",
    "SIOCSIF",
    "SIOCGIW",
    "SIOCSIW",
    "SIOCETHTOOL",
    "SIOCGMII",
    "SIOCSMII",
    "SIOCBOND",
    "SIOCDIFADDR",
)
"""Beginnings of requests that begin with the name of an interface: netdevice(7), wireless.h, sockios.h."""
_REQUESTS = {
    "SIOCGIFCONF": "ifconf", "TIOCGWINSZ": "winsize", "TIOCSWINSZ": "winsize", "FIONREAD": "int",
    "FIONBIO": "int", "TCGETS": "termios", "TCSETS": "termios", "TCSETSW": "termios", "TCSETSF": "termios",
}  # fmt: skip


def structure_of(
    arch: Arch, call: str, args: Sequence[int], index: int, request: str | None = None
) -> Structure | None:
    """Return what argument `index` of a call points to, None when it is no structure that is known here."""
    if call == "ioctl":
        return _of_request(request or "") if index == 2 else None
    if _PAIRS.get(call) == index:
        return Structure("int", 2)
    if call in _SELECTS and index in (1, 2, 3):
        return Structure("fd_set")
    if call in _ARRAYS and _ARRAYS[call][0] == index:
        _, name, counter = _ARRAYS[call]
        count = args[counter] if counter < len(args) else 1
        return Structure(name, max(1, min(count, MAX_ELEMENTS)))
    if call in ("stat", "lstat", "fstat") and arch.word == 8:
        return Structure("stat") if index == 1 else None
    fixed = _FIXED.get(call)
    return Structure(fixed[1]) if fixed is not None and fixed[0] == index else None


def _of_request(request: str) -> Structure | None:
    name = _REQUESTS.get(request)
    if name is None and request.startswith(_NAMING_INTERFACES):
        name = "ifreq"
    return Structure(name, 1, request) if name is not None else None


def fields_of(arch: Arch, structure: Structure, data: bytes) -> list[FieldText]:
    """Return the fields of a structure in `data`; those beyond its end are left out."""
    if structure.name == "int":
        return [
            FieldText(
                f"[{n}]" if structure.elements > 1 else "value", n * 4, 4, _int(arch, data[n * 4 :][:4])
            )
            for n in range(min(structure.elements, len(data) // 4))
        ]
    if structure.name == "fd_set":
        return [FieldText("fds", 0, len(data), _descriptors(arch, data))]
    if structure.name == "sockaddr":
        return _address_fields(arch, data)
    if structure.name == "ifreq":
        return _ifreq_fields(arch, structure.request, data)
    size = layouts.layout(arch, structure.name).size
    found: list[FieldText] = []
    for number in range(min(structure.elements, MAX_ELEMENTS)):
        part = data[number * size : (number + 1) * size]
        if structure.elements > 1 and len(part) < size:
            break
        before = f"[{number}]." if structure.elements > 1 else ""
        found += _plain(arch, structure.name, part, number * size, before)
    return found


def structure_size(arch: Arch, structure: Structure) -> int:
    """Return the bytes of one element; those of the longest address for a socket address."""
    if structure.name == "sockaddr":
        return layouts.layout(arch, "sockaddr_un").size
    if structure.name == "fd_set":
        return _SET_BYTES
    return 4 if structure.name == "int" else layouts.layout(arch, structure.name).size


def title_of(structure: Structure, arch: Arch, data: bytes) -> str:
    """Return what it is in C: "struct sockaddr_in", "struct pollfd [2]"."""
    name = structure.name
    if name == "sockaddr":
        name = _ADDRESSES.get(_family(arch, data), name)
    plain = name if name in _NO_STRUCT else f"struct {name}"
    whole = len(data) // structure_size(arch, structure)
    count = min(structure.elements, max(1, whole))
    what = f"{plain} [{count}]" if structure.elements > 1 else plain
    return f"{what} for {structure.request}" if structure.request and structure.name == "ifreq" else what


def _plain(arch: Arch, name: str, data: bytes, start: int = 0, before: str = "") -> list[FieldText]:
    values = layouts.decode(arch, name, data)
    places = layouts.layout(arch, name).fields
    found = []
    for field, value in values.items():
        place = places[field]
        pointer = value if place.kind == "address" and isinstance(value, int) else None
        if name == "epoll_event" and field == "data":
            # The program puts here what it likes, most often an address.
            pointer = value if isinstance(value, int) else int.from_bytes(value, arch.endian)
        text = _text(arch, name, field, value, values)
        found.append(FieldText(before + field, start + place.offset, place.size, text, pointer))
    return found


_ADDRESSES = {
    1: "sockaddr_un", 2: "sockaddr_in", 10: "sockaddr_in6", 16: "sockaddr_nl", 17: "sockaddr_ll",
}  # fmt: skip
_FAMILIES = {
    0: "AF_UNSPEC", 1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET",
}  # fmt: skip


def _family(arch: Arch, data: bytes) -> int:
    return int.from_bytes(data[:2], arch.endian)


def _address_fields(arch: Arch, data: bytes) -> list[FieldText]:
    if len(data) < 2:
        return []
    family = _family(arch, data)
    name = _ADDRESSES.get(family)
    if name is None:
        rest = [FieldText("sa_data", 2, len(data) - 2, data[2:].hex(" "))] if data[2:] else []
        return [FieldText("sa_family", 0, 2, _FAMILIES.get(family, str(family))), *rest]
    if name == "sockaddr_un":
        path = data[2:110]
        abstract = path[:1] == b"\0" and path.strip(b"\0") != b""
        shown = path.rstrip(b"\0")[1:] if abstract else path.partition(b"\0")[0]
        text = f'"{"@" if abstract else ""}{shown.decode("utf-8", "backslashreplace")}"'
        size = len(shown) + abstract
        return [FieldText("sun_family", 0, 2, "AF_UNIX"), FieldText("sun_path", 2, size, text)]
    return _plain(arch, name, data)


def _ifreq_fields(arch: Arch, request: str, data: bytes) -> list[FieldText]:
    if len(data) < 16:
        return []
    found = [FieldText("ifr_name", 0, 16, _bytes(data[:16]))]
    union = data[16 : layouts.layout(arch, "ifreq").size]
    what = request[7:] if request.startswith(("SIOCGIF", "SIOCSIF")) else ""
    if what in ("ADDR", "NETMASK", "BRDADDR", "DSTADDR") and len(union) >= 8:
        inner = _address_fields(arch, union[:16])
        return found + [
            one._replace(name=f"ifr_{what.lower()}.{one.name}", offset=16 + one.offset) for one in inner
        ]
    if what == "HWADDR" and len(union) >= 8:
        kind = int.from_bytes(union[:2], arch.endian)
        return [
            *found,
            FieldText("ifr_hwaddr.sa_family", 16, 2, "ARPHRD_ETHER" if kind == 1 else str(kind)),
            FieldText("ifr_hwaddr.sa_data", 18, 6, union[2:8].hex(":")),
        ]
    if what == "FLAGS" and len(union) >= 2:
        return [*found, FieldText("ifr_flags", 16, 2, _flags(int.from_bytes(union[:2], arch.endian), _IFF))]
    if what in ("INDEX", "METRIC", "MTU", "TXQLEN") and len(union) >= 4:
        name = {"INDEX": "ifr_ifindex", "TXQLEN": "ifr_qlen"}.get(what, f"ifr_{what.lower()}")
        return [*found, FieldText(name, 16, 4, _int(arch, union[:4]))]
    return [*found, FieldText("ifr_ifru", 16, len(union), union.hex(" "))] if union else found


def _descriptors(arch: Arch, data: bytes) -> str:
    """Return the descriptors of a set, which is an array of words."""
    found = []
    for start in range(0, len(data) - arch.word + 1, arch.word):
        word = int.from_bytes(data[start : start + arch.word], arch.endian)
        found += [str(start * 8 + bit) for bit in range(arch.bits) if word >> bit & 1]
    return " ".join(found) or "none"


def _int(arch: Arch, data: bytes) -> str:
    return str(int.from_bytes(data, arch.endian, signed=True))


_POLL = {
    0x1: "POLLIN", 0x2: "POLLPRI", 0x4: "POLLOUT", 0x8: "POLLERR", 0x10: "POLLHUP", 0x20: "POLLNVAL",
    0x40: "POLLRDNORM", 0x80: "POLLRDBAND", 0x100: "POLLWRNORM", 0x2000: "POLLRDHUP",
}  # fmt: skip
_EPOLL = {
    0x1: "EPOLLIN", 0x2: "EPOLLPRI", 0x4: "EPOLLOUT", 0x8: "EPOLLERR", 0x10: "EPOLLHUP",
    0x40: "EPOLLRDNORM", 0x2000: "EPOLLRDHUP", 1 << 28: "EPOLLEXCLUSIVE", 1 << 29: "EPOLLWAKEUP",
    1 << 30: "EPOLLONESHOT", 1 << 31: "EPOLLET",
}  # fmt: skip
_IFF = {
    0x1: "IFF_UP", 0x2: "IFF_BROADCAST", 0x8: "IFF_LOOPBACK", 0x10: "IFF_POINTOPOINT", 0x40: "IFF_RUNNING",
    0x80: "IFF_NOARP", 0x100: "IFF_PROMISC", 0x200: "IFF_ALLMULTI", 0x1000: "IFF_MULTICAST",
}  # fmt: skip
_SA = {
    1: "SA_NOCLDSTOP", 2: "SA_NOCLDWAIT", 4: "SA_SIGINFO", 0x04000000: "SA_RESTORER",
    0x08000000: "SA_ONSTACK", 0x10000000: "SA_RESTART", 0x40000000: "SA_NODEFER", 0x80000000: "SA_RESETHAND",
}  # fmt: skip
_SA_MIPS = {bit: name for bit, name in _SA.items() if bit not in (2, 4)} | {
    8: "SA_SIGINFO",
    0x10000: "SA_NOCLDWAIT",
}
_TYPES = {
    0o010000: "S_IFIFO", 0o020000: "S_IFCHR", 0o040000: "S_IFDIR", 0o060000: "S_IFBLK",
    0o100000: "S_IFREG", 0o120000: "S_IFLNK", 0o140000: "S_IFSOCK",
}  # fmt: skip


def _flags(value: int, names: Mapping[int, str]) -> str:
    found = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(bit for bit in names if value & bit)
    return "|".join(found + ([hex(rest)] if rest else [])) or "0"


def _bytes(data: bytes) -> str:
    text = data.partition(b"\0")[0]
    if text and all(0x20 <= byte < 0x7F for byte in text):
        return f'"{text.decode("ascii")}"'
    return "all zero" if not any(data) else data.hex(" ")


def _text(arch: Arch, name: str, field: str, value: int | bytes, values: Mapping[str, int | bytes]) -> str:
    """Return one field as a person writes it."""
    if isinstance(value, bytes):
        match field:
            case "sin_port" | "sin6_port":
                return str(int.from_bytes(value, "big"))
            case "sin_addr":
                return socket.inet_ntop(socket.AF_INET, value)
            case "sin6_addr":
                return socket.inet_ntop(socket.AF_INET6, value)
            case "sin6_flowinfo" | "sll_protocol":
                return hex(int.from_bytes(value, "big"))
            case "sll_addr":
                length = values.get("sll_halen")
                return value[: length if isinstance(length, int) and 0 < length <= 8 else 8].hex(":")
            case "data":
                return hex(int.from_bytes(value, arch.endian))
        return _bytes(value)
    match field:
        case "sin_family" | "sin6_family" | "nl_family" | "sll_family":
            return _FAMILIES.get(value, str(value))
        case "events" | "revents":
            return _flags(value & 0xFFFFFFFF if name == "epoll_event" else value & 0xFFFF,
                          _EPOLL if name == "epoll_event" else _POLL)  # fmt: skip
        case "sa_handler":
            return {0: "SIG_DFL", 1: "SIG_IGN"}.get(value, hex(value))
        case "sa_flags":
            return _flags(value, _SA_MIPS if arch.name.startswith("mips") else _SA)
        case "st_mode":
            kind = _TYPES.get(value & 0o170000, "")
            return f"{kind}|{value & 0o7777:04o}" if kind else oct(value)
        case "rlim_cur" | "rlim_max":
            return "RLIM_INFINITY" if value in (arch.word_mask, (1 << 64) - 1) else str(value)
        case "data" | "msg_flags" | "nl_groups" | "st_dev" | "st_rdev":
            return hex(value)
    if field.startswith("c_"):
        return oct(value)
    return hex(value) if layouts.layout(arch, name).fields[field].kind == "address" else str(value)
