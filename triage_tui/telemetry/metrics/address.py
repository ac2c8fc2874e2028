"""The address that `--metrics` names: read, looked up, and said what is wrong with it."""

from __future__ import annotations

import ipaddress
import re
import socket

import msgspec

from triage_tui.errors import TriageError
from triage_tui.text import safe_line

_LOOPBACK = "127.0.0.1"
_FORM = re.compile(r"(?:(?P<host>[^:\[\]\s*/@]*)|\[(?P<six>[0-9A-Fa-f:.]{2,45})\]):(?P<port>[0-9]{1,5})\Z")
_EXAMPLE = "say --metrics 127.0.0.1:9464, or another free port"


class Address(msgspec.Struct, frozen=True):
    """Where metrics are served."""

    host: str
    """An IP address, looked up."""
    port: int
    """0: any that is free."""
    family: socket.AddressFamily

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine reach it."""
        return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback

    def url(self, port: int | None = None) -> str:
        """Return the address for a scraper; `port` is the one that was taken, where any was wanted."""
        host = f"[{self.host}]" if self.family == socket.AF_INET6 else self.host
        return f"http://{host}:{self.port if port is None else port}/metrics"


def read_address(text: str) -> Address:
    """Return the address that HOST:PORT names; PORT and :PORT alone are of 127.0.0.1.

    Raises:
        TriageError: it is none, or the host has no address.
    """
    shown = safe_line(text, 80)
    found = _FORM.match(f":{text}" if text.isdecimal() else text)
    if found is None or int(found["port"]) > 65535:
        raise TriageError(f"--metrics takes HOST:PORT, not {shown!r}: {_EXAMPLE}")
    host, port = found["six"] or found["host"] or _LOOPBACK, int(found["port"])
    try:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no name of a host"
        raise TriageError(f"--metrics: {safe_line(host, 80)!r} has no address ({why}): {_EXAMPLE}") from error
    family, _kind, _protocol, _name, place = known[0]
    return Address(str(place[0]), port, family)


def why_not(address: Address, error: OSError) -> TriageError:
    """Return what is said of an address that cannot be served."""
    where = address.url().removeprefix("http://").removesuffix("/metrics")
    why = (error.strerror or str(error)).lower()
    return TriageError(f"metrics cannot be served at {where} ({why}), so nothing was begun: {_EXAMPLE}")
