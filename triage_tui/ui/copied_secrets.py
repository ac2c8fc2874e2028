"""Secrets in what is copied: a copy leaves the machine as an export does, so it is masked like one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from triage_tui.text import number_of

if TYPE_CHECKING:
    from triage_tui.runs.redaction import Redaction
    from triage_tui.ui.run_view import RunView

MAX_MEMORY = 1 << 20
"""Bytes of memory objects in which secrets are looked for: a person waits for it."""
_LEAST = 3
"""Bytes of a secret that are masked in a row of numbers: rows end in the middle of secrets."""
_NUMBERS = re.compile(r"(?<![0-9a-f])[0-9a-f]{2}(?: {1,2}[0-9a-f]{2}){3,}(?![0-9a-f])")
_PAIR = re.compile(r"[0-9a-f]{2}")


def redaction_of(view: RunView | None) -> Redaction:
    """Return what masks the secrets of the run that is shown."""
    from triage_tui.runs.masked_memory import learn_from_memory
    from triage_tui.runs.redaction import Redaction

    if view is None:
        return Redaction()
    redaction = Redaction.of(view.run)
    learn_from_memory(view.run, redaction, MAX_MEMORY)
    return redaction


def masked(text: str, redaction: Redaction) -> tuple[str, int]:
    """Return a text as it may be copied, and in how many places secrets were masked."""
    before = redaction.count
    secrets = [value.encode("utf-8", "surrogateescape") for value in redaction.values]
    lines = text.split("\n")
    if secrets:
        lines = [_without_numbers(line, secrets, redaction) for line in lines]
    text = redaction.text("\n".join(lines))
    return text, redaction.count - before


def told(done: str, count: int) -> str:
    """Return what is said of a copy in which secrets were masked."""
    if not count:
        return done
    were = number_of(count, "secret is", "secrets are")
    return f"{done} {were} masked: Y can copy them as they are."


def _without_numbers(line: str, secrets: list[bytes], redaction: Redaction) -> str:
    """Mask secrets in a row of bytes in hexadecimal, and beside it as text."""
    for numbers in _NUMBERS.finditer(line):
        pairs = list(_PAIR.finditer(line, *numbers.span()))
        data = bytes(int(pair[0], 16) for pair in pairs)
        hidden = {at for secret in secrets for at in _places(data, secret)}
        if not hidden:
            continue
        redaction.count += 1
        fragments = "".join(chr(byte) if at in hidden else "\n" for at, byte in enumerate(data)).split("\n")
        shown = list(line)
        for at in hidden:
            shown[pairs[at].start() : pairs[at].end()] = "**"
        line = "".join(shown)
        for fragment in filter(None, fragments):
            line = line.replace(fragment, "*" * len(fragment))
        return line
    return line


def _places(data: bytes, secret: bytes) -> set[int]:
    """Return where pieces of a secret stand, `_LEAST` bytes of it or more; fewer at an end of `data`."""
    found: set[int] = set()
    for start in range(len(secret) - _LEAST + 1):
        at = data.find(secret[start : start + _LEAST])
        while at >= 0:
            found |= set(range(at, at + _LEAST))
            at = data.find(secret[start : start + _LEAST], at + 1)
    for size in range(_LEAST - 1, 0, -1):
        if data.endswith(secret[:size]):
            found |= set(range(len(data) - size, len(data)))
        if data.startswith(secret[-size:]):
            found |= set(range(size))
    return found
