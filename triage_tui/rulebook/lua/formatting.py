"""The canonical form of a rule: the header in its fixed order, the body with even indents and spaces.

Only white space between tokens changes in the body, and line ends are neither added nor, but for empty lines
in a row, taken away: line numbers in errors stay near. That nothing else changed is proved each time, by the
tokens and comments of both texts and by the values of both headers.
"""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.lua.lexer import Piece, pieces
from triage_tui.rulehost.check import check_syntax
from triage_tui.text import safe_line

_INDENT = b"  "
_OPENERS = frozenset((b"function", b"do", b"then", b"repeat", b"else", b"{", b"(", b"["))
_OF_STATEMENTS = frozenset((b"do", b"then", b"repeat", b"else"))
_CLOSERS = frozenset((b"end", b"until", b"else", b"elseif", b"}", b")", b"]"))
_KEYWORDS = frozenset(
    b"and break do else elseif end for function goto if in local not or repeat return then until "
    b"while".split()
)
_VALUES = frozenset((b"end", b")", b"]", b"}", b"...", b"nil", b"true", b"false"))
"""Tokens that end a value, so that a `-` behind them is a subtraction."""
_BINARY = frozenset(
    b"+ - * / // % ^ & | ~ << >> .. == ~= <= >= < > = and or".split(),
)
_NO_SPACE_BEFORE = frozenset((b")", b"]", b",", b";", b".", b":"))
_NO_SPACE_AFTER = frozenset((b"(", b"[", b".", b":", b"#"))


def formatted(source: bytes, name: str = "rule") -> bytes:
    """Return the canonical form of a rule.

    Raises:
        TriageError: the text does not compile, its header is broken, or the result would not mean the same.
    """
    (problem,) = check_syntax([(name.replace(":", "_"), source)])
    if problem is not None:
        raise TriageError(
            f"{safe_line(name, 100)} is no Lua, so it is not formatted: {safe_line(problem, 200)}"
        )
    rule = rulefile.parse(source)
    body = _body(list(pieces(rule.body)))
    text = rulefile.compose(rule.header, body) if rule.has_header else body
    _prove(rule, text, name)
    return text


def _prove(rule: rulefile.RuleFile, text: bytes, name: str) -> None:
    """Refuse a text that is not the same rule."""
    again = rulefile.parse(text)
    same_header = again.has_header == rule.has_header and (not rule.has_header or again.header == rule.header)
    if not same_header or _meant(again.body) != _meant(rule.body):
        raise TriageError(
            f"{safe_line(name, 100)} was not formatted: the result would not have been the same rule"
        )


def _meant(body: bytes) -> list[tuple[str, bytes]]:
    return [(one.kind, one.raw.rstrip() if one.kind == "comment" else one.raw) for one in pieces(body)]


def _body(found: Sequence[Piece]) -> bytes:
    out: list[bytes] = []
    opened: list[int] = []
    """Of each block and bracket that is open, how far the line is indented on which it began."""
    before: Piece | None = None
    in_label = False
    """Between the `::` of a label."""
    for empty_before, line in _lines(found):
        if empty_before and out:
            out.append(b"")
        depth = opened[-1] + 1 if opened else 0
        leading = 0
        for one in line:
            if one.kind in ("comment", "string") or one.raw not in _CLOSERS:
                break
            depth = opened.pop() if opened else 0
            leading += 1
        statement = depth
        depth += _continues(before, line[0])
        out.append(_INDENT * depth + _joined(line, before, in_label))
        in_label ^= sum(one.raw == b"::" for one in line) % 2 == 1
        for place, one in enumerate(line):
            if one.kind in ("comment", "string"):
                continue
            if one.raw in _CLOSERS and place >= leading and opened:
                opened.pop()
            if one.raw in _OPENERS:
                opened.append(statement if one.raw in _OF_STATEMENTS else depth)
        before = next((one for one in reversed(line) if one.kind != "comment"), before)
    return b"\n".join(out) + b"\n" if out else b""


def _lines(found: Sequence[Piece]) -> list[tuple[bool, list[Piece]]]:
    """Return the pieces line by line, each with whether an empty line stands before it."""
    lines: list[tuple[bool, list[Piece]]] = []
    for one in found:
        if not lines or one.lines_before:
            lines.append((one.lines_before > 1, []))
        lines[-1][1].append(one)
    return lines


def _continues(before: Piece | None, first: Piece) -> int:
    """Return 1 for a line that goes on with the expression of the line before."""
    if before is None or first.kind == "comment":
        return 0
    ends_open = before.kind != "string" and (before.raw in _BINARY or before.raw == b"not")
    begins_so = first.kind != "string" and first.raw in _BINARY and first.raw != b"-"
    return int(ends_open or begins_so)


def _joined(line: Sequence[Piece], before: Piece | None, in_label: bool) -> bytes:
    parts: list[bytes] = []
    last = before
    unary = False
    for place, one in enumerate(line):
        raw = one.raw.rstrip() if one.kind == "comment" else one.raw
        if place and _space(line[place - 1], one, unary, in_label):
            parts.append(b" ")
        if raw == b"::" and one.kind == "operator":
            in_label = not in_label
        parts.append(raw)
        unary = raw in (b"-", b"~") and one.kind == "operator" and not _ends_value(last)
        if one.kind != "comment":
            last = one
    return b"".join(parts)


def _ends_value(last: Piece | None) -> bool:
    if last is None:
        return False
    if last.kind in ("number", "string"):
        return True
    return last.raw in _VALUES or (last.kind == "name" and last.raw not in _KEYWORDS)


def _space(left: Piece, right: Piece, left_unary: bool, in_label: bool) -> bool:
    """Whether a space stands between two pieces of a line."""
    if "comment" in (left.kind, right.kind):
        return True
    a = left.raw if left.kind != "string" else b'"'
    b = right.raw if right.kind != "string" else b'"'
    if in_label:
        return False
    if left_unary:
        # `- -x` must not become a comment.
        return a == b == b"-"
    if a in _NO_SPACE_AFTER or b in _NO_SPACE_BEFORE:
        # `a[ [[x]] ]` must not become `a[[[x]]]`.
        return (a == b"[" and right.raw.startswith(b"[")) or (b == b"]" and left.raw.endswith(b"]]"))
    if a == b"{" and b == b"}":
        return False
    if b == b"(":
        return not (_ends_value(left) or a == b"function") or left.kind == "number"
    if b == b"[":
        return not _ends_value(left) or left.kind == "number"
    return True
