"""The plugin unixpeer: who is behind a socket that nobody serves, a local one or one of TCP or UDP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import (
    ADDRESS,
    Claim,
    Configuration,
    Place,
    Settings,
    shown,
    spelled,
)
from triage_tui.rulebook.plugins.texts import Text, size_in_words, wrong_parts
from triage_tui.rulehost import peer_script
from triage_tui.text import number_of, safe_line

_SENDS = frozenset(("connect", "sendto", "sendmsg"))
_RECEIVES = frozenset(("recvfrom", "recvmsg"))
_FAR = _RECEIVES | {"setsockopt"}
_LOOKS = frozenset(
    str.split("open openat access faccessat faccessat2 stat lstat stat64 lstat64 newfstatat fstatat64 statx")
)
_LAST_PORT = 65535
_LONGEST_PATH = 107
"""struct sockaddr_un has 108 bytes, unix(7)."""


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
        return _RECEIVES if self.address and self.datagrams else frozenset()

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
            yield ("greeting",), f"greets with {size_in_words(self.greeting)}"
        for index, step in enumerate(self.replies):
            fits = step.fits()
            about = f"what {fits[0]} {size_in_words(getattr(step, fits[0]))}" if fits else "any other message"
            told = (
                f"answers {about} with {size_in_words(step.reply)}"
                if step.reply is not None
                else f"takes {about}"
            )
            told += " once" if step.once else ""
            yield ("replies", index), told + (" and hangs up" if step.hang_up else "")

    def claims(self) -> list[Claim]:
        """Reaching the peer, what is asked of the socket then, and, when it is visible, looking for it."""
        sends = self.hooks() & _SENDS
        claims = [Claim(sends, {"peer": f"{'inet' if self.address else 'unix'}:{self._name()}"})]
        if later := self.hooks() & _FAR:
            # The record does not say which socket these are about.
            claims.append(Claim(later, {"descriptor": self._name()}))
        if self.visible and self.path is not None:
            directory = self.path.rpartition("/")[0] or "/"
            claims += [Claim(_LOOKS, {"path": spelled(path)}) for path in (self.path, directory)]
        return claims

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
        yield from wrong_parts(self.greeting, ("greeting",), echo=False)
        for index, step in enumerate(self.replies):
            place = ("replies", index)
            if len(step.fits()) > 1:
                yield place, f"only one of {', '.join(step.fits())} can stand here"
            for name in step.fits():
                yield from wrong_parts(getattr(step, name), (*place, name), echo=False)
            yield from wrong_parts(step.reply, (*place, "reply"), echo=True)
