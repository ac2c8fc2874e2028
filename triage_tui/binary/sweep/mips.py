"""MIPS: halves of addresses, and the global offset table through gp. Calls and jumps have a delay slot."""

from __future__ import annotations

import re
from typing import ClassVar

from triage_tui.binary.sweep.follower import Follower, Handler, View, number

_MEMORY = re.compile(r"\$(\w+), (-?\w+)?\(\$(\w+)\)\Z")
_BRANCHES = ("beq", "bne", "beqz", "bnez", "blez", "bgtz", "bltz", "bgez", "beql", "bnel", "beqzl", "bnezl",
             "blezl", "bgtzl", "bltzl", "bgezl", "bc1t", "bc1f", "bc1tl", "bc1fl")  # fmt: skip
_NEAR = 128
"""Bytes between the comparison of an index and the jump by the table."""
_MAX_WAYS = 1024
_FAR = 1 << 18
"""Bytes between a jump and where it leads: two reaches of a branch."""


class MipsFollower(Follower):
    """Follows MIPS code of all word sizes."""

    clobbered: ClassVar[frozenset[str]] = frozenset(
        ("v0", "v1", "at", "ra", *(f"a{index}" for index in range(8)), *(f"t{index}" for index in range(10)))
    )

    callers: ClassVar[frozenset[str]] = frozenset(("t9",))
    saved: ClassVar[frozenset[str]] = frozenset(("fp", "s8", *(f"s{index}" for index in range(8))))

    def _handlers(self) -> dict[str, Handler]:
        self._before: dict[str, int] = {}
        """Registers before the call whose delay slot comes next."""
        self._slot_at = -1
        self._bound = (-1, 0)
        """(where an index was compared last, with how much)."""
        self._indexed: dict[str, int] = {}
        """Register -> table, to whose address an index was added."""
        self._entries: dict[str, tuple[int, int, bool]] = {}
        """Register -> (table, bytes of an entry, whether gp was added) of the entry that was loaded."""
        quiet = ("sw", "sb", "sh", "sd", "swl", "swr", "sdl", "sdr", "nop", "swc1", "sdc1", "mtc1", "mult",
                 "multu", "div", "divu", "mtlo", "mthi", "teq")  # fmt: skip
        return {
            **dict.fromkeys(quiet, self._nothing),
            **dict.fromkeys(_BRANCHES, self._branch),
            "lui": self._lui,
            "addiu": self._addi,
            "daddiu": self._addi,
            "ori": self._ori,
            "addu": self._move_sum,
            "daddu": self._move_sum,
            "move": self._move,
            "lw": self._lw,
            "ld": self._ld,
            "sltiu": self._compare,
            "jal": self._jal,
            "bal": self._jal,
            "jalr": self._jalr,
            "j": self._j,
            "b": self._j,
            "jr": self._jr,
        }

    def begin(self) -> None:
        """Forget all registers."""
        super().begin()
        self._slot_at = -1
        self._bound = (-1, 0)
        self._indexed.clear()
        self._entries.clear()

    def forget(self, name: str) -> None:
        """A register gets something that is not followed."""
        super().forget(name)
        self._indexed.pop(name, None)
        self._entries.pop(name, None)

    def _nothing(self, _address: int, _size: int, _operands: str) -> None:
        """Changes no register that is followed."""

    def _source(self, address: int, name: str) -> int | None:
        if name == "gp":
            return self.view.table
        if name == "zero":
            return 0
        if address == self._slot_at:
            return self._before.get(name)
        return self.values.get(name)

    def _lui(self, address: int, _size: int, operands: str) -> None:
        name, _, text = operands[1:].partition(", ")
        if name == "gp":
            self.prologue(address)
        value = (number(text) or 0) << 16
        self.step(name, value - (1 << 32) if value >> 31 else value)

    def _addi(self, address: int, _size: int, operands: str) -> None:
        parts = operands.split(", ")
        name, by = parts[0][1:], number(parts[-1])
        source = parts[1][1:] if len(parts) == 3 else name
        if name == "sp":
            if by is not None and by < 0:
                self.prologue(address)
            return
        start = self._source(address, source)
        if start is None or by is None:
            self.forget(name)
        else:
            self.make(address, name, start + by, source)

    def _ori(self, address: int, _size: int, operands: str) -> None:
        parts = operands.split(", ")
        name, by = parts[0][1:], number(parts[-1])
        source = parts[1][1:] if len(parts) == 3 else name
        start = self._source(address, source)
        if start is None or by is None:
            self.forget(name)
        else:
            self.make(address, name, start | by, source)

    def _compare(self, address: int, _size: int, operands: str) -> None:
        name, _, rest = operands[1:].partition(", ")
        bound = number(rest.rpartition(", ")[2])
        self.forget(name)
        self._bound = (address, bound or 0)

    def _move_sum(self, address: int, _size: int, operands: str) -> None:
        parts = operands.replace("$", "").split(", ")
        if len(parts) == 3 and "zero" in parts[1:]:
            self.copy(parts[0], parts[2] if parts[1] == "zero" else parts[1])
            return
        added = parts[1:] if len(parts) == 3 else parts
        entry = next((self._entries[one] for one in added if one in self._entries), None)
        known = [value for one in added if (value := self._source(address, one)) is not None]
        self.forget(parts[0])
        if entry is not None and "gp" in added:
            self._entries[parts[0]] = (*entry[:2], True)
        elif len(known) == 1 and "gp" not in added:
            self._indexed[parts[0]] = known[0]

    def _move(self, _address: int, _size: int, operands: str) -> None:
        name, _, source = operands.replace("$", "").partition(", ")
        self.copy(name, source)

    def _lw(self, address: int, _size: int, operands: str) -> None:
        self._load(address, operands, 4)

    def _ld(self, address: int, _size: int, operands: str) -> None:
        self._load(address, operands, 8)

    def _load(self, address: int, operands: str, width: int) -> None:
        match = _MEMORY.match(operands)
        if match is None:
            self.forget(operands[1:].partition(",")[0])
            return
        name, offset, base = match.groups()
        by = int(offset or "0", 0)
        start = self._source(address, base)
        if start is None:
            table = self._indexed.get(base)
            self.forget(name)
            if table is not None:
                self._entries[name] = (table + by, width, False)
            return
        self.load(address, name, start + by)
        if base == "gp" and not self.values.get(name, 1) & 0xFFFF:
            # A page, to which the rest of an address is added.
            self.page(name)

    def _jal(self, address: int, _size: int, operands: str) -> None:
        target = number(operands)
        if target is not None and target != address + 8:
            self._leave(address)
            self.call(address, address + 8, target)

    def _jalr(self, address: int, _size: int, operands: str) -> None:
        self._leave(address)
        self.call_register(address, address + 8, operands.rpartition("$")[2])

    def _leave(self, address: int) -> None:
        self._before, self._slot_at = dict(self.values), address + 4

    def _j(self, address: int, _size: int, operands: str) -> None:
        target = number(operands)
        if target is not None:
            self._leave(address)
            before, slot = self._before, self._slot_at
            self.jump(address, address + 8, target)
            self._before, self._slot_at = before, slot

    def _jr(self, address: int, _size: int, operands: str) -> None:
        name = operands[1:]
        entry = self._entries.get(name)
        compared, bound = self._bound
        if name == "ra":
            self.end(address + 8)
        elif entry is not None and 0 <= address - compared <= _NEAR:
            if ways := _ways(self.view, address, *entry, bound):
                self.lead(address, ways)
            else:
                self.notes.switches.append(address)
            self.end(address + 8)
        else:
            self.jump_register(address, address + 8, name)

    def _branch(self, address: int, _size: int, operands: str) -> None:
        self.branch(address, number(operands.rpartition(", ")[2]) or 0)


def _ways(view: View, site: int, table: int, width: int, relative: bool, bound: int) -> list[int]:
    """Return where a jump by a table leads, which has as many entries as the index was compared with.

    An entry is an address, or, `relative`, its distance from gp (.gpword and .gpdword of the GNU assembler).
    """
    base = view.table if relative else 0
    if base is None or not 0 < bound <= _MAX_WAYS:
        return []
    raw = view.read(table & view.mask, width * bound)
    found = []
    for at in range(0, len(raw) - width + 1, width):
        value = int.from_bytes(raw[at : at + width], "little" if view.little else "big", signed=relative)
        target = (base + value) & view.mask
        if target & 3 or abs(target - site) > _FAR:
            break
        found.append(target)
    return found
