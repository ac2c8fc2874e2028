"""The canonical form: the same program by the compiler's own account, once and for all, comments kept."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from lupa import lua53

from triage_tui.errors import TriageError
from triage_tui.resources import recorded_runs
from triage_tui.rulebook import patches, rulefile
from triage_tui.rulebook.lua.formatting import formatted
from triage_tui.rulebook.lua.lexer import pieces

MESSY = b"""
local   t={1,2 ;a=-1,['b']= - -2,[ [[x]] ]=#t,f=function( x )return x end}
   if(a)and not(b)then   f{1}
f"x"   g  (1):m [[y]] else x=a-b-  -c..1 ..d  end --  hi   \t
for i=1,10 do
local s="a\\z
      b\\
c"   -- c
while true do break end
end
foo(function(a,...)
return ... ,a.b .c[1]
end,{
1,
2
})
do goto  x end
::x ::
local y = a and
b
or .5
  z = ~1 ~ ~2 // 3 <= 0x1p4
--[[ block
   comment ]] q=1
local long = [==[
   kept   \t
]==]


\t
if a then
x() elseif b
and c then
y()
end
return x
"""
TIDY = b"""local t = { 1, 2; a = -1, ['b'] = - -2, [ [[x]] ] = #t, f = function(x) return x end }
if (a) and not (b) then f { 1 }
  f "x" g(1):m [[y]] else x = a - b - -c .. 1 .. d end --  hi
for i = 1, 10 do
  local s = "a\\z
      b\\
c" -- c
  while true do break end
end
foo(function(a, ...)
  return ..., a.b.c[1]
end, {
  1,
  2
})
do goto x end
::x::
local y = a and
  b
  or .5
z = ~1 ~ ~2 // 3 <= 0x1p4
--[[ block
   comment ]] q = 1
local long = [==[
   kept   \t
]==]

if a then
  x() elseif b
  and c then
  y()
end
return x
"""

_LUA: Any = lua53.LuaRuntime(encoding=None)
_DUMP: Any = _LUA.eval(b"function(text) return string.dump(assert(load(text, '=x')), true) end")


class _Code:
    """Compiled Lua 5.3 code (lundump.c) without the line numbers at which functions begin and end."""

    def __init__(self, data: bytes) -> None:
        # Signature, version, format, LUAC_DATA, sizes, LUAC_INT, LUAC_NUM, and the count of upvalues.
        self._data, self._at = data, 4 + 2 + 6 + 5 + 8 + 8 + 1
        self.parts: list[bytes] = []
        self._function()
        assert self._at == len(data)

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        self._at += size
        return piece

    def _int(self) -> int:
        number: int = struct.unpack("<i", self._take(4))[0]
        return number

    def _string(self) -> None:
        size = self._take(1)[0]
        if size == 0xFF:
            size = struct.unpack("<Q", self._take(8))[0]
        self.parts.append(self._take(size - 1) if size else b"")

    def _function(self) -> None:
        self._string()
        self._int(), self._int()
        self.parts.append(self._take(3))
        self.parts.append(self._take(4 * self._int()))
        for _ in range(self._int()):
            kind = self._take(1)
            self.parts.append(kind)
            if kind in (b"\x04", b"\x14"):
                self._string()
            else:
                self.parts.append(self._take({0: 0, 1: 1, 3: 8, 19: 8}[kind[0]]))
        self.parts.append(self._take(2 * self._int()))
        for _ in range(self._int()):
            self._function()
        assert [self._int() for _ in range(3)] == [0, 0, 0]


def code(text: bytes) -> list[bytes]:
    return _Code(_DUMP(text)).parts


def test_spaces_and_indents_are_made_even_and_nothing_else_changes() -> None:
    assert formatted(MESSY) == TIDY
    assert formatted(TIDY) == TIDY
    assert code(MESSY) == code(TIDY)
    comments = [one.raw.rstrip() for one in pieces(TIDY) if one.kind == "comment"]
    assert comments == [one.raw.rstrip() for one in pieces(MESSY) if one.kind == "comment"]


def test_shipped_rules_are_in_their_form_and_keep_their_code_through_any_white_space() -> None:
    chance = random.Random(7)
    texts = [patches.read_rule(run, name) for run in recorded_runs() for name in patches.list_rules(run)]
    for text in [*texts[::15], TIDY]:
        assert formatted(text) == text
        rule = rulefile.parse(text)
        head = text[: len(text) - len(rule.body)]
        mixed = b""
        gap = b"\n"
        for one in pieces(rule.body):
            mixed += gap + one.raw
            gap = chance.choice([b" ", b"  ", b"\t", b"\n", b"\r\n", b" \n\n\n "])
            if one.kind == "comment":
                gap = b"\n"
        again = formatted(head + b"\n" + mixed)
        assert formatted(again) == again
        assert code(again) == code(text)


def test_the_header_gets_its_fixed_order_and_keeps_what_is_not_known() -> None:
    text = b"--triage-rule: 1\n--   risk:   low\n-- id: a\n-- mine: 5\n-- hit-limit: 3\n\n\n\nx=1\n"
    tidy = formatted(text)
    assert tidy == b"-- triage-rule: 1\n-- id: a\n-- hit-limit: 3\n-- risk: low\n-- mine: 5\n\nx = 1\n"
    assert formatted(tidy) == tidy


@pytest.mark.parametrize("text", [b"x = = 1", b"\x1bLua", b"-- triage-rule: 1\n-- risk: low\n\nx = 1\n"])
def test_what_is_no_rule_is_not_formatted(text: bytes) -> None:
    with pytest.raises(TriageError):
        formatted(text)


def test_an_empty_text_stays_empty() -> None:
    assert formatted(b"") == b""
    assert formatted(b" \n\t\n") == b""
    assert formatted(b"--a\n\n\n--b") == b"--a\n\n--b\n"
