"""Which environment variables look like secrets, so that no screen, report or export shows their values."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"pass(word|wd|phrase)?s?(_|$)|secret|token|credential|cookie|private|(^|_)(auth|psk|pin|pwd|pw|community)(_|$)"
    r"|(api|access|private|shared|wpa|wifi|encryption|signing|ssh|_)_?key",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(?<=://)[^/@\s:]*:[^/?#\s]*(?=@)")
"""User and password of a URL, up to the last @ before its path."""
MASK = "********"


def is_secret_name(name: str) -> bool:
    """Tell whether a variable, or an option, of this name holds a secret."""
    return _SECRET.search(name) is not None


def masked(entry: str) -> str:
    """Return a "NAME=value" entry, the value masked when the name, or a URL in it, tells of a secret."""
    name, equals, value = entry.partition("=")
    if not equals or not value:
        return entry
    if is_secret_name(name):
        return f"{name}={MASK}"
    return f"{name}={_IN_URL.sub(MASK, value)}"
