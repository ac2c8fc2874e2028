"""Split Lua text into tokens, well enough for the lint: names, operators, and where they stand.

Comments and strings (with long brackets, Lua 5.3 manual section 3.1) are skipped whole, so that their
content never counts as code. The compiler proper has the last word on what is valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

_TOKEN = re.compile(
    rb"""
    (?P<comment> --\[(?P<c>=*)\[ .*? (?: \](?P=c)\] | \Z ) | --[^\n\r]* )
  | (?P<string>  \[(?P<s>=*)\[ .*? (?: \](?P=s)\] | \Z )
               | "(?: \\z\s* | \\(?: \r\n | \n\r | . ) | [^"\\\n\r] )*"
               | '(?: \\z\s* | \\(?: \r\n | \n\r | . ) | [^'\\\n\r] )*' )
  | (?P<name>    [A-Za-z_][A-Za-z0-9_]* )
  | (?P<number>  0[xX][0-9A-Fa-f.]+ (?:[pP][+-]?[0-9]+)? | \.?[0-9][0-9.]* (?:[eE][+-]?[0-9]+)? )
  | (?P<operator> \.\.\. | \.\. | == | ~= | <= | >= | // | :: | << | >> | [^\s] )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(msgspec.Struct, frozen=True):
    """One token. `kind` is "name", "number", "string" or "operator"; strings have the text ""."""

    kind: str
    text: str
    line: int


class Piece(msgspec.Struct, frozen=True):
    """A token or a comment as it is written; `lines_before` counts the line ends right before it."""

    kind: str
    raw: bytes
    lines_before: int


def tokens(source: bytes) -> Iterator[Token]:
    """Yield the tokens of Lua text; lines count from 1. Never fails: what is not Lua becomes operators."""
    line, done = 1, 0
    for match in _TOKEN.finditer(source):
        line += source.count(b"\n", done, match.start())
        done = match.start()
        kind = _kind(match)
        if kind == "comment":
            continue
        text = "" if kind == "string" else match[0].decode("utf-8", "backslashreplace")
        yield Token(kind, text, line)


def pieces(source: bytes) -> Iterator[Piece]:
    """Yield the tokens and comments of Lua text that compiles, in order, each as it is written."""
    done = 0
    for match in _TOKEN.finditer(source):
        between = source[done : match.start()].replace(b"\r\n", b"\n").replace(b"\n\r", b"\n")
        yield Piece(_kind(match), match[0], between.count(b"\n") + between.count(b"\r"))
        done = match.end()


def _kind(match: re.Match[bytes]) -> str:
    kind = str(match.lastgroup)
    if kind in ("c", "s"):
        return "comment" if match["comment"] is not None else "string"
    return kind
