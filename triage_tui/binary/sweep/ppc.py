"""PowerPC: halves of addresses, the table through r30 (32 bits) or r2 (64 bits)."""

from __future__ import annotations

import re
from typing import ClassVar

from triage_tui.binary.sweep.follower import Follower, Handler, number

_MEMORY = re.compile(r"(\w+), (-?\w+)\((\w+)\)\Z")
_CONDITIONS = ("lt", "le", "eq", "ge", "gt", "nl", "ne", "ng", "so", "ns", "un", "nu", "dnz", "dz")


class PpcFollower(Follower):
    """Follows PowerPC code, 32 and 64 bits."""

    clobbered: ClassVar[frozenset[str]] = frozenset(
        ("r0", *(f"r{index}" for index in range(3, 13)), "ctr", "lr")
    )

    anchors: ClassVar[frozenset[str]] = frozenset(("r30",))

    def _handlers(self) -> dict[str, Handler]:
        branches = {f"b{name}{hint}": self._branch for name in _CONDITIONS for hint in ("", "+", "-")}
        quiet = ("stw", "std", "stb", "sth", "stwx", "stfd", "cmpwi", "cmplwi", "cmpw", "cmplw", "cmpd",
                 "cmpdi", "nop", "stmw", "mtcrf", "cmpld", "cmpldi")  # fmt: skip
        return {
            **dict.fromkeys(quiet, self._nothing),
            **branches,
            "bc": self._branch,
            "bcl": self._bcl,
            "bdnzl": self._bcl,
            "lis": self._lis,
            "addis": self._addis,
            "addi": self._addi,
            "ori": self._ori,
            "add": self._add,
            "mr": self.copy_operands,
            "lwz": self._load,
            "ld": self._load,
            "lwzu": self._load_update,
            "mflr": self._mflr,
            "mtctr": self._mtctr,
            "mtlr": self._mtlr,
            "bl": self._bl,
            "b": self._b,
            "bctrl": self._bctrl,
            "blrl": self._blrl,
            "bctr": self._bctr,
            "blr": self._blr,
            "stwu": self._frame,
            "stdu": self._frame,
        }

    def padding(self, data: bytes) -> int:
        """Zeros and `nop` (ori 0,0,0), in either byte order."""
        return 4 if data in (bytes(4), b"\x60\0\0\0", b"\0\0\0\x60") else 0

    def _nothing(self, _address: int, _size: int, _operands: str) -> None:
        """Changes no register that is followed."""

    def _lis(self, _address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        self.step(name, (number(text) or 0) << 16)

    def _addis(self, _address: int, _size: int, operands: str) -> None:
        name, source, text = ([*operands.split(", "), "", ""])[:3]
        start = self.value(source)
        if start is None:
            self.forget(name)
        else:
            self.step(name, start + ((number(text) or 0) << 16))

    def _addi(self, address: int, _size: int, operands: str) -> None:
        name, source, text = ([*operands.split(", "), "", ""])[:3]
        start, by = self.value(source), number(text)
        if start is None or by is None:
            self.forget(name)
        else:
            self.make(address, name, start + by, source)

    def _add(self, address: int, _size: int, operands: str) -> None:
        name, first, second = ([*operands.split(", "), "", ""])[:3]
        left, right = self.value(first), self.value(second)
        if left is None or right is None:
            self.forget(name)
        else:
            self.make(address, name, left + right, first, second)

    def _ori(self, address: int, _size: int, operands: str) -> None:
        name, source, text = ([*operands.split(", "), "", ""])[:3]
        start, by = self.value(source), number(text)
        if start is None or by is None:
            self.forget(name)
        else:
            self.make(address, name, start | by, source)

    def _load(self, address: int, _size: int, operands: str) -> None:
        match = _MEMORY.match(operands)
        start = self.value(match[3]) if match is not None else None
        if match is not None and match[1] in self.anchors and match[3] == "r1":
            # Restored before a return in the middle of the function: behind it, it is what it was.
            return
        if match is None or start is None:
            self.forget(operands.partition(",")[0])
        else:
            self.load(address, match[1], start + int(match[2], 0))

    def _load_update(self, address: int, size: int, operands: str) -> None:
        match = _MEMORY.match(operands)
        start = self.value(match[3]) if match is not None else None
        if match is not None and start is not None:
            self.make(address, match[3], start + int(match[2], 0), match[3])
        self.forget(operands.partition(",")[0])

    def _bcl(self, address: int, _size: int, operands: str) -> None:
        # bcl 20,31,$+4 puts the next address into lr; capstone names it by its condition.
        if number(operands.rpartition(", ")[2]) == address + 4:
            self.step("lr", address + 4)

    def _mflr(self, address: int, _size: int, operands: str) -> None:
        self.copy(operands, "lr")
        if operands == "r0":
            self.prologue(address)

    def _mtctr(self, _address: int, _size: int, operands: str) -> None:
        self.copy("ctr", operands)

    def _mtlr(self, _address: int, _size: int, operands: str) -> None:
        self.copy("lr", operands)

    def _bl(self, address: int, size: int, operands: str) -> None:
        target = number(operands)
        if target == address + 4:
            self.step("lr", target)
        elif target is not None:
            base = self.values.get("r30")
            if base is not None:
                self.notes.bases[target] = base
            self.call(address, address + size, target)

    def _b(self, address: int, size: int, operands: str) -> None:
        target = number(operands)
        if target is not None:
            self.jump(address, address + size, target)

    def _branch(self, address: int, _size: int, operands: str) -> None:
        target = number(operands.rpartition(", ")[2])
        if target is not None:
            self.branch(address, target)

    def _bctrl(self, address: int, size: int, _operands: str) -> None:
        self.call_register(address, address + size, "ctr")

    def _blrl(self, address: int, size: int, _operands: str) -> None:
        self.call_register(address, address + size, "lr")

    def _bctr(self, address: int, size: int, _operands: str) -> None:
        self.jump_register(address, address + size, "ctr")

    def _blr(self, address: int, size: int, _operands: str) -> None:
        self.end(address + size)

    def _frame(self, address: int, _size: int, operands: str) -> None:
        if operands.startswith("r1, -"):
            self.prologue(address)
