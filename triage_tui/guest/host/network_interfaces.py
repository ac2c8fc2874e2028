"""Interfaces of the network name space of a guest (netdevice(7)).

Everything here acts on the calling process; the launcher calls it. Standard library only.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Sequence


def bring_loopback_up() -> None:
    """Set IFF_UP on `lo` of the current network name space (netdevice(7))."""
    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        request = fcntl.ioctl(sock, get_flags, struct.pack("16sh22x", b"lo", 0))
        (flags,) = struct.unpack_from("h", request, 16)
        fcntl.ioctl(sock, set_flags, struct.pack("16sh22x", b"lo", flags | up))


def add_bridges(names: Sequence[str]) -> list[str]:
    """Give the current network name space bridges without ports, up, with 192.168.N.1/24 (N from 1).

    Returns those that could be made, in words; the kernel may have no bridges.
    """
    add_bridge, set_address, set_netmask, set_flags, up = 0x89A0, 0x8916, 0x891C, 0x8914, 1
    made = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        for number, name in enumerate(names, start=1):
            wanted = name.encode()
            address = f"192.168.{number}.1"
            try:
                fcntl.ioctl(sock, add_bridge, struct.pack("16s", wanted))
                for request, value in ((set_address, address), (set_netmask, "255.255.255.0")):
                    sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
                    fcntl.ioctl(sock, request, struct.pack("16s16s8x", wanted, sockaddr))
                fcntl.ioctl(sock, set_flags, struct.pack("16sh22x", wanted, up))
            except OSError as error:
                made.append(f"not the interface {name} ({error.strerror})")
            else:
                made.append(f"the interface {name} ({address}, a bridge without ports)")
    return made
