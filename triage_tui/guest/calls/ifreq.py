"""The members of `struct ifreq` as the kernel has them, netdevice(7)."""

from __future__ import annotations

import struct

from triage_tui.rulehost.protocol import Endian, IfreqField

NAME_SIZE = 16
"""IFNAMSIZ: the name in front of the union."""
_AF_INET, _ARPHRD_ETHER = 2, 1
_ADDRESSES = frozenset(("addr", "netmask", "broadaddr", "dstaddr"))
_NUMBER_SIZES = {"ifindex": 4, "flags": 2, "mtu": 4, "metric": 4}


def ifreq_member(field: IfreqField, value: int | bytes, order: Endian) -> bytes | None:
    """Return the bytes of one member of the union, None for a value that is none of it."""
    sign = "<" if order == "little" else ">"
    if field in _ADDRESSES:
        fits = isinstance(value, bytes) and len(value) == 4
        return struct.pack(f"{sign}HH4s8x", _AF_INET, 0, value) if fits else None
    if field == "hwaddr":
        fits = isinstance(value, bytes) and len(value) == 6
        return struct.pack(f"{sign}H6s8x", _ARPHRD_ETHER, value) if fits else None
    if not isinstance(value, int):
        return None
    size = _NUMBER_SIZES[field]
    return (value & ((1 << 8 * size) - 1)).to_bytes(size, order)
