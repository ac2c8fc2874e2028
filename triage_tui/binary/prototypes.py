"""Prototypes of the C library's functions, from the headers of musl (see `generate_prototypes`)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("prototypes.json")
_PREFIXES = ("__libc_", "__GI_", "__xpg_", "_IO_", "__")
_SUFFIXES = ("64", "_time64", "_unlocked")


@cache
def _known() -> dict[str, str]:
    found: dict[str, str] = json.loads(_FILE.read_text(encoding="utf-8"))["prototypes"]
    return found


def prototype_of(name: str) -> str | None:
    """Return the prototype of a function of the C library, None for any other.

    Names of a library's own variants (`open64`, `__open`, `__isoc99_sscanf`, `memcpy@GLIBC_2.4`) get that of
    the function that they are.
    """
    plain = name.partition("@")[0]
    known = _known()
    for candidate in (plain, plain.removeprefix("__isoc99_"), plain.removeprefix("__isoc23_")):
        if candidate in known:
            return known[candidate]
    for prefix in _PREFIXES:
        if plain.startswith(prefix) and plain.removeprefix(prefix) in known:
            return known[plain.removeprefix(prefix)]
    for suffix in _SUFFIXES:
        if plain.endswith(suffix) and plain.removesuffix(suffix) in known:
            return known[plain.removesuffix(suffix)]
    return None
