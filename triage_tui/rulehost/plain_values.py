"""Values between a rule and the supervisor: facts as text for the prelude, and members of a struct ifreq."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from triage_tui.rulehost.arguments import BadRequest

_ADDRESS_FIELDS = ("addr", "netmask", "broadaddr", "dstaddr")
_HARDWARE_ADDRESS = re.compile(rb"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")


def facts_text(facts: Mapping[str, int | str]) -> bytes:
    """Return facts as the prelude reads them: `key=i12` or `key=stext`, each ended by a NUL."""
    text = "".join(
        f"{key}={'i' if isinstance(value, int) else 's'}{str(value).replace(chr(0), '')}\0"
        for key, value in facts.items()
    )
    return text.encode("utf-8", "backslashreplace")


def ifreq_value(field: str, value: int | bytes) -> int | bytes:
    """Return a value of the type that `GuestAccess.ifreq_set` takes; text addresses are converted.

    Raises:
        BadRequest: it is none for that field.
    """
    if field in _ADDRESS_FIELDS and isinstance(value, bytes):
        if len(value) == 4:
            return value
        try:
            return ipaddress.IPv4Address(value.decode("latin-1")).packed
        except ValueError:
            raise BadRequest from None
    if field == "hwaddr" and isinstance(value, bytes):
        if len(value) == 6:
            return value
        if _HARDWARE_ADDRESS.fullmatch(value):
            return bytes.fromhex(value.decode("ascii").replace(":", ""))
    elif field not in _ADDRESS_FIELDS and isinstance(value, int) and -(1 << 31) <= value < 1 << 32:
        return value
    raise BadRequest
