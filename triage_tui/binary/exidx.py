"""Read the exception index of ARM programs (`.ARM.exidx` and `.ARM.extab`).

Format: Exception Handling ABI for the Arm Architecture (EHABI32), sections 6 and 10. Firmware in C often has
entries for a few functions only.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Callable

MAX_ENTRIES = 100_000
_MAX_WORDS = 64
"""Words of one `.ARM.extab` entry that are looked at."""


def _prel31(word: int, place: int) -> int:
    """Return the address that a 31-bit distance at `place` points to."""
    offset = word & 0x7FFFFFFF
    return (place + (offset - 0x80000000 if offset & 0x40000000 else offset)) & 0xFFFFFFFF


class ExceptionIndex:
    """Unwind instructions by function. Addresses are the file's own."""

    def __init__(self, data: bytes, address: int, read: Callable[[int, int], bytes], little: bool) -> None:
        """Index `data`, loaded at `address`; `read` gives bytes of the file at a file address."""
        self._order = "<" if little else ">"
        self._read = read
        rows: list[tuple[int, int, int]] = []
        for i, (first, second) in enumerate(struct.iter_unpack(self._order + "II", data[: len(data) & ~7])):
            if i >= MAX_ENTRIES:
                break
            place = address + 8 * i
            rows.append((_prel31(first, place) & ~1, int(second), place + 4))
        rows.sort(key=lambda row: row[0])
        self._starts = [start for start, _, _ in rows]
        self._entries = [(word, place) for _, word, place in rows]

    @property
    def starts(self) -> list[int]:
        """Where the functions begin that it covers, ordered."""
        return self._starts

    def whole(self) -> list[tuple[int, int]]:
        """Return [start, end) of the functions that have an entry of their own in `.ARM.extab`.

        Linkers join neighbouring entries that say the same in one word; these they leave alone.
        """
        following = [*self._starts[1:], 0]
        return [
            (start, end)
            for start, end, (word, _) in zip(self._starts, following, self._entries, strict=True)
            if word > 1 and not word & 0x80000000 and start < end
        ]

    def _instructions(self, word: int, place: int) -> bytes | None:
        """Return the unwind instructions of an entry, or None if it has none (EXIDX_CANTUNWIND)."""
        if word == 1:
            return None
        if word & 0x80000000:
            # Inline, for personality routine 0 only.
            return word.to_bytes(4, "big")[1:] if word >> 24 == 0x80 else None
        at = _prel31(word, place)
        raw = self._read(at, 4 * _MAX_WORDS)
        words: list[int] = [value for (value,) in struct.iter_unpack(self._order + "I", raw[: len(raw) & ~3])]
        if not words:
            return None
        if words[0] & 0x80000000:
            kind, head = words[0] >> 24 & 15, words[0].to_bytes(4, "big")
            if kind == 0:
                return head[1:]
            body, count, rest = head[2:], head[1], words[1:]
        elif len(words) > 1:
            # A personality routine of its own (C++): gcc's has the instructions in the same form.
            head = words[1].to_bytes(4, "big")
            body, count, rest = head[1:], head[0], words[2:]
        else:
            return None
        return body + b"".join(value.to_bytes(4, "big") for value in rest[:count])

    def at(self, vaddr: int) -> bytes | None:
        """Return the unwind instructions of the function at the file address `vaddr`, or None."""
        index = bisect.bisect_right(self._starts, vaddr) - 1
        return self._instructions(*self._entries[index]) if index >= 0 else None
