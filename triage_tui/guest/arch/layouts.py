"""Structures that syscalls take, laid out as on each architecture: which bytes are which field.

The declarations are those of the kernel's user headers (include/uapi, arch/*/include/uapi/asm); offsets
follow from them by the rules of the psABIs (`runs/struct_layout.py`).
"""

from __future__ import annotations

from functools import cache

from triage_tui.guest.arch.model import Arch
from triage_tui.runs.struct_layout import Layout, lay_out

# Declarations as runs/struct_layout.py has them.
_COMMON = {
    "timespec": "tv_sec long, tv_nsec long",
    "timespec64": "tv_sec i64, tv_nsec i64",
    "timeval": "tv_sec long, tv_usec long",
    "iovec": "iov_base ptr, iov_len ulong",
    "msghdr": (
        "msg_name ptr, msg_namelen i32, msg_iov ptr, msg_iovlen ulong, msg_control ptr, "
        "msg_controllen ulong, msg_flags u32"
    ),
    "rlimit": "rlim_cur ulong, rlim_max ulong",
    "rlimit64": "rlim_cur u64, rlim_max u64",
    "pollfd": "fd i32, events i16, revents i16",
    # Ports and addresses are in network order on every architecture.
    "sockaddr_in": "sin_family u16, sin_port b2, sin_addr b4, sin_zero b8",
    "sockaddr_in6": "sin6_family u16, sin6_port b2, sin6_flowinfo b4, sin6_addr b16, sin6_scope_id u32",
    "sockaddr_un": "sun_family u16, sun_path b108",
    "sockaddr_nl": "nl_family u16, pad0 u16, nl_pid u32, nl_groups u32",
    "sockaddr_ll": (
        "sll_family u16, sll_protocol b2, sll_ifindex i32, sll_hatype u16, sll_pkttype u8, sll_halen u8, "
        "sll_addr b8"
    ),
    "ifconf": "ifc_len i32, ifc_buf ptr",
    "epoll_event": "events u32, data u64",
    "itimerval": "it_interval_sec long, it_interval_usec long, it_value_sec long, it_value_usec long",
    "winsize": "ws_row u16, ws_col u16, ws_xpixel u16, ws_ypixel u16",
    "utsname": "sysname b65, nodename b65, release b65, version b65, machine b65, domainname b65",
    "sigaction": "sa_handler ptr, sa_flags ulong, sa_restorer ptr, sa_mask b8",
    # linux/stat.h: the same on every architecture.
    "statx": (
        "stx_mask u32, stx_blksize u32, stx_attributes u64, stx_nlink u32, stx_uid u32, stx_gid u32, "
        "stx_mode u16, pad0 u16, stx_ino u64, stx_size u64, stx_blocks u64, stx_attributes_mask u64, "
        "stx_times b64, stx_rdev_major u32, stx_rdev_minor u32, stx_dev_major u32, stx_dev_minor u32, "
        "pad1 b112"
    ),
    "termios": ("c_iflag u32, c_oflag u32, c_cflag u32, c_lflag u32, c_line u8, c_cc b19"),
}

