"""s390x: addresses relative to the instruction."""

from __future__ import annotations

import re
from typing import ClassVar

from triage_tui.binary.sweep.follower import Follower, Handler, number

_MEMORY = re.compile(r"(%r\d+), (-?\w+)\((%r\d+)\)\Z")
_CONDITIONS = ("o", "h", "nle", "l", "nhe", "lh", "ne", "e", "nlh", "he", "nl", "le", "nh", "no")
_COMPARES = tuple(
    name + condition
    for name in ("cgrj", "crj", "clgrj", "clrj", "cgij", "cij", "clgij", "clij")
    for condition in ("h", "nle", "l", "nhe", "lh", "ne", "e", "nlh", "he", "nl", "le", "nh")
)


class S390xFollower(Follower):
    """Follows z/Architecture code."""

    clobbered: ClassVar[frozenset[str]] = frozenset(("%r0", "%r1", "%r2", "%r3", "%r4", "%r5", "%r14"))

    def _handlers(self) -> dict[str, Handler]:
        conditions = {f"{jump}{name}": self._branch for jump in ("j", "jg") for name in _CONDITIONS}
        quiet = ("stg", "st", "stc", "cgr", "cr", "clgr", "cghi", "chi", "ltgr", "tm", "mvi", "mvghi", "mvhi")
        return {
            **dict.fromkeys(quiet, self._nothing),
            **conditions,
            **dict.fromkeys(_COMPARES, self._branch),
            **dict.fromkeys(("brctg", "brct", "brxle", "brc", "brcl"), self._branch),
            "larl": self._larl,
            "lgrl": self._lgrl,
            "lgr": self.copy_operands,
            "lg": self._lg,
            "brasl": self._brasl,
            "bras": self._brasl,
            "basr": self._basr,
            "br": self._br,
            "j": self._j,
            "jg": self._j,
            "stmg": self._stmg,
        }

    def padding(self, data: bytes) -> int:
        """Zeros and the two no-operations that compilers use."""
        return 2 if data[:2] in (b"\0\0", b"\x07\x07", b"\x07\0", b"\x47\0") else 0

    def _nothing(self, _address: int, _size: int, _operands: str) -> None:
        """Changes no register that is followed."""

    def _larl(self, address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        self.make(address, name, number(text) or 0)

    def _lgrl(self, address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        self.load(address, name, number(text) or 0)

    def _lg(self, address: int, _size: int, operands: str) -> None:
        self.load_operands(address, operands, _MEMORY.match(operands))

    def _brasl(self, address: int, size: int, operands: str) -> None:
        self.call(address, address + size, number(operands.rpartition(", ")[2]) or 0)

    def _basr(self, address: int, size: int, operands: str) -> None:
        name = operands.rpartition(", ")[2]
        if name not in ("%r0", "0"):
            self.call_register(address, address + size, name)

    def _br(self, address: int, size: int, operands: str) -> None:
        if operands == "%r14":
            self.end(address + size)
        else:
            self.jump_register(address, address + size, operands)

    def _j(self, address: int, size: int, operands: str) -> None:
        self.jump(address, address + size, number(operands) or 0)

    def _branch(self, address: int, _size: int, operands: str) -> None:
        target = number(operands.rpartition(", ")[2])
        if target is not None:
            self.branch(address, target)

    def _stmg(self, address: int, _size: int, operands: str) -> None:
        if operands.endswith("(%r15)"):
            self.prologue(address)
