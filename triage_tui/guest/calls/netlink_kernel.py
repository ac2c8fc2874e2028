"""What a kernel answers to netlink requests in which nothing is configured and nothing ever happens.

Its lists are empty, and what is asked for by name is not there. Every generic family exists that is asked
for: without it a program ends as it does without netlink. A kernel that takes changes says of each one that
it was made; one that takes none refuses them, so that no program believes that its configuration is in force.

Sources: netlink(7); of Linux, include/uapi/linux/{netlink,genetlink,rtnetlink,xfrm}.h and
linux/netfilter/{nfnetlink,nfnetlink_conntrack,nf_tables,nf_tables_compat,ipset/ip_set}.h.
"""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Callable, Iterator

import msgspec

from triage_tui.rulehost.protocol import Endian

ROUTE, SOCK_DIAG, XFRM, NETFILTER, GENERIC = 0, 4, 6, 12, 16
"""Protocols, linux/netlink.h."""
REQUEST, MULTI, ACK, DUMP = 1, 2, 4, 0x300
ERROR, DONE = 2, 3
"""Flags and types of struct nlmsghdr."""
_SIZE = 16
"""Bytes of struct nlmsghdr."""
_GENERIC_SIZE = 4
"""Bytes of struct genlmsghdr: command, version, reserved; and of struct nfgenmsg: family, version, res_id."""
_CONTROL = 0x10
"""GENL_ID_CTRL, the family that tells of the others."""
_NEW_FAMILY, _GET_FAMILY = 1, 3
_GROUPS = {
    "nlctrl": ("notify",),
    "nl80211": ("config", "scan", "regulatory", "mlme", "vendor", "nan", "testmode"),
    "ethtool": ("monitor",),
    "devlink": ("config",),
    "acpi_event": ("acpi_mc_group",),
    "thermal_event": ("thermal_mc_grp",),
    "wireguard": ("peers",),
    "team": ("change_event",),
    "batadv": ("config", "tpmeter"),
    "VFS_DQUOT": ("events",),
    "gtp": ("gtp",),
}
"""Family -> its groups of listeners, in their order (the families' files in the kernel)."""
_NETFILTER_READS = {
    1: (1, 4, 5, 6, 7), 2: (1, 4), 5: (), 6: (1, 7, 8, 11, 12, 13, 14), 7: (1, 2), 8: (1, 4), 9: (1,),
    10: (1, 4, 7, 10, 13, 16, 19, 21, 23), 11: (0,), 12: (1,),
}  # fmt: skip
"""Subsystem of netfilter -> messages that change nothing."""
_LISTENERS = (3, 4)
"""Subsystems of netfilter, queue and log, that are asked for packets: none ever comes."""
_XFRM_READS = (0x12, 0x15, 0x1F, 0x23, 0x25)
_XFRM_EMPTIES = (0x1C, 0x1D)
"""XFRM_MSG_FLUSHSA and FLUSHPOLICY: what is empty is so afterwards."""


class _Asked(msgspec.Struct, frozen=True):
    """One request."""

    header: bytes
    kind: int
    flags: int
    sequence: int
    body: bytes
    """What stands behind the header."""


def answers(message: bytes, endian: Endian, protocol: int, port: int, *, takes_changes: bool) -> list[bytes]:
    """Return how the kernel answers the requests in `message`, in the guest's order.

    What it tells and that it has done so are messages of their own: libraries read one and then the other.
    Answers carry the `port` of the guest's socket, as the kernel's do, whatever the request says.
    """
    order = "<" if endian == "little" else ">"
    header = struct.Struct(order + "IHHII")

    def told(asked: _Asked, kind: int, body: bytes, flags: int = 0) -> bytes:
        return header.pack(_SIZE + len(body), kind, flags, asked.sequence, port) + _padded(body)

    answer: list[bytes] = []
    for asked in _requests(message, header):
        replies, error = _reply(asked, protocol, order, takes_changes)
        dumps = asked.flags & DUMP == DUMP
        answer += [told(asked, kind, body, MULTI if dumps else 0) for kind, body in replies]
        if dumps and not error:
            answer.append(told(asked, DONE, bytes(4), MULTI))
        elif error or asked.flags & ACK:
            # With an error comes the whole request, netlink(7).
            whole = asked.header + asked.body if error else asked.header
            answer.append(told(asked, ERROR, struct.pack(order + "i", -error) + whole))
    return answer


def _requests(message: bytes, header: struct.Struct) -> Iterator[_Asked]:
    at = 0
    while at + _SIZE <= len(message):
        length, kind, flags, sequence, _port = header.unpack_from(message, at)
        if length < _SIZE or not flags & REQUEST:
            return
        body = message[at + _SIZE : at + length]
        yield _Asked(message[at : at + _SIZE], kind, flags, sequence, body)
        at += length + 3 & -4


_Replies = list[tuple[int, bytes]]
"""Type and body of each message that comes before the end of an answer."""


