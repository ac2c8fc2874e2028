"""Pointers followed through recorded memory, as pwndbg's telescope does: value, what is there, what that is.

Nothing is guessed: a chain ends where the record ends, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from triage_tui.runs.place_names import PlaceName

MAX_HOPS = 5
"""Addresses of one chain."""
MAX_TEXT = 120
"""Bytes that are looked at of a string."""
LOWEST_POINTER = 0x1000
"""Smaller values are numbers."""

End = Literal["text", "code", "value", "unrecorded", "cycle", "longer"]
"""How a chain ends: a string is there; it can be executed; a number is there; the bytes were not recorded;
it comes back to one of its addresses; it goes on."""


class Machine(NamedTuple):
    """What is needed of an architecture to read a pointer."""

    word: int
    """Bytes of a pointer."""
    endian: Literal["little", "big"]


class Hop(NamedTuple):
    """One address of a chain."""

    address: int
    place: PlaceName
    recorded: bool
    """Whether its bytes are in the record."""


class Chain(msgspec.Struct, frozen=True):
    """A value that is an address, and where it leads. `hops[0]` is the value itself."""

    hops: tuple[Hop, ...]
    end: End
    text: str = ""
    """With `text`: the string, raw."""
    size: int = 0
    """With `text`: its bytes."""
    value: int = 0
    """With `value`: the number. With `cycle`: the address that it comes back to."""
    cut: bool = False
    """The string goes on behind what was looked at or recorded."""


Read = Callable[[int, int], bytes]
Where = Callable[[int], PlaceName | None]


def telescope(value: int, machine: Machine, read: Read, where: Where) -> Chain | None:
    """Follow `value`; None when it is no address.

    `read(address, size)` returns what was recorded, which may be less; `where(address)` names what is mapped.
    """
    hops: list[Hop] = []
    seen: set[int] = set()
    address = value
    while True:
        place = where(address) if address >= LOWEST_POINTER else None
        if place is None:
            # Only the first value can be none: the others were looked up before they were followed.
            return None
        if address in seen:
            return Chain(tuple(hops), "cycle", value=address)
        if len(hops) == MAX_HOPS:
            return Chain(tuple(hops), "longer")
        seen.add(address)
        data = read(address, MAX_TEXT)
        hops.append(Hop(address, place, bool(data)))
        if place.code:
            return Chain(tuple(hops), "code")
        if len(data) < min(machine.word, 2):
            return Chain(tuple(hops), "unrecorded")
        word = int.from_bytes(data[: machine.word], machine.endian) if len(data) >= machine.word else None
        points = word is not None and word >= LOWEST_POINTER and where(word) is not None
        found = string_in(data, least=6 if points else 2)
        if found is not None:
            text, size, cut = found
            return Chain(tuple(hops), "text", text=text, size=size, cut=cut)
        if word is None:
            return Chain(tuple(hops), "unrecorded")
        if not points:
            return Chain(tuple(hops), "value", value=word)
        address = word


def string_in(data: bytes, least: int = 4) -> tuple[str, int, bool] | None:
    """Return the C string that `data` begins with, its bytes, and whether it goes on; None if it is none.

    It has `least` characters at least, and eight where its end was not recorded.
    """
    end = data.find(b"\0")
    raw = data if end < 0 else data[:end]
    if end < 0:
        # A character may have been cut through.
        raw = raw[: len(raw) - _cut_bytes(raw)]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if len(text) < (least if end >= 0 else max(8, least)):
        return None
    if not all(char.isprintable() or char in "\t\r\n" for char in text):
        return None
    return text, len(raw), end < 0


def _cut_bytes(raw: bytes) -> int:
    """Return how many bytes at the end begin a UTF-8 character that goes on behind it."""
    for count in range(1, min(4, len(raw) + 1)):
        byte = raw[-count]
        if byte & 0xC0 == 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return count if length > count else 0
        if byte & 0xC0 != 0x80:
            return 0
    return 0
