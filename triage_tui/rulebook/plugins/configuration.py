"""What every plugin's configuration is: a table of constants of one form, with words about what it does.

A plugin is three things under one name: a `Configuration` in this package, `NAME.lua` in the shipped
`rules/lua/`, and its section in `docs/rules/plugins.md`. Texts of a table are bytes in Lua; here each byte is
one character (ISO 8859-1), so that texts can be held against patterns and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, TypeAlias

import msgspec

from triage_tui.text import safe_line

Place: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a configuration: names of settings, keys, and numbers in lists from 0."""

Path: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"\A/[^\x00]*\Z", max_length=4095, description="an absolute path")
]
"""An absolute path of the guest. Where a pattern is not met, its description says what is wanted."""


Mode = Annotated[int, msgspec.Meta(ge=0, le=0o7777)]

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
ADDRESS = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
"""Expression of an IPv4 address."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A table of named settings in a configuration."""


class Claim(msgspec.Struct, frozen=True):
    """Calls at which a plugin acts: those of `calls` that meet all `fields` of a match ({"path": "/etc/x"}).

    A field that no record has ("descriptor") leaves it open which they are. `first` are the texts of the
    first argument, as the emulator's log has it, where it depends on that; empty for any.
    """

    calls: frozenset[str]
    fields: Mapping[str, str] = msgspec.field(default_factory=dict)
    first: frozenset[str] = frozenset()


class Configuration(Settings, frozen=True, kw_only=True):
    """The whole configuration of a plugin."""

    def hooks(self) -> frozenset[str]:
        """Return the guest syscalls about which the plugin has to be asked."""
        raise NotImplementedError

    def after(self) -> frozenset[str]:
        """Return those of them whose results it has to see."""
        return frozenset()

    def sentence(self) -> str:
        """Return what it does with this configuration, as one sentence without its full stop."""
        raise NotImplementedError

    def deeds(self) -> Iterator[tuple[Place, str]]:
        """Yield what it does for each thing that is configured, and where that stands."""
        yield from ()

    def claims(self) -> list[Claim]:
        """Return which of the calls that it hooks it acts at."""
        return [Claim(self.hooks())]

    def problems(self) -> Iterator[tuple[Place, str]]:
        """Yield what is wrong although every value has its right form."""
        yield from ()


def path_problems(path: str, seen: set[str]) -> Iterator[str]:
    """Yield what is wrong with a path behind those that were `seen`, whatever its spelling; it is added."""
    parts = path.split("/")
    if ".." in parts:
        yield "write the path without .."
        return
    plain = "/" + "/".join(part for part in parts if part not in ("", "."))
    if plain == "/":
        yield "the root itself is always there: name what is in it"
    elif plain in seen:
        yield f"this path is there twice: {safe_line(shown(plain), 200)}"
    seen.add(plain)


OPENS = frozenset(("open", "openat", "openat2", "creat"))
"""Calls that open a file by its path."""
STATS = frozenset(("stat", "lstat", "stat64", "lstat64", "newfstatat", "fstatat64", "statx"))


def directories(paths: Iterable[str]) -> list[str]:
    """Return the directories on the way to these paths, as `spelled`: who lists them finds these."""
    found = set()
    for path in paths:
        parents = PurePosixPath(path).parents
        found |= {spelled(str(parent)) for parent in parents[: max(1, len(parents) - 1)]}
    return sorted(found)


def spelled(path: str) -> str:
    """Return a path of a configuration as a match in a header has it."""
    return safe_line(shown(path), 200)


def shown(text: str) -> bytes:
    """Return the guest's bytes of a text of a configuration."""
    return text.encode("latin-1")
