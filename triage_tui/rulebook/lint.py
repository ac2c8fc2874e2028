"""Check a rule before a person is asked to approve it. Nothing of the rule is executed.

An "error" means that the rule cannot do its work (it does not compile, has no entry point, calls what does
not exist in the rule host); a "warning" is something a reviewer should know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.lexer import Token, tokens
from triage_tui.rulehost.check import check_syntax
from triage_tui.rulehost.helpers import HELPERS, UNSUPPORTED

_ENTRY_POINTS = ("do_syscall", "after_syscall")

Severity = Literal["error", "warning"]

FORBIDDEN = frozenset(
    (
        "collectgarbage",
        "coroutine",
        "debug",
        "dofile",
        "io",
        "load",
        "loadfile",
        "loadstring",
        "os",
        "package",
        "python",
        "require",
    )
)
"""Globals of stock Lua (and of lupa) that the rule host does not have."""

_COMPILER_LINE = re.compile(r"[^:]*:(\d+): (.*)", re.DOTALL)
_HEADER_LINE = re.compile(r"line (\d+): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `line` counts from 1; `message` may quote the rule and is untrusted text."""

    line: int
    severity: Severity
    code: str
    message: str


def lint(source: bytes, name: str = "rule") -> list[Finding]:
    """Return what is wrong with one rule text, by line.

    Raises:
        TriageError: the rule host process, which compiles the text, cannot be started.
    """
    return lint_all({name: source})[name]


def lint_all(sources: Mapping[str, bytes]) -> dict[str, list[Finding]]:
    """Return what is wrong with each of some rule texts, by line; one process compiles them all.

    Raises:
        TriageError: the rule host process cannot be started.
    """
    short = {name: source for name, source in sources.items() if len(source) <= rulefile.MAX_RULE_BYTES}
    problems = check_syntax([(name.replace(":", "_"), source) for name, source in short.items()])
    compiled = dict(zip(short, problems, strict=True))
    return {
        name: _findings(source, compiled[name]) if name in short else [_too_long(source)]
        for name, source in sources.items()
    }


def _too_long(source: bytes) -> Finding:
    message = f"the rule has {len(source)} bytes, more than the {rulefile.MAX_RULE_BYTES} allowed"
    return Finding(1, "error", "too-long", message)


def _findings(source: bytes, problem: str | None) -> list[Finding]:
    findings = [*_syntax(problem), *_header(source)]
    if not source.startswith(b"\x1b"):
        findings += _code(list(tokens(source)))
    return sorted(findings, key=lambda finding: (finding.line, finding.severity, finding.code))


def _syntax(problem: str | None) -> list[Finding]:
    if problem is None:
        return []
    found = _COMPILER_LINE.fullmatch(problem)
    line, message = (int(found[1]), found[2]) if found else (1, problem)
    return [Finding(line, "error", "syntax", message)]


def _header(source: bytes) -> list[Finding]:
    try:
        rule = rulefile.parse(source)
    except TriageError as error:
        found = _HEADER_LINE.fullmatch(str(error))
        line, message = (int(found[1]), found[2]) if found else (1, str(error))
        return [Finding(line, "error", "header", message)]
    if not rule.has_header:
        return [Finding(1, "warning", "no-header", "the rule has no header: no hit limit, no risk")]
    findings = []
    if rule.header.hit_limit is None:
        findings.append(Finding(1, "warning", "no-hit-limit", "the rule has no hit limit"))
    if not rule.header.risk:
        findings.append(Finding(1, "warning", "no-risk", "the header does not name the risk"))
    return findings


def _code(stream: list[Token]) -> list[Finding]:
    own = _defined(stream)
    findings = []
    for place, token in enumerate(stream):
        if token.kind != "name" or token.text in own or _is_field_or_key(stream, place):
            continue
        if token.text in FORBIDDEN:
            message = f"{token.text} does not exist in the rule host"
            findings.append(Finding(token.line, "error", "forbidden", message))
        elif token.text in UNSUPPORTED:
            message = f"{token.text} does nothing here: {UNSUPPORTED[token.text]}"
            findings.append(Finding(token.line, "warning", "unsupported", message))
        elif token.text.startswith("c_") and token.text not in HELPERS:
            message = f"there is no helper named {token.text}"
            findings.append(Finding(token.line, "error", "unknown-helper", message))
    return [*findings, *_entry_point(stream), *_string_dump(stream)]


def _text(stream: list[Token], place: int) -> str:
    return stream[place].text if 0 <= place < len(stream) else ""


def _is_field_or_key(stream: list[Token], place: int) -> bool:
    """Whether the name is `x.name`, `x:name` or stands left of one `=` (assignment, table key)."""
    return _text(stream, place - 1) in (".", ":") or _text(stream, place + 1) == "="


def _defined(stream: list[Token]) -> set[str]:
    """Names that the rule declares or assigns itself, wherever; an over-estimate that avoids noise."""
    names = set()
    for place, token in enumerate(stream):
        if token.kind != "name" or _text(stream, place - 1) in (".", ":"):
            continue
        if _text(stream, place - 1) in ("local", "function", "for") or _text(stream, place + 1) == "=":
            names.add(token.text)
    return names


def _entry_point(stream: list[Token]) -> list[Finding]:
    local_line, local_name = 0, ""
    for place, token in enumerate(stream):
        if token.kind != "name" or token.text not in _ENTRY_POINTS or _text(stream, place - 1) in (".", ":"):
            continue
        before, two_before = _text(stream, place - 1), _text(stream, place - 2)
        if before == "local" or (before == "function" and two_before == "local"):
            local_line, local_name = token.line, token.text
        elif before == "function" or _text(stream, place + 1) == "=":
            return []
    if local_line:
        message = f"{local_name} is local, so the rule host cannot see it"
        return [Finding(local_line, "error", "no-entry-point", message)]
    return [Finding(1, "error", "no-entry-point", "the rule defines neither do_syscall nor after_syscall")]


def _string_dump(stream: list[Token]) -> list[Finding]:
    return [
        Finding(token.line, "error", "forbidden", "string.dump does not exist in the rule host")
        for place, token in enumerate(stream)
        if token.text == "dump" and _text(stream, place - 1) == "." and _text(stream, place - 2) == "string"
    ]
