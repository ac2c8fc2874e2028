"""Lua literals mean exactly the bytes they were made from, whatever the guest wrote."""

from __future__ import annotations

import lupa
import pytest

from triage_tui.proposals.lua import guest_bytes, lua_long_string
from triage_tui.rulebook.lua.literals import lua_string

HOSTILE = [
    b"",
    b"/etc/x.conf",
    bytes(range(256)),
    b'"; os.execute("x") --',
    b"]]\n--[[",
    b"\\n\\065",
    b"\x001\x002",
    b"\r\n\x1a\xff",
    "é\u202e\u2028".encode(),
    b"@path@ ${x} {y}",
]


def evaluate(literal: str) -> bytes:
    value = lupa.LuaRuntime(encoding=None).eval(literal.encode())
    assert isinstance(value, bytes)
    return value


@pytest.mark.parametrize("data", HOSTILE)
def test_a_literal_comes_back_as_the_same_bytes(data: bytes) -> None:
    assert evaluate(lua_string(data)) == data
    assert lua_string(data).isascii()
    assert lua_string(data).isprintable()


@pytest.mark.parametrize("data", [*HOSTILE, bytes(range(256)) * 40, b"line\n" * 500])
def test_a_long_text_comes_back_as_the_same_bytes(data: bytes) -> None:
    assert evaluate(lua_long_string(data)) == data


def test_the_record_s_text_becomes_the_guest_s_bytes_again() -> None:
    for data in (b"/a\xff\xfeb", "/ä".encode(), b"/plain"):
        assert guest_bytes(data.decode("utf-8", "backslashreplace")) == data
