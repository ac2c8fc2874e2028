"""What is known of the code of one file: functions, who calls whom, strings and who uses them.

All addresses are the file's own. Lists refer to each other by place, so that the whole is small on the disk.
"""

from __future__ import annotations

from typing import Literal

import msgspec

INDEX_VERSION = 7

Origin = Literal["symbol", "entry", "unwind", "call", "pointer", "prologue", "import"]
"""How a function was found: the file names it; it is started by the loader; an unwind table has it; it is
called; its address is in data or taken by code; code behind the end of another looks like its beginning; it
is another file's."""

EdgeKind = Literal["call", "jump", "pointer", "table"]
"""`call`, `jump`: the one goes to the other (a jump in place of a call before a return); `pointer`: the one
takes the other's address; `table`: the one refers to data in which the other's address stands."""
CERTAIN: tuple[EdgeKind, ...] = ("call", "jump")


class Function(msgspec.Struct, array_like=True, gc=False):
    """One function [start, end), or an imported one, whose `start` and `end` are 0."""

    start: int
    end: int
    name: str
    """Empty where nobody names it."""
    origin: Origin
    thumb: bool = False
    complexity: int = 1
    """Conditional branches + 1 (McCabe); a jump by a table counts its ways less one in ARM and MIPS code
    where they are known, and as none anywhere else."""
    indirect: int = 0
    """Calls whose target is not known."""
    exported: bool = False

    @property
    def label(self) -> str:
        """Its name, else its address as `sub_10400`."""
        return self.name or f"sub_{self.start:x}"


class Edge(msgspec.Struct, array_like=True, gc=False):
    """Function `caller` leads to function `callee`, by their places."""

    caller: int
    callee: int
    kind: EdgeKind
    sites: list[int]
    """The instructions that do, by address; at least one."""

    @property
    def site(self) -> int:
        """The first of the instructions."""
        return self.sites[0]


class Text(msgspec.Struct, array_like=True, gc=False):
    """A string in the data."""

    address: int
    text: str
    """Raw; at most MAX_TEXT characters of it."""


class TextUse(msgspec.Struct, array_like=True, gc=False):
    """A function refers to a string, by their places; `site` is the instruction."""

    text: int
    function: int
    site: int


class BinaryIndex(msgspec.Struct):
    """The index of one file."""

    sha256: str
    arch: str
    size: int
    """Bytes of the file."""
    code_bytes: int = 0
    instructions: int = 0
    functions: list[Function] = []
    """By start; imported ones come first."""
    edges: list[Edge] = []
    """By caller, then by the first site."""
    texts: list[Text] = []
    """By address."""
    uses: list[TextUse] = []
    """By function, then by site."""
    entries: list[int] = []
    """Places of the functions that the loader starts."""
    stripped: bool = False
    """No symbol table says where functions are."""
    problems: list[str] = []
    """What could not be read, one sentence each."""
    seconds: float = 0.0
    """How long it took."""
    version: int = INDEX_VERSION
