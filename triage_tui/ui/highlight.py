"""Colours for code. The text is made safe first, so no lexer ever sees a control character.

Pygments is imported when the first file is coloured, in a worker thread, never on the start path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from triage_tui.ui.rows import Part

if TYPE_CHECKING:
    from pygments.lexer import Lexer

_EXACT = {"ensurenl": False, "stripnl": False}

MAX_COLOURED = 64 << 10
"""Characters of a text that is coloured; longer ones are shown plain."""

_ASSEMBLY = re.compile(
    r"(?P<comment>(?:;|//|@ ).*$)"
    r"|(?P<address>^\s*(?:=>|<-|->|>)?\s*(?:0x)?[0-9a-f]{4,16}:?)(?=\s|$)"
    r"|(?P<symbol><[^>]*>)"
    r"|(?P<string>\"[^\"]*\")"
    r"|(?P<number>#?-?\b0x[0-9a-f]+\b|#-?\d+\b)"
    r"|(?P<register>\$[a-z0-9]+\b|\b(?:[rwx]\d{1,2}|sp|lr|pc|fp|ip|sl|sb|xzr|wzr)\b)",
    re.IGNORECASE,
)
_MNEMONIC = re.compile(r"\s*(?:[0-9a-f]{2,8}\s+){0,4}(?P<mnemonic>[a-z][a-z0-9._]*)", re.IGNORECASE)


def _plain(lines: Sequence[str]) -> list[tuple[Part, ...]]:
    return [((line, ""),) for line in lines]


def assembly_lines(lines: Sequence[str]) -> list[tuple[Part, ...]]:
    """Colour disassembly of any architecture: addresses, mnemonics, registers, numbers, symbols, comments."""
    return [_assembly_line(line) for line in lines]


def _assembly_line(line: str) -> tuple[Part, ...]:
    if len(line) > 1000:
        return ((line, ""),)
    parts: list[Part] = []
    last = 0
    mnemonic_due = False
    for match in _ASSEMBLY.finditer(line):
        if match.start() < last:
            continue
        gap = line[last : match.start()]
        if mnemonic_due:
            parts += _with_mnemonic(gap)
            mnemonic_due = False
        elif gap:
            parts.append((gap, ""))
        role = match.lastgroup or ""
        parts.append((match.group(), role))
        mnemonic_due = role == "address" and last == 0
        last = match.end()
    rest = line[last:]
    parts += _with_mnemonic(rest) if mnemonic_due else [(rest, "")] if rest else []
    return tuple(parts)


def _with_mnemonic(text: str) -> list[Part]:
    match = _MNEMONIC.match(text)
    if match is None:
        return [(text, "")] if text else []
    at = match.start("mnemonic")
    return [(text[:at], "faint"), (match["mnemonic"], "mnemonic"), (text[match.end() :], "")]


def lua_lines(lines: Sequence[str]) -> list[tuple[Part, ...]]:
    """Colour Lua."""
    from pygments.lexers.scripting import LuaLexer

    return _lexed(LuaLexer(**_EXACT), lines)  # type: ignore[no-untyped-call]


def c_lines(lines: Sequence[str]) -> list[tuple[Part, ...]]:
    """Colour pseudocode, which is close enough to C."""
    from pygments.lexers.c_cpp import CLexer

    return _lexed(CLexer(**_EXACT), lines)  # type: ignore[no-untyped-call]


def _within(token: Any, kind: Any) -> bool:
    return token in kind


def _lexed(lexer: Lexer, lines: Sequence[str]) -> list[tuple[Part, ...]]:
    from pygments.token import Comment, Keyword, Name, Number, Operator, String

    text = "\n".join(lines)
    if len(text) > MAX_COLOURED:
        return _plain(lines)
    roles = (
        (Comment, "comment"),
        (Keyword, "keyword"),
        (String, "string"),
        (Number, "number"),
        (Name.Function, "symbol"),
        (Name.Builtin, "info"),
        (Operator.Word, "keyword"),
    )
    rows: list[list[Part]] = [[]]
    for token, value in lexer.get_tokens(text):
        role = next((name for kind, name in roles if _within(token, kind)), "")
        for number, piece in enumerate(value.split("\n")):
            if number:
                rows.append([])
            if piece:
                rows[-1].append((piece, role))
    # A lexer that loses or adds a line must not make us show something else than the text.
    if ["".join(part for part, _ in row) for row in rows] != list(lines):
        return _plain(lines)
    return [tuple(row) for row in rows]
