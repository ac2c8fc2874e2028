"""What only a person can supply, as it stands in a rule's text: `<<FILL IN: the directory of its pages>>`.

A rule whose text has one is not finished: the lint says so, and it never becomes active.
"""

from __future__ import annotations

import re

from triage_tui.text import safe_line

MAX_WANTED = 300
"""Characters that say what is wanted."""
_FORM = re.compile(rb"<<FILL IN:[ \t]*([^\n]*?)>>|<<FILL IN\b")


def placeholder(wanted: str) -> str:
    """Return the text that stands where a person must put what is `wanted`; it fits into any Lua string."""
    plain = re.sub(r"""[\\"'<>\[\]]""", " ", safe_line(" ".join(wanted.split()), MAX_WANTED))
    return f"<<FILL IN: {' '.join(plain.split())}>>"


def unfilled(source: bytes) -> list[tuple[int, str]]:
    """Return line (from 1) and what is wanted, untrusted text, of each placeholder of a rule's text."""
    return [
        (
            source.count(b"\n", 0, found.start()) + 1,
            safe_line((found[1] or b"").decode("utf-8", "replace"), MAX_WANTED),
        )
        for found in _FORM.finditer(source)
    ]
