"""What a guest's sockets are and whom they talk to.

A duplicate of the socket is taken out of the process (pidfd_getfd(2)) and asked itself, then closed: exact
for every family, and much quicker than reading the kernel's tables of all sockets. Asking changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator

from triage_tui.guest.host import process
from triage_tui.guest.host.libc import duplicate
from triage_tui.runs.process_model import Socket

"""System call number, the same on all machines since Linux 5.6."""
_PIDFD_THREAD = os.O_EXCL
"""<linux/pidfd.h>"""

# Linux, <netinet/tcp.h>.
_TCP_STATES = {
    1: "connected", 2: "connecting", 3: "connecting", 4: "closing", 5: "closing", 6: "closing", 7: "open",
    8: "half closed", 9: "closing", 10: "listening", 11: "closing",
}  # fmt: skip
_FAMILIES = {1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 31: "bluetooth", 40: "vsock"}
_TYPES = {1: "stream", 2: "dgram", 3: "raw", 4: "rdm", 5: "seqpacket"}
_SO_DOMAIN, _SO_PROTOCOL = 39, 38


@contextlib.contextmanager
def process_handle(pid: int) -> Iterator[int]:
    """Give a pidfd of the process, or of a thread of one whose first thread has ended.

    Before Linux 6.9 there are no pidfds of threads: it is -1 then, from which no socket can be taken.

    Raises:
        OSError: it is gone.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        try:
            handle = os.pidfd_open(pid, _PIDFD_THREAD)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            yield -1
            return
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def take(handle: int, fd: int) -> Iterator[socket.socket]:
    """Give a duplicate of the socket `fd` of the process behind the pidfd `handle`.

    Raises:
        OSError: there is none, or it may not be taken; ENOTSOCK, it is no socket.
    """
    own = duplicate(handle, fd)
    try:
        taken = socket.socket(fileno=own)
    except OSError:
        os.close(own)
        raise
    with taken:
        yield taken


def look(handle: int, fd: int) -> Socket | None:
    """Return what the socket `fd` of the process behind the pidfd `handle` is; None if it cannot be asked."""
    try:
        with take(handle, fd) as taken:
            return _describe(taken)
    except (OSError, ValueError, struct.error):
        return None


def _describe(taken: socket.socket) -> Socket:
    family = taken.getsockopt(socket.SOL_SOCKET, _SO_DOMAIN)
    kind = taken.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    described = Socket(
        family=_FAMILIES.get(family, str(family)), type=_TYPES.get(kind, str(kind)), state="open"
    )
    with contextlib.suppress(OSError):
        described.local = _address(family, taken.getsockname())
    connected = False
    with contextlib.suppress(OSError):
        described.peer = _address(family, taken.getpeername())
        connected = True
    if family in (socket.AF_INET, socket.AF_INET6) and kind == socket.SOCK_STREAM:
        with contextlib.suppress(OSError):
            state = taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            described.state = _TCP_STATES.get(state, f"state {state}")
    elif taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        described.state = "listening"
    elif connected:
        described.state = "connected"
    elif family in (socket.AF_INET, socket.AF_INET6) or described.local not in ("", "unix:"):
        described.state = "bound"
    return described


def _address(family: int, address: object) -> str:
    if family == socket.AF_UNIX:
        raw = address if isinstance(address, bytes) else os.fsencode(str(address))
        # Abstract names begin with a NUL, which tools show as "@".
        name = b"@" + raw[1:] if raw[:1] == b"\0" else raw
        return "unix:" + name.decode("utf-8", "backslashreplace")
    if isinstance(address, tuple) and family in (socket.AF_INET, socket.AF_INET6):
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
    if isinstance(address, tuple):
        return ", ".join(part.hex() if isinstance(part, bytes) else str(part) for part in address)
    return str(address)


def states(pid: int, first_own_fd: int) -> list[str]:
    """Return state and addresses of the sockets of a process among its descriptors below `first_own_fd`.

    Raises:
        OSError: the process is gone.
    """
    found: list[str] = []
    pid = process.living_id(pid)
    with process_handle(pid) as handle:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if int(name) < first_own_fd and os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    known = look(handle, int(name))
                    if known is not None:
                        found.append(in_words(known))
    return found


def in_words(found: Socket) -> str:
    """Return the state and addresses as one text: "listening 0.0.0.0:80", "connected unix:/run/x"."""
    local = found.local or ("unix:" if found.family == "unix" else "")
    peer = "" if found.peer in ("", "unix:") else found.peer
    return " ".join(word for word in (found.state, local, peer) if word)


def _ephemeral_ports() -> range:
    """Return the ports that the kernel chooses from (ip(7), ip_local_port_range)."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first, last = map(int, file.read().split())
    except (OSError, ValueError):
        first, last = 32768, 60999
    return range(first, last + 1)


def reachable_addresses(states: Iterable[str]) -> list[str]:
    """Return where others can reach a process with sockets in `states` (see `in_words`), sorted.

    "0.0.0.0:80", "unix:/run/x.sock", "udp 0.0.0.0:67". A datagram socket counts when it has no peer and a
    port that the kernel did not choose.
    """
    ephemeral = _ephemeral_ports()
    found: set[str] = set()
    for state in states:
        word, _, address = state.partition(" ")
        if word == "listening":
            found.add(address.strip())
        elif word == "bound" and (port := _port(address)) and port not in ephemeral:
            found.add(f"udp {address}")
    return sorted(found)


def _port(address: str) -> int:
    port = address.rpartition(":")[2]
    return int(port) if port.isdecimal() else 0
