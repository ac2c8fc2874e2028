"""The keys of a router's store that its own root file system names, for a store that is missing."""

from __future__ import annotations

import re

from triage_tui.proposals.content import now_at, siblings
from triage_tui.rulebook.lua.literals import lua_string

MAX_KEYS = 500
_PLACES = ("/etc/nvram", *siblings("/etc/nvram"), "/usr/etc/nvram.default", "/etc/default_nvram")
_LINE = re.compile(rb"([^=\s\x00#;][^=\s\x00]{0,199})=([^\r\n\x00]{0,1000})")


def store_keys(rootfs: str | None) -> tuple[str, str]:
    """Return the fields of a Lua table with the keys' defaults, and where they come from, in words."""
    for place in _PLACES:
        found = _keys_in(now_at(place, rootfs) or b"")
        if found:
            lines = (f"    [{lua_string(name)}] = {lua_string(value)},\n" for name, value in found.items())
            return "".join(lines), f"the {len(found)} keys of {place}"
    return "", "no key yet: each that is asked for is empty, and named in the log of the rules"


def _keys_in(data: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for line in data.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is not None and len(found) < MAX_KEYS:
            found[match[1]] = match[2].strip(b'"')
    return found
