"""The plugin nvram: a store of keys and values, asked as the programs of routers ask it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import (
    OPENS,
    STATS,
    Claim,
    Configuration,
    Path,
    Place,
    shown,
    spelled,
)
from triage_tui.text import number_of, safe_line

Name = Annotated[
    str, Meta(pattern=r"\A[^=\x00\n]{1,200}\Z", description="a key without '=' and of 1 to 200 bytes")
]
Text = Annotated[
    str, Meta(pattern=r"\A[^\x00]*\Z", max_length=32768, description="a text without zero bytes")
]
_ON_DESCRIPTOR = frozenset(
    str.split(
        "read readv write writev ioctl pread64 pwrite64 preadv pwritev preadv2 pwritev2"
        " sendfile sendfile64 splice copy_file_range ftruncate ftruncate64"
    )
)
"""Every call that reads or changes what is behind a descriptor; some are refused."""
_ROOM = 1024
"""For what the program sets."""


class Nvram(Configuration, frozen=True, kw_only=True):
    """The store. Without `default` a key that is not there is told as not set."""

    path: Path = "/dev/nvram"
    interface: Literal["device", "image"] = "device"
    keys: dict[Name, Text]
    default: Text | None = None
    size: Annotated[int, Meta(ge=4096, le=1 << 19)] = 1 << 17

    def hooks(self) -> frozenset[str]:
        """Looking for the device; an image is read as a file is."""
        looks = (OPENS - {"creat"}) | STATS | {"access", "faccessat", "faccessat2", "fstat", "fstat64"}
        return looks | (_ON_DESCRIPTOR if self.interface == "device" else frozenset())

    def sentence(self) -> str:
        """Name the store."""
        return (
            f"Stands for the key store {spelled(self.path)} with {number_of(len(self.keys), 'key')},"
            " and logs the keys that are asked for"
        )

    def deeds(self) -> Iterator[tuple[Place, str]]:
        """What each key gives."""
        how = "an image of flash memory" if self.interface == "image" else "a device that gives values"
        yield ("path",), f"lets the program find {spelled(self.path)}, {how}"
        for name, value in self.keys.items():
            yield ("keys", name), safe_line(b"gives " + shown(name) + b" the value " + shown(value), 200)
        if self.default is not None:
            yield ("default",), f"gives every other key the value {safe_line(shown(self.default), 100)!r}"

    def claims(self) -> list[Claim]:
        """Looking for the device, and what is done with a descriptor of it."""
        return [Claim(self.hooks(), {"path": spelled(self.path)})]

    def problems(self) -> Iterator[tuple[Place, str]]:
        """More than the store has room for."""
        if ".." in self.path.split("/"):
            yield ("path",), "write the path without .."
        used = sum(len(name) + len(value) + 2 for name, value in self.keys.items()) + _ROOM
        if used > self.size:
            yield ("keys",), f"these need {used} bytes, the store has {self.size}: give it a larger size"
        if self.interface == "image" and self.default is not None:
            yield ("default",), "an image cannot know which keys are asked for"
