"""What a scripted peer says: the script that a rule gives with `c_connect_peer(fd, "script", script)`.

It comes from the rule host in a flat row of numbers and texts, and counts as hostile like the rest of what
that says: everything has a bound, and nothing in it is ever executed or taken for a pattern.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

Fit = Literal["equals", "starts", "contains", "any"]
"""How a message is held against a step's text: it is that, begins with it, has it in it, or is any."""

FITS: tuple[Fit, ...] = ("equals", "starts", "contains", "any")
"""By the numbers under which they are sent."""

MOST_STEPS = 256
MOST_PARTS = 64
MOST_BYTES = 1 << 18
"""Of all texts of one script."""
LONGEST_REPLY = 1 << 16
LONGEST_NAME = 256

ORDERED = 1
ONCE, ENDS = 1, 2
"""Flags of a script, and of a step."""

Part: TypeAlias = bytes | tuple[int, int]
"""A piece of a reply: bytes as they are, or a piece of the message (offset, count)."""


class PeerStep(msgspec.Struct, frozen=True):
    """A reply: to what, made of what, whether only once, and whether the peer hangs up behind it."""

    fit: Fit
    text: bytes
    reply: tuple[Part, ...]
    once: bool = False
    ends: bool = False


class PeerScript(msgspec.Struct, frozen=True):
    """What the peer says.

    `name` is the peer's in the log. `greeting` is sent at once. Of the steps the first that fits answers;
    with `ordered` only the one behind the last that answered is looked at. `border` ends each message on a
    stream: without it, a message is what arrives at once.
    """

    name: str
    greeting: bytes = b""
    steps: tuple[PeerStep, ...] = ()
    ordered: bool = False
    border: bytes = b""


def read_script(row: Iterator[int | bytes]) -> PeerScript:
    """Return the script in `row`: name, greeting, border, flags, then each step.

    A step is the number of its fit, its text, its flags, the count of its parts, and these: bytes, or two
    numbers.

    Raises:
        ValueError: it is not one, or goes beyond a bound.
    """
    reader = _Reader(row)
    name = reader.text(LONGEST_NAME).decode("utf-8", "backslashreplace")
    greeting, border, flags = reader.text(LONGEST_REPLY), reader.text(LONGEST_NAME), reader.number(ORDERED)
    steps: list[PeerStep] = []
    for first in row:
        if len(steps) == MOST_STEPS:
            raise ValueError("too many steps")
        fit = FITS[_within(first, len(FITS) - 1)]
        text, how = reader.text(LONGEST_REPLY), reader.number(ONCE | ENDS)
        parts = tuple(reader.part() for _ in range(reader.number(MOST_PARTS)))
        steps.append(PeerStep(fit, text, parts, bool(how & ONCE), bool(how & ENDS)))
    return PeerScript(name, greeting, tuple(steps), bool(flags & ORDERED), border)


def _within(value: int | bytes, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError("a number is out of its range")
    return value


class _Reader:
    def __init__(self, row: Iterator[int | bytes]) -> None:
        self._row = row
        self._left = MOST_BYTES

    def _next(self) -> int | bytes:
        value = next(self._row, None)
        if value is None:
            raise ValueError("the script is cut short")
        return value

    def text(self, longest: int) -> bytes:
        return self._bytes(self._next(), longest)

    def _bytes(self, value: int | bytes, longest: int) -> bytes:
        if not isinstance(value, bytes) or len(value) > longest:
            raise ValueError("a text is missing or too long")
        self._left -= len(value)
        if self._left < 0:
            raise ValueError("the texts are too long together")
        return value

    def number(self, most: int) -> int:
        return _within(self._next(), most)

    def part(self) -> Part:
        value = self._next()
        if isinstance(value, bytes):
            return self._bytes(value, LONGEST_REPLY)
        return _within(value, LONGEST_REPLY), self.number(LONGEST_REPLY)


def reply_to(step: PeerStep, message: bytes) -> bytes:
    """Return what a step answers to `message`, at most `LONGEST_REPLY` bytes.

    Of a message that is shorter than a part wants, zeros are taken.
    """
    answer = bytearray()
    for part in step.reply:
        if isinstance(part, bytes):
            answer += part
        else:
            offset, count = part
            answer += message[offset : offset + count].ljust(count, b"\0")
        if len(answer) >= LONGEST_REPLY:
            break
    return bytes(answer[:LONGEST_REPLY])
