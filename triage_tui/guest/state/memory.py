"""Guest memory as the views read it: cached, bounded, and never failing for an unreadable address."""

from __future__ import annotations

import bisect
import copy
import struct
import sys
from collections.abc import Sequence
from typing import Protocol

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.arch.model import Endian
from triage_tui.runs.process_model import Mapping

PAGE = 4096
"""Unit of reading and caching, in bytes."""

MAX_READ = 1 << 20
"""Most bytes that one read returns."""
_ROW = 16
"""Bytes of code that are looked at in a row in about the time of one read."""


class OutOfWorkError(Exception):
    """More was read than a metered view may."""


class MemorySource(Protocol):
    """Where guest memory comes from: a frozen guest or a recorded one."""

    def read_memory(self, addr: int, size: int) -> bytes:
        """Return up to `size` bytes at the guest address `addr`; may raise for unreadable ones."""
        ...

    def maps(self) -> Sequence[Mapping]:
        """Return the guest's mappings."""
        ...


class Memory:
    """A frozen guest's memory, read page by page and kept; valid until the guest runs again."""

    def __init__(self, source: MemorySource, arch: Arch) -> None:
        self._source = source
        self._pages: dict[int, bytes] = {}
        self.arch = arch
        try:
            self.maps: list[Mapping] = sorted(source.maps(), key=lambda mapping: mapping.start)
        except (OSError, TriageError, ValueError):
            self.maps = []
        self._has_code = any("x" in mapping.perms for mapping in self.maps)
        self._code_endian: Endian = arch.instruction_endian
        self._left = sys.maxsize

    def metered(self, reads: int) -> Memory:
        """Return a view that can be read so often and no more; its methods raise `OutOfWorkError` then."""
        view = copy.copy(self)
        view._left = reads
        return view

    def _page(self, base: int) -> bytes:
        page = self._pages.get(base)
        if page is None:
            try:
                page = bytes(self._source.read_memory(base, PAGE))[:PAGE]
            except (OSError, TriageError, ValueError, OverflowError):
                page = b""
            self._pages[base] = page
        return page

    def read(self, addr: int, size: int) -> bytes:
        """Return the bytes from `addr` on up to the first unreadable one, at most `size` (and MAX_READ)."""
        self._left -= 1
        if self._left < 0:
            raise OutOfWorkError
        parts: list[bytes] = []
        left = min(size, MAX_READ)
        while left > 0 and 0 <= addr <= self.arch.word_mask:
            base = addr & ~(PAGE - 1)
            part = self._page(base)[addr - base : addr - base + left]
            if not part:
                break
            parts.append(part)
            addr += len(part)
            left -= len(part)
        return b"".join(parts)

    def code_units(self, addr: int, size: int, unit: int) -> Sequence[int]:
        """Return the instruction units of `unit` bytes (2 or 4) in the `size` bytes from `addr` on.

        They end at the first that is not readable. A long row costs a metered view what a few reads do.
        """
        self._left -= size // _ROW
        data = self.read(addr, size)
        order = "<" if self._code_endian == "little" else ">"
        count = len(data) // unit
        return struct.unpack_from(f"{order}{count}{'H' if unit == 2 else 'I'}", data)

    def _number(self, addr: int, size: int, endian: Endian) -> int | None:
        # Unwinding reads millions of small numbers from few pages: each call in between is felt.
        self._left -= 1
        if self._left < 0:
            raise OutOfWorkError
        at = addr & (PAGE - 1)
        page = self._pages.get(addr - at, b"")
        data = page[at : at + size] if at + size <= len(page) else self.read(addr, size)
        return int.from_bytes(data, endian) if len(data) == size else None

    def word(self, addr: int) -> int | None:
        """Return the machine word at `addr`, or None if it is not readable."""
        return self._number(addr, self.arch.word, self.arch.endian)

    def instruction(self, addr: int) -> int | None:
        """Return the 32-bit instruction word at `addr`, or None if it is not readable."""
        return self._number(addr, 4, self._code_endian)

    def halfword(self, addr: int) -> int | None:
        """Return the 16-bit instruction unit at `addr`, or None if it is not readable."""
        return self._number(addr, 2, self._code_endian)

    def c_string(self, addr: int, limit: int = 256) -> bytes | None:
        """Return the NUL-terminated bytes at `addr` without the NUL; None if `limit` bytes hold none."""
        data = self.read(addr, limit)
        end = data.find(0)
        return data[:end] if end >= 0 else None

    def mapping(self, addr: int) -> Mapping | None:
        """Return the mapping that holds `addr`, or None."""
        index = bisect.bisect_right(self.maps, addr, key=lambda mapping: mapping.start) - 1
        return self.maps[index] if index >= 0 and addr < self.maps[index].end else None

    def may_hold_code(self, addr: int) -> bool:
        """Say whether instructions may lie at `addr`.

        QEMU's own host mappings never carry the guest's x bit: without any x in the list every readable
        mapping of a file counts.
        """
        mapping = self.mapping(addr)
        if mapping is None:
            return not self.maps and bool(self.read(addr, 2))
        if self._has_code:
            return "x" in mapping.perms
        return "r" in mapping.perms and bool(mapping.path)
