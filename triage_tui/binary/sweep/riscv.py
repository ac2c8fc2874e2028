"""RISC-V: upper and lower parts of addresses relative to the pc. Capstone gives distances, not targets."""

from __future__ import annotations

import re
from typing import ClassVar

from triage_tui.binary.sweep.follower import Follower, Handler, number

_MEMORY = re.compile(r"(\w+), (-?\w+)\((\w+)\)\Z")
_BRANCHES = ("beq", "bne", "blt", "bge", "bltu", "bgeu", "beqz", "bnez", "blez", "bgez", "bltz", "bgtz",
             "c.beqz", "c.bnez")  # fmt: skip


class RiscvFollower(Follower):
    """Follows RV64 code with compressed instructions."""

    clobbered: ClassVar[frozenset[str]] = frozenset(
        ("ra", *(f"a{index}" for index in range(8)), *(f"t{index}" for index in range(7)))
    )

    def _handlers(self) -> dict[str, Handler]:
        quiet = ("sd", "sw", "sb", "sh", "c.sd", "c.sw", "c.sdsp", "c.swsp", "nop", "c.nop", "fsd", "c.fsd")
        return {
            **dict.fromkeys(quiet, self._nothing),
            **dict.fromkeys(_BRANCHES, self._branch),
            "auipc": self._auipc,
            "lui": self._lui,
            "c.lui": self._lui,
            "addi": self._addi,
            "c.addi": self._addi,
            "c.addi16sp": self._frame,
            "mv": self.copy_operands,
            "c.mv": self.copy_operands,
            "ld": self._ld,
            "c.ld": self._ld,
            "jal": self._jal,
            "jalr": self._jalr,
            "c.jalr": self._jalr,
            "j": self._j,
            "c.j": self._j,
            "jr": self._jr,
            "c.jr": self._jr,
            "ret": self._ret,
        }

    def padding(self, data: bytes) -> int:
        """Zeros and `nop` of both lengths."""
        if data == b"\x13\0\0\0":
            return 4
        return 2 if data[:2] in (b"\0\0", b"\x01\0") else 0

    def _nothing(self, _address: int, _size: int, _operands: str) -> None:
        """Changes no register that is followed."""

    def _auipc(self, address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        self.step(name, address + self._upper(number(text) or 0))

    def _lui(self, _address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        self.step(name, self._upper(number(text) or 0))

    def _upper(self, value: int) -> int:
        value = (value << 12) & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value

    def _addi(self, address: int, _size: int, operands: str) -> None:
        parts = operands.split(", ")
        name, by = parts[0], number(parts[-1])
        source = parts[1] if len(parts) == 3 else name
        if name == "sp":
            if by is not None and by < 0 and source == "sp":
                self.prologue(address)
            return
        start = self.values.get(source)
        if start is None or by is None:
            self.forget(name)
        else:
            self.make(address, name, start + by, source)

    def _frame(self, address: int, _size: int, operands: str) -> None:
        if "-" in operands:
            self.prologue(address)

    def _ld(self, address: int, _size: int, operands: str) -> None:
        self.load_operands(address, operands, _MEMORY.match(operands))

    def _jal(self, address: int, size: int, operands: str) -> None:
        name, comma, text = operands.rpartition(", ")
        by = number(text)
        if by is None:
            return
        if comma and name == "zero":
            self.jump(address, address + size, address + by)
        else:
            self.call(address, address + size, address + by)

    def _jalr(self, address: int, size: int, operands: str) -> None:
        match = _MEMORY.match(operands)
        parts = operands.split(", ")
        link, base, by = "ra", parts[-1], 0
        if match is not None:
            link, base, by = match[1], match[3], int(match[2], 0)
        elif len(parts) == 3:
            link, base, by = parts[0], parts[1], number(parts[2]) or 0
        elif len(parts) == 2:
            link = parts[0]
        start = self.values.get(base)
        if by and start is not None:
            if link == "ra":
                self.call(address, address + size, start + by)
            else:
                self.jump(address, address + size, start + by)
        elif link == "ra":
            self.call_register(address, address + size, base)
        else:
            self.jump_register(address, address + size, base)

    def _j(self, address: int, size: int, operands: str) -> None:
        by = number(operands)
        if by is not None:
            self.jump(address, address + size, address + by)

    def _jr(self, address: int, size: int, operands: str) -> None:
        if operands == "ra":
            self.end(address + size)
        else:
            self.jump_register(address, address + size, operands)

    def _ret(self, address: int, size: int, _operands: str) -> None:
        self.end(address + size)

    def _branch(self, address: int, _size: int, operands: str) -> None:
        self.branch(address, address + (number(operands.rpartition(", ")[2]) or 0))
