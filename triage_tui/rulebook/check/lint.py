"""Check a rule before a person is asked to approve it. Nothing of the rule is executed.

What is certain from the text is told here; `replay` tells what it does at recorded calls.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping

from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.findings import Finding, Severity, in_order
from triage_tui.rulebook.kinds import ENTRY_POINTS, FILE_NAME, kind_of
from triage_tui.rulebook.lua.lexer import Token, tokens
from triage_tui.rulebook.placeholders import unfilled
from triage_tui.rulehost.check import check_each
from triage_tui.rulehost.helpers import HELPERS, UNSUPPORTED

__all__ = ["FORBIDDEN", "Finding", "Severity", "lint", "lint_all"]

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


def lint(source: bytes, name: str = "rule", arch: str = "") -> list[Finding]:
    """Return what is wrong with one rule text, by line.

    `name` is its file name, also below directories or behind the name of a run: it says for which syscall
    the rule is. `arch` is that of the program, where it is known.

    Raises:
        TriageError: the rule host process, which compiles the text, cannot be started.
    """
    return lint_all({name: source}, arch)[name]


def lint_all(sources: Mapping[str, bytes], arch: str = "") -> dict[str, list[Finding]]:
    """Return what is wrong with each of some rule texts, by line; one process compiles them all.

    Raises:
        TriageError: the rule host process cannot be started.
    """
    short = {name: source for name, source in sources.items() if len(source) <= rulefile.MAX_RULE_BYTES}
    named = [(name.replace(":", "_"), source) for name, source in short.items()]
    compiled = zip(short, check_each(named), strict=True)
    found = {name: _findings(name, short[name], problem, arch) for name, problem in compiled}
    return {name: found[name] if name in found else [_too_long(source)] for name, source in sources.items()}


def _too_long(source: bytes) -> Finding:
    message = f"the rule has {len(source)} bytes, more than the {rulefile.MAX_RULE_BYTES} allowed"
    return Finding(1, "error", "too-long", message)


def _findings(name: str, source: bytes, problem: str | None, arch: str) -> list[Finding]:
    kind = kind_of(name)
    findings = [*_syntax(problem), *_header(source, counted=kind != "start"), *_unfilled(source)]
    if kind != "syscall":
        table = _setting if kind == "start" else _plugin
        return in_order([*findings, *(table(name, source) if problem is None else [])])
    if not source.startswith(b"\x1b"):
        findings += _code(list(tokens(source)))
    if problem is None:
        findings += _deep(name, source, arch)
    return in_order(findings)


def _plugin(name: str, source: bytes) -> list[Finding]:
    """What is wrong with the configuration of a plugin."""
    from triage_tui.rulebook.lua.constants import NotConstant
    from triage_tui.rulebook.plugins.reading import BadConfiguration, read_plugin

    named = FILE_NAME.fullmatch(re.split(r"[/:]", name)[-1])
    try:
        read_plugin(named["syscall"] if named is not None else "", source)
    except NotConstant as error:
        return [Finding(error.line, "error", "no-table", str(error))]
    except BadConfiguration as error:
        return [Finding(error.line, "error", "configuration", str(error))]
    return []


def _unfilled(source: bytes) -> list[Finding]:
    return [
        Finding(line, "error", "unfilled", f"it is not filled in: {wanted}")
        for line, wanted in unfilled(source)
    ]


def _setting(name: str, source: bytes) -> list[Finding]:
    """What is wrong with a setting of the start; a broken header is told by itself."""
    from triage_tui.rulebook.lua.constants import NotConstant
    from triage_tui.rulebook.start_settings import read_start_rule

    try:
        read_start_rule(name, source)
    except NotConstant as error:
        unfinished = any(line == error.line for line, _ in unfilled(source))
        return [] if unfinished else [Finding(error.line, "error", "start-setting", str(error))]
    except TriageError:
        pass
    return []


def _deep(name: str, source: bytes, arch: str) -> list[Finding]:
    """What the syntax tree tells; imported here, because only what compiles has one."""
    from triage_tui.rulebook.check.body import read_body
    from triage_tui.rulebook.check.body_checks import check_body
    from triage_tui.rulebook.check.match_checks import check_match
    from triage_tui.rulebook.check.write_checks import check_writes
    from triage_tui.rulebook.lua.syntax import NotUnderstood

    named = FILE_NAME.fullmatch(re.split(r"[/:]", name)[-1])
    syscall = named["syscall"] if named is not None else ""
    try:
        body = read_body(source)
    except (NotUnderstood, ImportError) as error:
        # Without tree-sitter too, what is left of the lint works.
        told = f"its results, writes and conditions were not checked: {error}"
        return [Finding(1, "warning", "not-understood", told)]
    findings = [*check_body(body, syscall, arch), *check_writes(body, syscall, arch)]
    with contextlib.suppress(TriageError):
        findings += check_match(rulefile.parse(source), body, syscall)
    return findings


def _syntax(problem: str | None) -> list[Finding]:
    if problem is None:
        return []
    found = _COMPILER_LINE.fullmatch(problem)
    line, message = (int(found[1]), found[2]) if found else (1, problem)
    return [Finding(line, "error", "syntax", message)]


def _header(source: bytes, *, counted: bool) -> list[Finding]:
    """What is wrong with the header; `counted` says whether the rule has hits that can be limited."""
    try:
        rule = rulefile.parse(source)
    except TriageError as error:
        found = _HEADER_LINE.fullmatch(str(error))
        line, message = (int(found[1]), found[2]) if found else (1, str(error))
        return [Finding(line, "error", "header", message)]
    if not rule.has_header:
        return [Finding(1, "warning", "no-header", "the rule has no header: no hit limit, no risk")]
    findings = []
    if counted and rule.header.hit_limit is None:
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
        if token.kind != "name" or token.text not in ENTRY_POINTS or _text(stream, place - 1) in (".", ":"):
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