_GENERIC_STAT = (
    "st_dev ulong, st_ino ulong, st_mode u32, st_nlink u32, st_uid u32, st_gid u32, st_rdev ulong, "
    "pad1 ulong, st_size long, st_blksize i32, pad2 i32, st_blocks long, st_atime long, "
    "st_atime_nsec ulong, st_mtime long, st_mtime_nsec ulong, st_ctime long, st_ctime_nsec ulong, "
    "pad4 u32, pad5 u32"
)
_TIMES = (
    "st_atime ulong, st_atime_nsec ulong, st_mtime ulong, st_mtime_nsec ulong, st_ctime ulong, "
    "st_ctime_nsec ulong"
)
_MIPS_TIMES = (
    "st_atime u32, st_atime_nsec u32, st_mtime u32, st_mtime_nsec u32, st_ctime u32, st_ctime_nsec u32"
)
_ARM_STAT64 = (
    f"st_dev u64, pad0 b4, old_ino ulong, st_mode u32, st_nlink u32, st_uid ulong, st_gid ulong, "
    f"st_rdev u64, pad3 b4, st_size i64, st_blksize ulong, st_blocks u64, {_TIMES}, st_ino u64"
)
_STATS = {
    "arm": _ARM_STAT64,
    "i386": _ARM_STAT64,
    "aarch64": _GENERIC_STAT,
    "riscv64": _GENERIC_STAT,
    "mips": (
        "st_dev ulong, pad0 b12, st_ino u64, st_mode u32, st_nlink u32, st_uid u32, st_gid u32, "
        "st_rdev ulong, pad1 b12, st_size i64, st_atime long, st_atime_nsec ulong, st_mtime long, "
        "st_mtime_nsec ulong, st_ctime long, st_ctime_nsec ulong, st_blksize ulong, pad2 ulong, st_blocks i64"
    ),
    "mips64el": (
        "st_dev u32, pad0 b12, st_ino ulong, st_mode u32, st_nlink u32, st_uid u32, st_gid u32, "
        f"st_rdev u32, pad1 b12, st_size long, {_MIPS_TIMES}, st_blksize u32, pad2 u32, st_blocks ulong"
    ),
    "ppc": (
        "st_dev u64, st_ino u64, st_mode u32, st_nlink u32, st_uid u32, st_gid u32, st_rdev u64, pad2 u16, "
        "st_size i64, st_blksize i32, st_blocks i64, st_atime i32, st_atime_nsec u32, st_mtime i32, "
        "st_mtime_nsec u32, st_ctime i32, st_ctime_nsec u32, pad4 u32, pad5 u32"
    ),
    "ppc64le": (
        "st_dev ulong, st_ino ulong, st_nlink ulong, st_mode u32, st_uid u32, st_gid u32, st_rdev ulong, "
        f"st_size long, st_blksize ulong, st_blocks ulong, {_TIMES}, pad4 ulong, pad5 ulong, pad6 ulong"
    ),
    "s390x": (
        "st_dev ulong, st_ino ulong, st_nlink ulong, st_mode u32, st_uid u32, st_gid u32, pad1 u32, "
        f"st_rdev ulong, st_size ulong, {_TIMES}, st_blksize ulong, st_blocks long, pad2 b24"
    ),
    "x86_64": (
        "st_dev ulong, st_ino ulong, st_nlink ulong, st_mode u32, st_uid u32, st_gid u32, pad0 u32, "
        f"st_rdev ulong, st_size long, st_blksize long, st_blocks long, {_TIMES}, pad b24"
    ),
}
_STATS |= {"armeb": _STATS["arm"], "mipsel": _STATS["mips"]}
"""What newfstatat and its like fill in, on 32-bit architectures fstatat64."""

_MIPS_ACTION = "sa_flags u32, sa_handler ptr, sa_mask b16"
_MIPS_TERMIOS = "c_iflag u32, c_oflag u32, c_cflag u32, c_lflag u32, c_line u8, c_cc b23"
_PPC_TERMIOS = (
    "c_iflag u32, c_oflag u32, c_cflag u32, c_lflag u32, c_cc b19, c_line u8, c_ispeed u32, c_ospeed u32"
)
_OWN = {
    **{(name, "sigaction"): _MIPS_ACTION for name in ("mips", "mipsel", "mips64el")},
    **{(name, "termios"): _MIPS_TERMIOS for name in ("mips", "mipsel", "mips64el")},
    **{(name, "termios"): _PPC_TERMIOS for name in ("ppc", "ppc64le")},
    # Packed there, so that 32-bit programs of the architecture lay it out alike.
    ("x86_64", "epoll_event"): "events u32, data b8",
    ("riscv64", "sigaction"): "sa_handler ptr, sa_flags ulong, sa_mask b8",
}
NAMES = (*_COMMON, "ifreq", "stat")
"""All structures."""


def _declaration(arch: Arch, name: str) -> str:
    if name == "stat":
        return _STATS[arch.name]
    if name == "ifreq":
        # The largest member of the union is struct ifmap: two words and small numbers.
        return f"ifr_name b16, ifr_union b{24 if arch.word == 8 else 16}"
    return _OWN.get((arch.name, name), _COMMON.get(name, ""))


@cache
def _layout(arch: Arch, name: str) -> Layout:
    # Arrays of words among the bytes of these are aligned as words.
    words_in_bytes = name in ("sigaction", "ifreq")
    return lay_out(_declaration(arch, name), arch.name, arch.word, words_in_bytes=words_in_bytes)


def layout(arch: Arch, name: str) -> Layout:
    """Return the structure `name` as `arch` lays it out.

    Raises:
        KeyError: there is no structure of that name here.
    """
    if name not in NAMES:
        raise KeyError(name)
    return _layout(arch, name)


def decode(arch: Arch, name: str, data: bytes) -> dict[str, int | bytes]:
    """Return the fields of the structure `name` in `data`; those beyond its end are left out.

    Raises:
        KeyError: there is no structure of that name here.
    """
    found: dict[str, int | bytes] = {}
    for field, place in layout(arch, name).fields.items():
        part = data[place.offset : place.offset + place.size]
        if len(part) == place.size and not field.startswith("pad"):
            signed = place.kind == "signed"
            found[field] = part if place.kind == "bytes" else int.from_bytes(part, arch.endian, signed=signed)
    return found
