"""Kinds of rule files, and the tables of constants that some of them are."""

from __future__ import annotations

import pytest

from triage_tui.rulebook.check.lint import lint
from triage_tui.rulebook.kinds import PLACE, kind_of
from triage_tui.rulebook.lua.constants import NotConstant, read_table


def test_the_directory_says_what_a_rule_file_is() -> None:
    assert kind_of("fix/start/processor@fix-1.lua") == "start"
    assert kind_of("20260131_020000_00000001:plugin/nvram.lua") == "plugin"
    assert kind_of("openat@fix-1.lua") == kind_of("elsewhere/openat.lua") == "syscall"
    assert PLACE.fullmatch("start/processor@fix-1.lua")
    for name in ("start/../x.lua", "start/x", "other/x.lua", "start/a/b.lua", "/start/x.lua"):
        assert PLACE.fullmatch(name) is None


def test_a_table_of_constants_is_read_with_its_lines() -> None:
    table = read_table(
        b'-- a header\nreturn {\n  "first", -- one\n  eth0 = { up = true, mtu = -1.5 },\n'
        b'  ["a key"] = "\\x00z", [0x8915] = 7,\n}\n'
    )
    assert [(one.line, one.value) for one in table.items] == [(3, b"first")]
    inner = table.named["eth0"].value
    assert not isinstance(inner, bool | int | float | bytes)
    assert {name: one.value for name, one in inner.named.items()} == {"up": True, "mtu": -1.5}
    assert (table.named["a key"].value, table.named[0x8915].value) == (b"\x00z", 7)
    assert table.named["a key"].line == 5


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (b"", 1, "must be one"),
        (b"local a = 1\nreturn { a }", 1, "must be one"),
        (b"return 1", 1, "must return one table"),
        (b"return {},\n{}", 1, "must return one table"),
        (b"return {\n x = os.exit() }", 2, "only texts"),
        (b"return {\n x = name }", 2, "only texts"),
        (b"return { x = nil }", 1, "only texts"),
        (b'return { x = ("a"):rep(1e9) }', 1, "only texts"),
        (b"return { x = 1,\n x = 2 }", 2, "twice"),
        (b"return { [1.5] = 2 }", 1, "a key must be"),
        (b'return { ["\\xff"] = 2 }', 1, "no UTF-8"),
        (b"return " + b"{" * 17 + b"}" * 17, 1, "deeper than 16"),
        (b"return {" + b"1," * 20_001 + b"}", 1, "more than 20000"),
        (b"return {" * 300 + b"}" * 300, 1, "nest"),
        (b"return { x = ", 1, "no Lua"),
    ],
)
def test_anything_else_is_refused_with_its_line(text: bytes, line: int, told: str) -> None:
    with pytest.raises(NotConstant, match=told) as caught:
        read_table(text)
    assert caught.value.line == line


def test_lint_tells_what_is_no_table_and_asks_a_start_setting_for_no_hit_limit() -> None:
    header = b"-- triage-rule: 1\n-- id: fix-1\n-- risk: low\n\n"
    found = lint(header + b"function do_syscall() end\n", "start/processor@fix-1.lua")
    assert [(one.line, one.code) for one in found] == [(5, "start-setting")]
    of_plugin = lint(header + b"return { }\n", "fix/plugin/nvram@fix-1.lua")
    assert "no-hit-limit" in [one.code for one in of_plugin]
