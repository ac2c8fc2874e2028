"""The plugin unixpeer: who is behind a socket that nobody serves, a local one or one of TCP or UDP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import ADDRESS, Configuration, Place, Settings, shown
from triage_tui.rulehost import peer_script
from triage_tui.text import number_of, safe_line

_SENDS = frozenset(("connect", "sendto", "sendmsg"))
_FAR = frozenset(("setsockopt", "recvfrom"))
_LOOKS = frozenset(
    str.split("open openat access faccessat faccessat2 stat lstat stat64 lstat64 newfstatat fstatat64 statx")
)
_LAST_PORT = 65535
_LONGEST_PATH = 107
"""struct sockaddr_un has 108 bytes, unix(7)."""

Count = Annotated[int, Meta(ge=0, le=peer_script.LONGEST_REPLY)]


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


class Reply(Settings, frozen=True, kw_only=True):
    """One step. Without one of the first three it answers any message; without `reply` it is silent."""

    equals: Text | None = None
    starts: Text | None = None
    contains: Text | None = None
    reply: Text | None = None
    once: bool = False
    hang_up: bool = False

    def fits(self) -> list[str]:
        """Return the names of those of the first three that are set."""
        return [name for name in ("equals", "starts", "contains") if getattr(self, name) is not None]


class Unixpeer(Configuration, frozen=True, kw_only=True):
    """The peer at `path`, at the name `abstract`, or at an `address` of IPv4. Without replies it only reads.

    `datagrams`: also what is sent without connecting reaches it. `hangs_up`: it does so at once. `visible`:
    who looks for the socket's name finds it. The others are those of a script, see docs/rules/helpers.md.
    """

    path: (
        Annotated[
            str,
            Meta(pattern=r"\A/[^\x00]*[^\x00/]\Z", max_length=_LONGEST_PATH, description="an absolute path"),
        ]
        | None
    ) = None
    abstract: Annotated[str, Meta(min_length=1, max_length=_LONGEST_PATH)] | None = None
    address: (
        Annotated[
            str,
            Meta(
                pattern=rf"\A{ADDRESS}:[0-9]{{1,5}}\Z",
                description='an IPv4 address and a port such as "127.0.0.1:80"',
            ),
        ]
        | None
    ) = None
    datagrams: bool = True
    hangs_up: bool = False
    visible: bool = False
    greeting: Text | None = None
    replies: Annotated[list[Reply], Meta(max_length=peer_script.MOST_STEPS)] = []
    ordered: bool = False
    border: Annotated[str, Meta(min_length=1, max_length=peer_script.LONGEST_NAME)] | None = None

    def hooks(self) -> frozenset[str]:
        """Connecting, sending to an address, and what the kind of the address needs."""
        calls = _SENDS if self.datagrams else frozenset(("connect",))
        if self.address is not None:
            calls |= _FAR if self.datagrams else frozenset(("setsockopt",))
        return calls | (_LOOKS if self.visible else frozenset())

    def after(self) -> frozenset[str]:
        """Whom a datagram is from."""
        return frozenset(("recvfrom",)) if self.address and self.datagrams else frozenset()

    def _name(self) -> str:
        if self.path is not None or self.address is not None:
            return safe_line(shown(self.path or self.address or ""), 120)
        return "@" + safe_line(shown(self.abstract or ""), 120)

    def sentence(self) -> str:
        """Name the peer, and what it does."""
        if self.hangs_up:
            does = "hangs up at once"
        elif self.replies:
            does = f"answers by a script of {number_of(len(self.replies), 'reply', 'replies')}"
        else:
            does = (
                "reads everything" + (" behind its greeting" if self.greeting else "") + " and never answers"
            )
        return f"Connects the program at {self._name()} to a peer that {does}"

    def deeds(self) -> Iterator[tuple[Place, str]]:
        """The peer and each reply."""
        yield (
            ("path" if self.path else "address" if self.address else "abstract",),
            f"connects {self._name()} to a peer of the engine",
        )
        if self.visible:
            yield ("visible",), f"lets the program find the name {self._name()} before it connects"
        if self.greeting is not None:
            yield ("greeting",), f"greets with {_size(self.greeting)}"
        for index, step in enumerate(self.replies):
            fits = step.fits()
            about = f"what {fits[0]} {_size(getattr(step, fits[0]))}" if fits else "any other message"
            told = f"answers {about} with {_size(step.reply)}" if step.reply is not None else f"takes {about}"
            told += " once" if step.once else ""
            yield ("replies", index), told + (" and hangs up" if step.hang_up else "")

    def claims(self) -> list[dict[str, str]]:
        """The peer."""
        return [{"peer": f"{'inet' if self.address else 'unix'}:{self._name()}"}]

    def problems(self) -> Iterator[tuple[Place, str]]:
        """No address or two, a script for who hangs up, parts that are none or several."""
        if [self.path, self.abstract, self.address].count(None) != 2:
            yield (), "one of `path`, `abstract` and `address` is wanted"
        if self.visible and self.path is None:
            yield ("visible",), "only a path is in a directory"
        if self.address is not None and not 0 < int(self.address.partition(":")[2]) <= _LAST_PORT:
            yield ("address",), "there is no such port"
        if self.hangs_up and (self.replies or self.greeting):
            yield ("hangs_up",), "who hangs up at once says nothing"
        if self.path is not None and ".." in self.path.split("/"):
            yield ("path",), "write the path without .."
        yield from _wrong_parts(self.greeting, ("greeting",), echo=False)
        for index, step in enumerate(self.replies):
            place = ("replies", index)
            if len(step.fits()) > 1:
                yield place, f"only one of {', '.join(step.fits())} can stand here"
            for name in step.fits():
                yield from _wrong_parts(getattr(step, name), (*place, name), echo=False)
            yield from _wrong_parts(step.reply, (*place, "reply"), echo=True)


def _wrong_parts(text: Text | None, place: Place, *, echo: bool) -> Iterator[tuple[Place, str]]:
    for index, part in enumerate(text if isinstance(text, list) else []):
        if isinstance(part, str):
            continue
        if len(part.given()) != 1:
            yield (*place, index), f"one of {', '.join(part.__struct_fields__)} is wanted"
        if part.echo is not None and not echo:
            yield (*place, index, "echo"), "only a reply can repeat a piece of the message"


def _size(text: Text | None) -> str:
    """Return a text as it stands, or of how many parts it is made."""
    if isinstance(text, str):
        return f'"{safe_line(shown(text), 60)}"'
    return number_of(len(text or []), "part")
