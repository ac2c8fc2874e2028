"""The form of a target file: what may stand in it, by which its JSON Schema is made (docs/campaign.md)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_TARGETS = 100_000
MAX_WORDS = 256
MAX_TIME_LIMIT_S = 86_400.0
MAX_USER = 65_535

Word = Annotated[str | int | float | bool, Meta(description="Taken as it is written.")]
AbsolutePath = Annotated[str, Meta(pattern="^/")]
Words = Annotated[list[Word], Meta(max_length=MAX_WORDS)]
UserId = Annotated[int, Meta(ge=0, le=MAX_USER)]
Seconds = Annotated[float, Meta(gt=0, le=MAX_TIME_LIMIT_S)]


class Defaults(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What holds for every target that does not say otherwise, those that are found in roots among them."""

    group: str = ""
    """Name of the firmware, or whatever targets are told apart by."""
    cwd: AbsolutePath = "/"
    env: dict[str, Word] = {}
    """Added to PATH; what a target says itself counts."""
    user: UserId = 0
    stdin: str | None = None
    """"open": a pipe into which nobody writes; else a file of the host; null for none."""
    interfaces: Words = []
    """Network interfaces besides lo."""
    qemu_args: Words = []
    probes: Words = []
    """Questions to its service, as `run --probe` takes them."""
    time_limit_s: Seconds = 60.0


class RootEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A root file system in which services are looked for."""

    root: str
    """Its directory; a relative one is below that of the target file."""
    group: str = ""
    only: Words = []
    """Names of services, or patterns as `http*`; none: all."""
    without: Words = []
    """The same, for those that are not wanted."""


class TargetEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One program to run."""

    root: str
    """The directory of its root file system; a relative one is below that of the target file."""
    program: AbsolutePath
    """Its path inside the root."""
    name: str = ""
    argv: Words = []
    """All arguments, the name of the program first; either these or `args`."""
    args: Words = []
    """The arguments behind the name."""
    group: str = ""
    cwd: AbsolutePath = "/"
    env: dict[str, Word] = {}
    user: UserId = 0
    stdin: str | None = None
    interfaces: Words = []
    qemu_args: Words = []
    probes: Words = []
    time_limit_s: Seconds = 60.0


class TargetFileForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: Literal[1]
    defaults: Defaults = msgspec.field(default_factory=Defaults)
    roots: list[RootEntry | str] = []
    targets: Annotated[list[TargetEntry], Meta(max_length=MAX_TARGETS)] = []
