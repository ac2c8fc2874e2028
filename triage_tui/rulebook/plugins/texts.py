"""Texts that are made of typed parts, in the layout of the program that they are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import Place, Settings, shown
from triage_tui.rulehost import peer_script
from triage_tui.text import number_of, safe_line

Count = Annotated[int, Meta(ge=0, le=peer_script.LONGEST_REPLY)]
_WIDEST = 8


class Part(Settings, frozen=True, kw_only=True):
    """A piece of a text, one of these: a number as the program lays it out, or in network order (`be16`,
    `be32`); so many zeros; in a reply a piece of the message, from an offset on (`echo = { offset, count }`).
    """

    u8: Annotated[int, Meta(ge=0, le=0xFF)] | None = None
    i8: Annotated[int, Meta(ge=-0x80, le=0x7F)] | None = None
    u16: Annotated[int, Meta(ge=0, le=0xFFFF)] | None = None
    i16: Annotated[int, Meta(ge=-0x8000, le=0x7FFF)] | None = None
    u32: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] | None = None
    i32: Annotated[int, Meta(ge=-0x80000000, le=0x7FFFFFFF)] | None = None
    u64: Annotated[int, Meta(ge=0)] | None = None
    i64: int | None = None
    word: Annotated[int, Meta(ge=-0x80000000, le=0x7FFFFFFF)] | None = None
    be16: Annotated[int, Meta(ge=0, le=0xFFFF)] | None = None
    be32: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] | None = None
    zeros: Count | None = None
    echo: Annotated[list[Count], Meta(min_length=2, max_length=2)] | None = None

    def given(self) -> list[str]:
        """Return the names of what is set."""
        return [name for name in self.__struct_fields__ if getattr(self, name) is not None]


Text: TypeAlias = str | Annotated[list[str | Part], Meta(min_length=1, max_length=peer_script.MOST_PARTS)]
"""A text, or the parts of one."""


def wrong_parts(text: Text | None, place: Place, *, echo: bool) -> Iterator[tuple[Place, str]]:
    """Yield which parts are none or several, and those that repeat a message where there is none (`echo`)."""
    for index, part in enumerate(text if isinstance(text, list) else []):
        if isinstance(part, str):
            continue
        if len(part.given()) != 1:
            yield (*place, index), f"one of {', '.join(part.__struct_fields__)} is wanted"
        if part.echo is not None and not echo:
            yield (*place, index, "echo"), "only a reply can repeat a piece of the message"


def size_at_most(text: Text) -> int:
    """Return how many bytes a text without pieces of a message has at most."""
    if isinstance(text, str):
        return len(text)
    return sum(len(part) if isinstance(part, str) else part.zeros or _WIDEST for part in text)


def size_in_words(text: Text | None) -> str:
    """Return a text as it stands, or of how many parts it is made."""
    if isinstance(text, str):
        return f'"{safe_line(shown(text), 60)}"'
    return number_of(len(text or []), "part")
