"""Where the code of a function can come from, best first; each source says what it is."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from triage_tui.binary.code import CodeReader
from triage_tui.binary.modules import Location
from triage_tui.runs.frame_model import Frame, PseudocodeRef


class CodePoint(msgspec.Struct, frozen=True):
    """A place in a frozen guest whose function is wanted. Addresses are run-time addresses."""

    addr: int
    location: Location | None
    """Where `addr` (of a return address: the call in front of it) lies; None outside of all modules."""
    thumb: bool = False
    is_return: bool = False
    """`addr` is a return address."""
    start: int | None = None
    """Where the function starts by other evidence than symbols."""


class FunctionCode(msgspec.Struct, frozen=True):
    """The code of one function as text."""

    text: str
    kind: Literal["pseudocode", "disassembly"]
    provenance: str
    """"pseudocode from SFAnalysis", "decompiled by angr 9.2", "disassembly"."""
    name: str | None = None
    """The function's name as the source knows it."""
    prototype: str | None = None
    offset: int | None = None
    """Bytes from the function's start to the point, where the source knows the start."""
    truncated: bool = False
    variables: tuple[tuple[str, str, str], ...] = ()
    """(name, type, "parameter" | "variable") as the source knows them."""
    refers: tuple[tuple[int, int], ...] = ()
    """Run-time addresses of data that the code names, each with how many lines from the point that is."""

    def reference(self, frame: Frame, file: str) -> PseudocodeRef:
        """Return how a record refers to this code as that of `frame`, kept under the name `file`."""
        return PseudocodeRef(
            frame=frame.idx,
            addr_hex=frame.addr_hex,
            file=file,
            truncated=self.truncated,
            kind=self.kind,
            provenance=self.provenance,
        )


class CodeSource(Protocol):
    """Something that has code of functions."""

    def function(self, point: CodePoint) -> FunctionCode | None:
        """Return the code of the function that holds `point`, or None if the source has none.

        Raises:
            TriageError: it should have it but cannot give it; the text says why.
        """
        ...


class Disassembly(msgspec.Struct, frozen=True):
    """The last source: it has code wherever memory can be read."""

    reader: CodeReader

    def function(self, point: CodePoint) -> FunctionCode:
        """Return an annotated listing."""
        listing = self.reader.listing(
            point.addr, thumb=point.thumb, is_return=point.is_return, start=point.start
        )
        point_line = listing.marked or 0
        return FunctionCode(
            listing.text,
            "disassembly",
            "disassembly",
            truncated=listing.truncated,
            refers=tuple((addr, line - point_line) for addr, line in listing.refers),
        )
