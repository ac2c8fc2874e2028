"""Which parts of ARM code are A32 and which Thumb, also where no symbol says it.

Nearly all A32 instructions are unconditional, so that every fourth byte begins with 0xE; in Thumb code the
same bytes are spread out.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

_BLOCK = 256
_PLAIN = bytes(value for value in range(256) if value >> 4 == 0xE or value in (0xF2, 0xF3, 0xF4))
"""First bytes of unconditional A32 instructions, the vector ones included."""
_MOST = 0.5
"""Share of unconditional words from which a block is A32."""


def modes(
    data: bytes, start: int, little: bool, marks: Sequence[tuple[int, str]]
) -> list[tuple[int, int, bool]]:
    """Return pieces (start, end, Thumb) of the code `data` at `start`; literals belong to the code at them.

    `marks` are the mapping symbols of the file, ordered; none in a stripped one.
    """
    end = start + len(data)
    first = bisect.bisect_right(marks, (start, "~")) - 1
    inside = [mark for mark in marks[max(first, 0) :] if mark[0] < end and mark[1] != "d"]
    if marks and inside:
        return _joined([(max(at, start), kind == "t") for at, kind in inside], start, end)
    found = []
    for at in range(0, len(data), _BLOCK):
        tops = data[at + (3 if little else 0) : at + _BLOCK : 4]
        tops = tops.replace(b"\0", b"")
        plain = len(tops) - len(tops.translate(None, _PLAIN))
        if tops:
            found.append((start + at, plain < _MOST * len(tops)))
    return _joined(_smoothed(found), start, end)


def _smoothed(blocks: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
    """Let a block that differs from both its neighbours be like them: it holds mostly literals."""
    result = list(blocks)
    for index in range(1, len(blocks) - 1):
        if blocks[index - 1][1] == blocks[index + 1][1] != blocks[index][1]:
            result[index] = (blocks[index][0], blocks[index - 1][1])
    return result


def _joined(pieces: list[tuple[int, bool]], start: int, end: int) -> list[tuple[int, int, bool]]:
    """Return pieces from one change to the next."""
    found: list[tuple[int, int, bool]] = []
    for at, thumb in pieces:
        if found and found[-1][2] == thumb:
            continue
        if found:
            found[-1] = (found[-1][0], at, found[-1][2])
        found.append((start if not found else at, end, thumb))
    return found or [(start, end, False)]