def _reply(asked: _Asked, protocol: int, order: str, takes_changes: bool) -> tuple[_Replies, int]:
    """Return what is told, and an error number, 0 for none: a number that is the same on every processor."""
    known = _KNOWN.get(protocol)
    found = known(asked, order) if known is not None else None
    if found is not None:
        return found
    if asked.flags & DUMP == DUMP:
        return [], 0
    if _is_read(asked, protocol):
        return [], errno.ENOENT
    return [], 0 if takes_changes else errno.EPERM


def _is_read(asked: _Asked, protocol: int) -> bool:
    if protocol == ROUTE:
        return asked.kind % 4 == 2
    if protocol == NETFILTER:
        return asked.kind & 0xFF in _NETFILTER_READS.get(asked.kind >> 8, ())
    return protocol == SOCK_DIAG or (protocol == XFRM and asked.kind in _XFRM_READS)


def _generic(asked: _Asked, order: str) -> tuple[_Replies, int] | None:
    if asked.kind != _CONTROL or not asked.body or asked.body[0] != _GET_FAMILY:
        return None
    if asked.flags & DUMP == DUMP:
        return [(_CONTROL, _family("nlctrl", order))], 0
    given = dict(_attributes(asked.body[_GENERIC_SIZE:], order))
    name = given.get(2, b"").partition(b"\0")[0].decode("latin-1")
    if not name and int.from_bytes(given.get(1, b""), "little" if order == "<" else "big") == _CONTROL:
        name = "nlctrl"
    return ([(_CONTROL, _family(name, order))], 0) if name else ([], errno.ENOENT)


def _family(name: str, order: str) -> bytes:
    """Return the body of CTRL_CMD_NEWFAMILY: number, version, and the groups whose names are known.

    The number follows from the name, so that all sockets of a run are told the same.
    """
    number = _CONTROL if name == "nlctrl" else 0x20 + zlib.crc32(name.encode("latin-1")) % 0x300
    groups = b"".join(
        _attribute(
            at | 0x8000,
            _attribute(2, struct.pack(order + "I", number * 0x10 + at), order)
            + _attribute(1, group.encode() + b"\0", order),
            order,
        )
        for at, group in enumerate(_GROUPS.get(name, ()), start=1)
    )
    return (
        bytes((_NEW_FAMILY, 2, 0, 0))
        + _attribute(2, name.encode("latin-1") + b"\0", order)
        + _attribute(1, struct.pack(order + "H", number), order)
        + _attribute(3, struct.pack(order + "I", 1), order)
        + _attribute(4, bytes(4), order)
        + _attribute(5, struct.pack(order + "I", 0x100), order)
        + (_attribute(7 | 0x8000, groups, order) if groups else b"")
    )


def _netfilter(asked: _Asked, order: str) -> tuple[_Replies, int] | None:
    """Answer what is not a list; numbers in attributes of netfilter are in the order of the network."""
    subsystem, message = asked.kind >> 8, asked.kind & 0xFF
    head = asked.body[:_GENERIC_SIZE].ljust(_GENERIC_SIZE, b"\0")
    if subsystem == 0:
        return [], 0  # Begin and end of a batch.
    if subsystem in _LISTENERS:
        return [], 0
    if (subsystem, message) == (1, 5):  # IPCTNL_MSG_CT_GET_STATS: CTA_STATS_GLOBAL_ENTRIES
        return [(asked.kind, head + _attribute(1, bytes(4), order))], 0
    if (subsystem, message) == (6, 1):  # IPSET_CMD_PROTOCOL: the newest and the oldest
        return [(asked.kind, head + _attribute(1, b"\7", order) + _attribute(10, b"\6", order))], 0
    if (subsystem, message) == (10, 16):  # NFT_MSG_GETGEN
        told = head + _attribute(1, b"\0\0\0\1", order) + _attribute(2, b"\0\0\0\1", order)
        return [(10 << 8 | 15, told + _attribute(3, b"init\0", order))], 0
    if (subsystem, message) == (11, 0):  # NFNL_MSG_COMPAT_GET: the revision that was asked for is there
        return [(asked.kind, asked.body)], 0
    return None


def _xfrm(asked: _Asked, order: str) -> tuple[_Replies, int] | None:
    if asked.kind in _XFRM_EMPTIES:
        return [], 0
    if asked.kind == 0x23:  # XFRM_MSG_GETSADINFO: flags, and how many there are
        return [(0x22, bytes(4) + _attribute(1, bytes(4), order) + _attribute(2, bytes(8), order))], 0
    if asked.kind == 0x25:  # XFRM_MSG_GETSPDINFO
        return [(0x24, bytes(4) + _attribute(1, bytes(24), order) + _attribute(2, bytes(8), order))], 0
    return None


_KNOWN: dict[int, Callable[[_Asked, str], tuple[_Replies, int] | None]] = {
    GENERIC: _generic,
    NETFILTER: _netfilter,
    XFRM: _xfrm,
}


def _attribute(kind: int, value: bytes, order: str) -> bytes:
    """Return a struct nlattr with its value."""
    return struct.pack(order + "HH", 4 + len(value), kind) + _padded(value)


def _attributes(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from(order + "HH", data, at)
        if size < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + size]
        at += size + 3 & -4


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
