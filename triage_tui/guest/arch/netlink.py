"""Netlink messages as text: netlink(7), rtnetlink(7), include/uapi/linux/{netlink,rtnetlink,if_link}.h."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Mapping

from triage_tui.guest.arch.model import Arch
from triage_tui.guest.arch.structures import FieldText

HEADER = 16
MAX_MESSAGES = 32
MAX_ATTRIBUTES = 64

_CONTROL = {1: "NLMSG_NOOP", 2: "NLMSG_ERROR", 3: "NLMSG_DONE", 4: "NLMSG_OVERRUN"}
_VERBS = ("NEW", "DEL", "GET", "SET")
_OBJECTS = (
    "LINK", "ADDR", "ROUTE", "NEIGH", "RULE", "QDISC", "TCLASS", "TFILTER", "ACTION", "PREFIX", "MULTICAST",
    "ANYCAST", "NEIGHTBL", "NDUSEROPT", "ADDRLABEL", "DCB", "NETCONF", "MDB", "NSID",
)  # fmt: skip
_ROUTE = {
    16 + 4 * n + v: f"RTM_{verb}{name}" for n, name in enumerate(_OBJECTS) for v, verb in enumerate(_VERBS)
}
_FLAGS = {0x1: "REQUEST", 0x2: "MULTI", 0x4: "ACK", 0x8: "ECHO", 0x10: "DUMP_INTR"}
_GET_FLAGS = {0x100: "ROOT", 0x200: "MATCH", 0x400: "ATOMIC"}
_NEW_FLAGS = {0x100: "REPLACE", 0x200: "EXCL", 0x400: "CREATE", 0x800: "APPEND"}
_PAYLOADS = {
    "LINK": (16, "BxHiII", ("family", "type", "index", "flags", "change")),
    "ADDR": (8, "BBBBI", ("family", "prefixlen", "flags", "scope", "index")),
    "ROUTE": (
        12, "BBBBBBBBI",
        ("family", "dst_len", "src_len", "tos", "table", "protocol", "scope", "type", "flags"),
    ),
    "NEIGH": (12, "BxxxiHBB", ("family", "ifindex", "state", "flags", "type")),
}  # fmt: skip
"""Kind of object -> bytes of what stands before its attributes, their form, their names."""
_ATTRIBUTES: Mapping[str, Mapping[int, str]] = {
    "LINK": {1: "IFLA_ADDRESS", 3: "IFLA_IFNAME", 4: "IFLA_MTU", 5: "IFLA_LINK", 6: "IFLA_QDISC"},
    "ADDR": {1: "IFA_ADDRESS", 2: "IFA_LOCAL", 3: "IFA_LABEL", 4: "IFA_BROADCAST"},
    "ROUTE": {1: "RTA_DST", 2: "RTA_SRC", 4: "RTA_OIF", 5: "RTA_GATEWAY", 6: "RTA_PRIORITY", 15: "RTA_TABLE"},
    "NEIGH": {1: "NDA_DST", 2: "NDA_LLADDR"},
}  # fmt: skip


def messages_in(arch: Arch, data: bytes) -> list[FieldText]:
    """Return the fields of netlink messages, [] for bytes that are none.

    The lengths of the messages have to add up to the bytes there are: numbers that look like a header are
    frequent, chains of them are not.
    """
    found: list[FieldText] = []
    at = number = 0
    while at + HEADER <= len(data) and number < MAX_MESSAGES:
        size, kind, flags, seq, pid = struct.unpack_from(_order(arch) + "IHHII", data, at)
        whole = at + size <= len(data)
        if size < HEADER or flags & ~0xFFF or not _known(kind) or not (whole or number):
            return []
        if not whole:
            break
        before = f"[{number}]." if number or -(-size // 4) * 4 < len(data) else ""
        found += [
            FieldText(before + "nlmsg_type", at + 4, 2, _type(kind)),
            FieldText(before + "nlmsg_len", at, 4, str(size)),
            FieldText(before + "nlmsg_flags", at + 6, 2, _flag_names(kind, flags)),
            FieldText(before + "nlmsg_seq", at + 8, 4, str(seq)),
            FieldText(before + "nlmsg_pid", at + 12, 4, str(pid)),
        ]
        found += _payload(arch, data[at + HEADER : at + size], kind, at + HEADER, before)
        at += -(-size // 4) * 4
        number += 1
    # What follows the last message may be the unused rest of a buffer, if that is empty.
    return found if number and not any(data[at : at + HEADER]) else []


def _order(arch: Arch) -> str:
    return "<" if arch.endian == "little" else ">"


def _known(kind: int) -> bool:
    return kind in _CONTROL or 16 <= kind < 0x400


def _type(kind: int) -> str:
    return _CONTROL.get(kind) or _ROUTE.get(kind) or str(kind)


def _flag_names(kind: int, flags: int) -> str:
    more = _GET_FLAGS if kind >= 16 and kind % 4 == 2 else _NEW_FLAGS
    names = _FLAGS | more
    if more is _GET_FLAGS and flags & 0x300 == 0x300:
        names = {**_FLAGS, 0x300: "DUMP", 0x400: "ATOMIC"}
    said = [f"NLM_F_{name}" for bit, name in names.items() if flags & bit == bit]
    rest = flags & ~sum(bit for bit in names if flags & bit == bit)
    return "|".join(said + ([hex(rest)] if rest else [])) or "0"


def _payload(arch: Arch, data: bytes, kind: int, at: int, before: str) -> Iterator[FieldText]:
    if kind == 2 and len(data) >= 4:
        (error,) = struct.unpack_from(_order(arch) + "i", data)
        host = arch.to_host(-error) if error < 0 else 0
        said = (
            f"{error} ({arch.errno_name(-error) or '?'}: {os.strerror(host)})"
            if error < 0
            else "0 (no error)"
        )
        yield FieldText(before + "error", at, 4, said)
        if len(data) >= 10:
            (about,) = struct.unpack_from(_order(arch) + "H", data, 8)
            yield FieldText(before + "msg.nlmsg_type", at + 8, 2, _type(about))
        return
    name = _ROUTE.get(kind, "")[7:]
    form = _PAYLOADS.get(name)
    if form is None:
        if data:
            yield FieldText(before + "payload", at, len(data), data[:32].hex(" "))
        return
    size, layout, names = form
    if len(data) < size:
        # A dump may be asked for with a struct rtgenmsg, which is a family alone.
        if data:
            yield FieldText(before + "family", at, 1, _family(data[0]))
        return
    offset = 0
    values = struct.unpack_from(_order(arch) + layout, data)
    for field, part, value in zip(names, _places(layout), values, strict=True):
        offset, width = part
        text = _family(value) if field == "family" else hex(value) if field == "flags" else str(value)
        yield FieldText(before + field, at + offset, width, text)
    yield from _attributes(arch, data, size, at, before, name)


def _places(layout: str) -> Iterator[tuple[int, int]]:
    """Yield offset and size of each number of a packed form."""
    offset = 0
    for letter in layout:
        width = struct.calcsize("=" + letter)
        if letter != "x":
            yield offset, width
        offset += width


def _family(value: int) -> str:
    return {0: "AF_UNSPEC", 2: "AF_INET", 7: "AF_BRIDGE", 10: "AF_INET6", 17: "AF_PACKET"}.get(
        value, str(value)
    )


def _attributes(arch: Arch, data: bytes, at: int, base: int, before: str, name: str) -> Iterator[FieldText]:
    for _ in range(MAX_ATTRIBUTES):
        if at + 4 > len(data):
            return
        size, kind = struct.unpack_from(_order(arch) + "HH", data, at)
        if size < 4 or at + size > len(data):
            return
        label = _ATTRIBUTES.get(name, {}).get(kind & 0x3FFF, f"attribute {kind & 0x3FFF}")
        yield FieldText(before + label, base + at, size, _attribute(arch, label, data[at + 4 : at + size]))
        at += -(-size // 4) * 4


def _attribute(arch: Arch, label: str, value: bytes) -> str:
    if label in ("IFLA_IFNAME", "IFLA_QDISC", "IFA_LABEL"):
        return f'"{value.partition(bytes(1))[0].decode("utf-8", "backslashreplace")}"'
    if label in ("IFLA_ADDRESS", "NDA_LLADDR"):
        return value.hex(":")
    if label.startswith(("IFA_", "RTA_DST", "RTA_SRC", "RTA_GATEWAY", "NDA_DST")) and len(value) in (4, 16):
        return socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value)
    if len(value) in (1, 2, 4):
        return str(int.from_bytes(value, arch.endian))
    return value[:32].hex(" ")
