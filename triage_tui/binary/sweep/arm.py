"""ARM and Thumb: literal pools, movw/movt, the pc, and the global offset table."""

from __future__ import annotations

import re
from typing import ClassVar

from triage_tui.binary.sweep.arm_tables import branch_table, byte_table, word_table
from triage_tui.binary.sweep.follower import Follower, Handler, named, number

_CONDITIONS = ("eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le")
_ANY = ("", *_CONDITIONS)
_MEMORY = re.compile(r"(\w+), \[(\w+)(?:, (#?-?\w+))?\](?:, .*)?\Z")
_INDEXED = re.compile(r"(\w+), \[(\w+), \w+, lsl #2\]\Z")
_LITERAL = re.compile(r".*\[pc, #(-?\w+)\]\Z")
_A32_PADDING = (
    bytes(4), b"\x00\x00\xa0\xe1", b"\x00\xf0\x20\xe3", b"\xe1\xa0\x00\x00", b"\xe3\x20\xf0\x00"
)  # fmt: skip
_NEAR = 24
"""Bytes between the load from a table and the jump to what it has."""


class ArmFollower(Follower):
    """Follows A32 and Thumb code."""

    clobbered: ClassVar[frozenset[str]] = frozenset(("r0", "r1", "r2", "r3", "ip", "lr"))

    def _handlers(self) -> dict[str, Handler]:
        self._indexed: dict[str, tuple[int, int | None]] = {}
        """Register -> (where it was loaded from a table, that table if it is known)."""
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
            "tbb": self._byte_table,
            "tbh": self._half_table,
            "vldr": self._wide_literal,
            "ldrd": self._wide_literal,
            "udf": self._stop,
        }

    def padding(self, data: bytes) -> int:
        """Zeros, and `nop` of either kind."""
        if not self.thumb:
            return 4 if data in _A32_PADDING else 0
        if data == b"\xaf\xf3\x00\x80":
            return 4
        return 2 if data[:2] in (b"\0\0", b"\x00\xbf", b"\xc0\x46", b"\xbf\x00", b"\x46\xc0") else 0

    def _pc(self, address: int) -> int:
        return address + 4 if self.thumb else address + 8

    def _nothing(self, _address: int, _size: int, _operands: str) -> None:
        """Changes no register that is followed."""

    def _ldr(self, address: int, size: int, operands: str) -> None:
        match = _MEMORY.match(operands)
        if match is None:
            self._indexed_load(address, size, operands)
            return
        name, base, offset = match.groups()
        start = self._pc(address) & ~3 if base == "pc" else self.values.get(base)
        by = 0 if offset is None else number(offset)
        if offset is not None and by is None:
            by = self._pc(address) if offset == "pc" else self.values.get(offset)
        if start is None or by is None:
            if name == "pc":
                # A return: what the stack has.
                self.end(address + size)
            else:
                self.forget(name)
            return
        slot = (start + by) & self.view.mask
        if base == "pc" and (offset is None or offset.startswith("#")):
            self.notes.literals.add(slot)
            value = self.view.word(slot)
            if name != "pc" and value is not None:
                self.make(address, name, value)
            elif name == "pc":
                self.notes.slot_calls.append((address, slot, 0))
                self.end(address + size)
            return
        if name == "pc":
            self.notes.slot_calls.append((address, slot, 0))
            self.end(address + size)
            return
        self.load(address, name, slot)

    def _add(self, address: int, size: int, operands: str) -> None:
        parts = operands.split(", ")
        name = parts[0]
        if name == "pc":
            self._sum_jump(address, size, parts)
            return
        if len(parts) > 3:
            self.forget(name)
            return
        loaded = self._indexed.get(parts[-1])
        if loaded is not None:
            # The table has distances: what is added is where it stands.
            self._indexed[name] = loaded
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
            self._by_register(address, size, text)
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
            self._by_register(address, size, operands)

    def _pop(self, address: int, size: int, operands: str) -> None:
        if operands.endswith("pc}"):
            self.end(address + size)
        elif self.values:
            self.begin()

    def _push(self, address: int, _size: int, operands: str) -> None:
        if operands.endswith("lr}"):
            self.prologue(address)

    # --- jumps by a table ------------------------------------------------------------------------------

    def _wide_literal(self, address: int, _size: int, operands: str) -> None:
        match = _LITERAL.match(operands)
        if match is not None:
            slot = (self._pc(address) & ~3) + int(match[1], 0)
            self.notes.literals.update((slot, slot + 4))
        if operands[0] == "r":
            for name in operands.split(", ")[:2]:
                self.forget(name)

    def _indexed_load(self, address: int, size: int, operands: str) -> None:
        match = _INDEXED.match(operands)
        name = operands.partition(",")[0]
        if match is None:
            self.forget(name)
            return
        base = self._pc(address) & ~3 if match[2] == "pc" else self.values.get(match[2])
        self.forget(name)
        if name == "pc":
            self._leads(address, size, base, relative=False)
        else:
            self._indexed[name] = (address, base)

    def _sum_jump(self, address: int, size: int, parts: list[str]) -> None:
        """Follow `add pc, ...`: by a table of branches, or of distances that was read just before."""
        for name in parts[1:]:
            loaded = self._indexed.get(name)
            if loaded is not None and address - loaded[0] <= _NEAR:
                self._leads(address, size, loaded[1], relative=True)
                return
        by_branches = parts[-1].startswith("lsl")
        branches = branch_table(self.view, address + 8) if by_branches else []
        # In front of the table stands the branch for what is beyond it, where the jump is conditional.
        beyond = len(branch_table(self.view, address + 4)) > len(branches)
        self.lead(address, branches, len(set(branches[1::2])) + beyond)
        if branches:
            self._ended = -1
        else:
            self.notes.switches.append(address)
            self.end(address + size)

    def _by_register(self, address: int, size: int, name: str) -> None:
        loaded = self._indexed.get(name)
        if loaded is not None and 0 <= address - loaded[0] <= _NEAR:
            self._leads(address, size, loaded[1], relative=True)
            return
        if name == "lr":
            self.end(address + size)
            return
        # Without a table it stands for a call and a return.
        self._through(address, address + size, name, always=False)
        self.end(address + size)

    def _leads(self, address: int, size: int, table: int | None, *, relative: bool) -> None:
        """Note where a jump by a table of words leads."""
        targets: list[int] = []
        if table is not None:
            targets, end = word_table(self.view, table, relative=relative)
            if 0 <= table - address <= 64:
                self.notes.literals.update(range(table, end, 4))
        if len(targets) < 2:
            self.notes.switches.append(address)
        self.lead(address, targets)
        self.end(address + size)
        self._ended = -1

    def _byte_table(self, address: int, size: int, operands: str) -> None:
        self._short_table(address, size, operands, 1)

    def _half_table(self, address: int, size: int, operands: str) -> None:
        self._short_table(address, size, operands, 2)

    def _short_table(self, address: int, size: int, operands: str, width: int) -> None:
        if operands.startswith("[pc"):
            targets, end = byte_table(self.view, address + size, width)
            self.lead(address, targets)
            self.resume = end
        else:
            self.notes.switches.append(address)
        self._ended = -1

    def _stop(self, address: int, size: int, _operands: str) -> None:
        self.end(address + size)
