"""The syntax tree of a shell script, by tree-sitter. It is imported when the first script is read.

A script of a broken or unknown dialect still has a tree: what is not understood of it stands in error nodes.
"""

from __future__ import annotations

import re
import time
from functools import cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tree_sitter import Language, Node

MAX_SECONDS = 2.0
"""How long a text is parsed."""
_PIECE = 1 << 16


class Script(msgspec.Struct, frozen=True):
    """A text of the shell with its tree."""

    path: str
    """Guest path."""
    source: bytes
    root: Node
    first_line: int = 0
    """Line of the file before the text's first one: for a text inside of another file."""

    def text(self, node: Node) -> str:
        """Return the source of a node."""
        # Not `Node.text`: it ends the process where the text was given piece by piece (tree-sitter 0.26).
        return self.source[node.start_byte : node.end_byte].decode("utf-8", "surrogateescape")

    def between(self, start: int, end: int) -> str:
        """Return the source from one byte to another."""
        return self.source[start:end].decode("utf-8", "surrogateescape")

    def place(self, node: Node) -> str:
        """Return where a node stands."""
        return f"{self.path} line {node.start_point[0] + 1 + self.first_line}"


@cache
def _language() -> Language:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Language(tree_sitter_bash.language())


_TOKEN = re.compile(
    rb"""\\.|'|"|\#|<<-?[ \t]*(\\|["']?)([A-Za-z_][A-Za-z0-9_]*)["']?[^\n]*\n"""
    rb"""|\$([A-Za-z_][A-Za-z0-9_]*|[0-9])""",
    re.DOTALL,
)
_BEFORE_COMMENT = b" \t\n;&|("


def _braced(source: bytes) -> bytes:
    """Return a script with ${NAME} for $NAME, outside of single quotes, comments and here-documents.

    tree-sitter-bash 0.25 takes the second variable of `$DIR/$NAME.pid` for a command of its own.
    """
    parts: list[bytes] = []
    copied = at = 0
    quoted = False
    while (token := _TOKEN.search(source, at)) is not None:
        at = token.end()
        match token[0][:1]:
            case b'"':
                quoted = not quoted
            case b"'" if not quoted:
                at = source.find(b"'", at) + 1 or len(source)
            case b"#" if not quoted and source[token.start() - 1 : token.start()] in _BEFORE_COMMENT:
                at = source.find(b"\n", at) + 1 or len(source)
            case b"<" if not quoted:
                end = re.compile(rb"^\t*%s[ \t]*$" % token[2], re.MULTILINE).search(source, at)
                at = end.end() if end is not None else token.start() + 2
            case b"$":
                parts += [source[copied : token.start()], b"${", token[3], b"}"]
                copied = at
    return b"".join([*parts, source[copied:]])


def parse(path: str, source: bytes, first_line: int = 0) -> Script | None:
    """Return a script with its tree, None where that takes too long."""
    from tree_sitter import Parser

    latest = time.monotonic() + MAX_SECONDS
    source = _braced(source.replace(b"\r\n", b"\n"))

    def piece(offset: int, _point: object) -> bytes:
        return source[offset : offset + _PIECE]

    def too_late(_offset: int, _has_error: bool) -> bool:
        return time.monotonic() > latest

    try:
        root = Parser(_language()).parse(piece, progress_callback=too_late).root_node
    except ValueError:
        return None
    return Script(path, source, root, first_line)
