"""Search the code of a file: names, strings, and the text of instructions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from triage_tui.binary.call_graph import CallGraph
from triage_tui.binary.disassembly import lite_engine
from triage_tui.binary.symbols import ElfImage, parse_image
from triage_tui.errors import Stopped

Reader = Callable[[int, int], bytes]
_CHUNK = 1 << 16
MAX_LINE = 200


class CodeLine(msgspec.Struct, frozen=True):
    """One instruction that was found."""

    address: int
    function: str
    text: str


def reader_of(data: bytes, image: ElfImage) -> Reader:
    """Return what reads the loaded bytes of a file by file address: fewer at the end of a segment."""

    def read(address: int, size: int) -> bytes:
        for one in image.segments:
            if one.vaddr <= address < one.vaddr + one.file_size:
                at = one.offset + address - one.vaddr
                return data[at : min(at + size, one.offset + one.file_size)]
        return b""

    return read


def functions(graph: CallGraph, pattern: Any) -> list[int]:
    """Return the places of the functions whose name the pattern is in."""
    return [
        place
        for place, one in enumerate(graph.index.functions)
        if pattern.search(one.label[:1000]) is not None
    ]


def texts(graph: CallGraph, pattern: Any) -> list[int]:
    """Return the places of the strings that the pattern is in, those that are used first."""
    found = [place for place, one in enumerate(graph.index.texts) if pattern.search(one.text) is not None]
    return sorted(found, key=lambda place: not graph.users(place))


def lines(
    data: bytes, graph: CallGraph, pattern: Any, limit: int, cancel: threading.Event | None = None
) -> list[CodeLine]:
    """Return the first `limit` instructions whose text the pattern is in.

    Raises:
        Stopped: `cancel` was set.
    """
    read = reader_of(data, parse_image(data))
    engines = {
        thumb: lite_engine(graph.index.arch, thumb) for thumb in (False, True)[: 1 + _has_thumb(graph)]
    }
    found: list[CodeLine] = []
    for one in graph.index.functions:
        if one.origin == "import":
            continue
        if cancel is not None and cancel.is_set():
            raise Stopped("the search was stopped")
        for start in range(one.start, one.end, _CHUNK):
            code = read(start, min(_CHUNK, one.end - start))
            for address, _, mnemonic, operands in engines[one.thumb].disasm_lite(code, start):
                text = f"{mnemonic} {operands}".rstrip()
                if pattern.search(text) is not None:
                    found.append(CodeLine(address, one.label, text[:MAX_LINE]))
                    if len(found) >= limit:
                        return found
    return found


def _has_thumb(graph: CallGraph) -> bool:
    return graph.index.arch.startswith("arm")
