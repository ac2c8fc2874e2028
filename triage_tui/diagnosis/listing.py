"""A recorded disassembly as lines: addresses, instructions, where branches and calls go.

The text is as `binary.code` writes it, for every architecture; the names in it are the guest's. Instructions
are sorted by their mnemonics, of all architectures at once: none means two things of these kinds.
"""

from __future__ import annotations

import re

import msgspec

_LINE = re.compile(
    r"^(?P<mark>=>|<-|  )\s?0x(?P<addr>[0-9a-f]+)\s+[0-9a-f]+\s+(?P<name>[a-z][a-z0-9._,]*)\s*(?P<rest>.*)$"
)
_NAME = re.compile(r"<([^<>+]{1,120})(?:\+0x[0-9a-f]+)?>")
_TARGET = re.compile(r"(?:^|[ ,])#?0x([0-9a-f]+)\s*(?:;|$)")
CALL = re.compile(r"^(?:blx?(?:\.w)?|jalr?c?|balc?|bal|call|bctrl|blrl|brasl?|basr|jirl|blr)$")
JUMP = re.compile(r"^(?:b(?:\.w)?|bx|j|jr|jmp|jg?nop|jc|br|ret|retq|eret|bctr|blr|pop(?:\.w)?|ldm\S*)$")
CONDITIONAL = re.compile(
    r"^(?:b(?:eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)(?:\.w|[+-])?|b\.[a-z]{2}|cbn?z|tbn?z|"
    r"b(?:eq|ne)zc?|b(?:gez|gtz|lez|ltz)(?:al)?c?|bc1[tf]|j(?!mp|al|r$|r\.|$)[a-z]{1,4}|"
    r"c(?:g|lg|l)?[ir]j\w*|br[co]\w*)$"
)
COMPARE = re.compile(
    r"^(?:cmp|cmn|tst|teq|test|fcmp|cgr|cr|clr?|clgr?|c[lg]?f?i|chi|cghi|lt[gr]*|tm)[a-z.]*$"
)
SETS_FLAGS = re.compile(
    r"^(?:(?:add|sub|and|or|eor|mov|rsb|lsl|lsr|asr|bic)s(?:\.w)?|add|sub|and|or|xor|lt\w*)$"
)
STORE = re.compile(r"^(?:st(?!ck)\w*|s[bhwd]|push|fs[wd])(?:\.w)?$")
REGISTER = re.compile(r"\$?%?\b[a-z][a-z0-9]{1,3}\b|\$[a-z][a-z0-9]")
DELAYED_CALLS = frozenset(("jal", "jalr", "bal"))
"""Calls behind which one more instruction is executed before they are made (MIPS)."""


class Line(msgspec.Struct, frozen=True):
    """One instruction; `number` is that of its line in the text, from 1."""

    number: int
    addr: int
    name: str
    rest: str

    @property
    def target(self) -> int:
        """Where a branch goes, -1 where the text does not say."""
        found = _TARGET.search(self.rest)
        return int(found[1], 16) if found else -1

    @property
    def callee(self) -> str:
        """Name of the function that a call goes to, "" when there is none."""
        found = _NAME.search(self.rest)
        return found[1] if found else ""


def parse_listing(text: str) -> tuple[list[Line], int | None]:
    """Return the instructions of a listing, and the index of the marked one."""
    lines: list[Line] = []
    mark: int | None = None
    for number, raw in enumerate(text.split("\n"), 1):
        found = _LINE.match(raw)
        if found is None:
            continue
        if found["mark"].strip():
            mark = len(lines)
        lines.append(Line(number, int(found["addr"], 16), found["name"], found["rest"]))
    return lines, mark
