"""The lint: each finding has its line and code; a clean rule has none; nothing is executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check import lint
from triage_tui.rulebook.lua.lexer import tokens
from triage_tui.rulebook.rulefile import RuleHeader

HEADER = RuleHeader(id="a", hit_limit=1, risk="low")
OK = "function do_syscall(num, a1)\n  return 0, 0\nend\n"


def codes(body: str, header: RuleHeader | None = HEADER) -> list[tuple[int, str, str]]:
    text = (rulefile.format_header(header) if header else "") + "\n" + body
    start = text.count("\n") - body.count("\n")
    return [(max(f.line - start, 0), f.severity, f.code) for f in lint.lint(text.encode())]


CASES = [
    (OK, []),
    ("do_syscall = function() return 0, 0 end", []),
    ("function do_syscall(", [(1, "error", "syntax")]),
    (OK + "x = = 1", [(4, "error", "syntax")]),
    ("x = 1", [(0, "error", "no-entry-point")]),
    ("local function do_syscall() end", [(1, "error", "no-entry-point")]),
    ("t = {} function t.do_syscall() end", [(0, "error", "no-entry-point")]),
    ("-- function do_syscall() end", [(0, "error", "no-entry-point")]),
    (OK + "c_log('x')\nc_lgo('x')", [(5, "error", "unknown-helper")]),
    (OK + "local function c_mine() end c_mine()", []),
    (OK + "os.execute('x')", [(4, "error", "forbidden")]),
    (OK + "\nlocal f = io.open", [(5, "error", "forbidden")]),
    (OK + "local io = {} io.x = 1", []),
    (OK + "local t = {io = 1, os = 2} t.io = t.debug", []),
    (OK + "-- os.execute\n--[[ io ]] --[==[ ]] io ]==] local s = 'os' .. \"io\" .. [[debug]]", []),
    (OK + "-- hidden \r os.execute('x')", [(4, "error", "forbidden")]),
    (OK + "string.dump(do_syscall)", [(4, "error", "forbidden")]),
    (OK + "c_do_syscall(1)", [(4, "warning", "unsupported")]),
]


@pytest.mark.parametrize(("body", "expected"), CASES, ids=[body[-40:] for body, _ in CASES])
def test_findings_have_their_line_and_code(body: str, expected: list[tuple[int, str, str]]) -> None:
    assert codes(body) == expected


def test_what_the_header_lacks_is_said() -> None:
    assert codes(OK, None) == [(0, "warning", "no-header")]
    assert codes(OK, RuleHeader(id="a", risk="low")) == [(0, "warning", "no-hit-limit")]
    assert codes(OK, RuleHeader(id="a", hit_limit=2)) == [(0, "warning", "no-risk")]


def test_a_broken_header_is_a_finding() -> None:
    findings = lint.lint(b"-- triage-rule: 1\n-- id: a\n-- risk: huge\n" + OK.encode())
    assert [(f.line, f.severity, f.code) for f in findings] == [(3, "error", "header")]


@pytest.mark.parametrize(
    "source",
    [
        b"\x1bLuaS\x00",
        b"x" * (rulefile.MAX_RULE_BYTES + 1),
        b"\xff\xfe\x00",
        b"(" * 100_000,
        b"x = " + b"{" * 50_000,
        b"local a = [==[",
        b'"',
    ],
    ids=["bytecode", "long", "binary", "parentheses", "braces", "open string", "quote"],
)
def test_what_is_no_rule_is_an_error_and_nothing_worse(source: bytes) -> None:
    findings = lint.lint(source)
    assert any(finding.severity == "error" for finding in findings)
    assert all(len(finding.message) < 1000 for finding in findings)


def test_nothing_of_the_rule_is_executed(tmp_path: Path) -> None:
    assert codes(f"error('ran') while true do end {OK}") == [(1, "error", "endless")]


def test_tokens_count_lines_through_long_strings() -> None:
    found = [(t.text, t.line) for t in tokens(b"a\n--[[\n\n]] b [[\n]] c\n\xff d") if t.kind == "name"]
    assert found == [("a", 1), ("b", 4), ("c", 5), ("d", 6)]


def test_a_header_whose_first_line_has_more_behind_the_version_is_an_error() -> None:
    text = rulefile.format_header(HEADER).replace("triage-rule: 1", "triage-rule: 1 x?") + "\n" + OK
    found = [(finding.line, finding.severity, finding.code) for finding in lint.lint(text.encode())]
    assert found == [(1, "error", "header")]
