"""Make an answer fit to leave: secrets masked, every text displayable, no larger than allowed."""

from __future__ import annotations

from typing import Any

import msgspec

from triage_tui.runs.redaction import Redaction
from triage_tui.text import number_of, recordable, safe_block

MAX_DEPTH = 12
_MAX_LINES = 4000
_CUT = "cut"


def bounded(answer: dict[str, Any], limit: int, redaction: Redaction) -> dict[str, Any]:
    """Return an answer that takes at most about `limit` bytes as JSON.

    What is too long is cut at its end: the longest list or text of the top level first. `cut` then says of
    each what is left out.
    """
    shown = {name: _shown(value, redaction, 0) for name, value in answer.items()}
    cuts: list[str] = []
    for _ in range(8):
        size = _size(shown)
        if size <= limit:
            break
        name = max(shown, key=lambda one: _size(shown[one]))
        allowed = max(_size(shown[name]) - (size - limit) - 200, 64)
        shown[name], said = _cut(shown[name], allowed)
        cuts.append(f"{name}: {said}")
    if _size(shown) > limit:
        shown = {"success": False, "error": f"the answer is larger than {limit} bytes: ask for less"}
    elif cuts:
        shown[_CUT] = [*shown.get(_CUT, []), *cuts]
    return shown


def _size(value: object) -> int:
    return len(msgspec.json.encode(value))


def _shown(value: Any, redaction: Redaction, depth: int) -> Any:
    """Return a JSON value with its texts masked and displayable."""
    if depth > MAX_DEPTH:
        return "(nested too deeply)"
    if isinstance(value, str):
        return safe_block(redaction.text(recordable(value)), _MAX_LINES)
    if isinstance(value, dict):
        return {str(name): _shown(item, redaction, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        # Words such as --password make a secret of the word that follows.
        words = redaction.value(list(value)) if all(isinstance(item, str) for item in value) else value
        return [_shown(item, redaction, depth + 1) for item in words]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return hex(value)
    return value


def _cut(value: Any, allowed: int) -> tuple[Any, str]:
    """Return what fits of a value into `allowed` bytes, and what was left out in words."""
    if isinstance(value, list):
        size, kept = 2, 0
        for item in value:
            size += _size(item) + 1
            if size > allowed:
                break
            kept += 1
        if kept or not value:
            left = len(value) - kept
            return value[:kept], f"the last {number_of(left, 'entry', 'entries')} of {len(value)} left out"
        first, said = _cut(value[0], allowed)
        return [first], f"only the first entry of {len(value)}, and of that {said}"
    if isinstance(value, str):
        kept = len(value)
        while kept and _size(value[:kept]) > allowed:
            kept = min(kept - 1, kept * allowed // _size(value[:kept]))
        return value[:kept], f"the last {number_of(len(value) - kept, 'character')} of {len(value)} left out"
    if isinstance(value, dict) and value:
        name = max(value, key=lambda one: _size(value[one]))
        rest = _size(value) - _size(value[name])
        inner, said = _cut(value[name], max(allowed - rest, 32))
        return value | {name: inner}, f"of {name} {said}"
    return None, "left out"
