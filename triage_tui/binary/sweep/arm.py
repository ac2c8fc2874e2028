"""ARM and Thumb: literal pools, movw/movt, the pc, and the global offset table."""

from __future__ import annotations

import re
from typing import ClassVar

from triage_tui.binary.sweep.follower import Follower, Handler, named, number

_CONDITIONS = ("eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le")
_ANY = ("", *_CONDITIONS)
_MEMORY = re.compile(r"(\w+), \[(\w+)(?:, (#?-?\w+))?\](?:, .*)?\Z")


class ArmFollower(Follower):
    """Follows A32 and Thumb code."""

    clobbered: ClassVar[frozenset[str]] = frozenset(("r0", "r1", "r2", "r3", "ip", "lr"))

    def _handlers(self) -> dict[str, Handler]:
        some = named(
            {
                "ldr": self._ldr,
                "add": self._add,
                "adds": self._add,
                "sub": self._sub,
                "adr": self._adr,
                "mov": self._mov,
                "movs": self._mov,
                "movw": self._mov,
                "movt": self._movt,
            },
            _ANY,
        )
        wide = named(some, (".w",))
        quiet = ("cmp", "cmn", "tst", "teq", "str", "strb", "strh", "strd", "stm", "stmdb", "stmib", "nop")
        nothing: dict[str, Handler] = dict.fromkeys((*quiet, *(name + ".w" for name in quiet)), self._nothing)
        branches: dict[str, Handler] = {}
        for condition in _CONDITIONS:
            for width in ("", ".w"):
                branches[f"b{condition}{width}"] = self._branch
            branches[f"bl{condition}"] = self._bl
            branches[f"blx{condition}"] = self._blx
        return {
            **some,
            **wide,
            **nothing,
            **branches,
            "bl": self._bl,
            "blx": self._blx,
            "b": self._b,
            "b.w": self._b,
            "bx": self._bx,
            "cbz": self._compare_branch,
            "cbnz": self._compare_branch,
            "pop": self._pop,
            "pop.w": self._pop,
            "ldm": self._pop,
            "ldm.w": self._pop,
            "ldmib": self._pop,
            "ldmdb": self._pop,
            "push": self._push,
            "push.w": self._push,
            "tbb": self._table,
            "tbh": self._table,
            "udf": self._stop,
        }

    def padding(self, data: bytes) -> bool:
        """Zeros, and `nop` of either kind."""
        return data in (b"\0\0", b"\x00\xbf", b"\xc0\x46", b"\xa0\xe1", b"\x00\xf0", b"\x20\xe3", b"")

    def _pc(self, address: int) -> int:
        return address + 4 if self.thumb else address + 8

    def _nothing(self, _address: int, _size: int, _operands: str) -> None:
        """Changes no register that is followed."""

    def _ldr(self, address: int, size: int, operands: str) -> None:
        match = _MEMORY.match(operands)
        if match is None:
            self.forget(operands.partition(",")[0])
            return
        name, base, offset = match.groups()
        start = self._pc(address) & ~3 if base == "pc" else self.values.get(base)
        by = 0 if offset is None else number(offset)
        if offset is not None and by is None:
            by = self._pc(address) if offset == "pc" else self.values.get(offset)
        if start is None or by is None:
            self.forget(name)
            return
        slot = (start + by) & self.view.mask
        if base == "pc" and offset is not None and offset.startswith("#"):
            self.notes.literals.add(slot)
            value = self.view.word(slot)
            if name != "pc" and value is not None:
                self.make(address, name, value)
            elif name == "pc":
                self.notes.slot_calls.append((address, slot))
                self.end(address + size)
            return
        if name == "pc":
            self.notes.slot_calls.append((address, slot))
            self.end(address + size)
            return
        self.load(address, name, slot)

    def _add(self, address: int, size: int, operands: str) -> None:
        parts = operands.split(", ")
        name = parts[0]
        if name == "pc":
            # A jump by a table.
            self.end(address + size)
            return
        if len(parts) > 3:
            self.forget(name)
            return
        left, right = (name, parts[1]) if len(parts) == 2 else (parts[1], parts[-1])
        first = self._operand(address, left, right)
        second = number(right)
        if second is None:
            second = self._operand(address, right, left)
        if first is None or second is None:
            self.forget(name)
        else:
            self.make(address, name, first + second, left, right)

    def _operand(self, address: int, name: str, other: str) -> int | None:
        if name != "pc":
            return self.values.get(name)
        pc = self._pc(address)
        return pc & ~3 if other.startswith("#") else pc

    def _sub(self, address: int, _size: int, operands: str) -> None:
        parts = operands.split(", ")
        second = number(parts[-1])
        if parts[-2] == "pc" and second is not None:
            self.make(address, parts[0], (self._pc(address) & ~3) - second)
        else:
            self.forget(parts[0])

    def _adr(self, address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        by = number(text)
        if by is None:
            self.forget(name)
        else:
            self.make(address, name, (self._pc(address) & ~3) + by)

    def _mov(self, address: int, size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        if name == "pc":
            self.end(address + size)
            return
        value = number(text)
        if value is None:
            self.copy(name, text)
        else:
            self.step(name, value)

    def _movt(self, address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        low, high = self.values.get(name), number(text)
        if low is None or high is None:
            self.forget(name)
        else:
            self.make(address, name, low & 0xFFFF | high << 16)

    def _bl(self, address: int, size: int, operands: str) -> None:
        target = number(operands)
        if target is not None:
            self.call(address, address + size, target)

    def _blx(self, address: int, size: int, operands: str) -> None:
        target = number(operands)
        if target is None:
            self.call_register(address, address + size, operands)
        else:
            self.call(address, address + size, target, thumb=not self.thumb)

    def _b(self, address: int, size: int, operands: str) -> None:
        target = number(operands)
        if target is not None:
            self.jump(address, address + size, target)

    def _branch(self, address: int, _size: int, operands: str) -> None:
        target = number(operands)
        if target is not None:
            self.branch(address, target)

    def _compare_branch(self, address: int, _size: int, operands: str) -> None:
        target = number(operands.rpartition(", ")[2])
        if target is not None:
            self.branch(address, target)

    def _bx(self, address: int, size: int, operands: str) -> None:
        if operands == "lr":
            self.end(address + size)
        else:
            self.jump_register(address, address + size, operands)

    def _pop(self, address: int, size: int, operands: str) -> None:
        if operands.endswith("pc}"):
            self.end(address + size)
        elif self.values:
            self.begin()

    def _push(self, address: int, _size: int, operands: str) -> None:
        if operands.endswith("lr}"):
            self.prologue(address)

    def _table(self, address: int, size: int, _operands: str) -> None:
        # The table follows, then the code that it leads to.
        self._ended = -1

    def _stop(self, address: int, size: int, _operands: str) -> None:
        self.end(address + size)
