"""AArch64: pages and what lies in them."""

from __future__ import annotations

import re
from typing import ClassVar

from triage_tui.binary.sweep.follower import Follower, Handler, number

_MEMORY = re.compile(r"(\w+), \[(\w+)(?:, #(-?\w+))?\](!?)\Z")
_CONDITIONS = ("eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le")
_CALLER_SAVED = frozenset(f"x{index}" for index in (*range(19), 30))


class Aarch64Follower(Follower):
    """Follows AArch64 code."""

    clobbered: ClassVar[frozenset[str]] = _CALLER_SAVED

    def _handlers(self) -> dict[str, Handler]:
        quiet = ("str", "strb", "strh", "stur", "cmp", "cmn", "tst", "ccmp", "nop", "bti", "hint", "fcmp")
        return {
            **dict.fromkeys(quiet, self._nothing),
            **dict.fromkeys((f"b.{condition}" for condition in _CONDITIONS), self._branch),
            **dict.fromkeys(("cbz", "cbnz", "tbz", "tbnz"), self._branch),
            "adrp": self._adrp,
            "adr": self._adr,
            "add": self._add,
            "ldr": self._ldr,
            "mov": self._mov,
            "movz": self._mov,
            "bl": self._bl,
            "blr": self._blr,
            "b": self._b,
            "br": self._br,
            "ret": self._ret,
            "udf": self._stop,
            "brk": self._stop,
            "stp": self._stp,
            "paciasp": self._start,
        }

    def padding(self, data: bytes) -> int:
        """Zeros and `nop`."""
        return 4 if data in (bytes(4), b"\x1f\x20\x03\xd5") else 0

    def _nothing(self, _address: int, _size: int, _operands: str) -> None:
        """Changes no register that is followed."""

    def _adrp(self, _address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        self.step(name, number(text) or 0)

    def _adr(self, address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        self.make(address, name, number(text) or 0)

    def _add(self, address: int, _size: int, operands: str) -> None:
        parts = operands.split(", ")
        first = self.values.get(parts[1])
        second = number(parts[2]) if len(parts) == 3 else None
        if first is None or second is None:
            self.forget(parts[0])
        else:
            self.make(address, parts[0], first + second, parts[1])

    def _ldr(self, address: int, _size: int, operands: str) -> None:
        match = _MEMORY.match(operands)
        if match is None:
            name, _, text = operands.partition(", ")
            slot = number(text)
            if slot is not None and name[:1] == "x":
                self.notes.literals |= {slot, slot + 4}
                self.load(address, name, slot)
            else:
                self.forget(name)
            return
        name, base, offset, written = match.groups()
        start = self.values.get(base)
        if start is None or written:
            self.forget(name)
            return
        slot = start + int(offset or "0", 0)
        if name[:1] == "x":
            self.load(address, name, slot)
        else:
            self.forget(name)
            self.mention(address, slot)

    def _mov(self, address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        value = number(text)
        if value is None:
            self.copy(name, text)
        else:
            self.forget(name)
            self.mention(address, value)

    def _bl(self, address: int, size: int, operands: str) -> None:
        self.call(address, address + size, number(operands) or 0)

    def _blr(self, address: int, size: int, operands: str) -> None:
        self.call_register(address, address + size, operands)

    def _b(self, address: int, size: int, operands: str) -> None:
        self.jump(address, address + size, number(operands) or 0)

    def _branch(self, address: int, _size: int, operands: str) -> None:
        self.branch(address, number(operands.rpartition(", ")[2]) or 0)

    def _br(self, address: int, size: int, operands: str) -> None:
        self.jump_register(address, address + size, operands)

    def _ret(self, address: int, size: int, _operands: str) -> None:
        self.end(address + size)

    def _stop(self, address: int, size: int, _operands: str) -> None:
        self.end(address + size)

    def _stp(self, address: int, _size: int, operands: str) -> None:
        if operands.startswith("x29, x30, [sp, #-"):
            self.prologue(address)

    def _start(self, address: int, _size: int, _operands: str) -> None:
        self.prologue(address)
