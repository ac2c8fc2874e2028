"""The syntax tree of a shell script, by tree-sitter. It is imported when the first script is read.

A script of a broken or unknown dialect still has a tree: what is not understood of it stands in error nodes.
"""

from __future__ import annotations

import bisect
import time
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from triage_tui.campaign.discovery.shell.mending import TEST, mended

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
    joined: list[int] = []
    """Bytes before which a line of the file goes on with the next."""

    def text(self, node: Node) -> str:
        """Return the source of a node."""
        # Not `Node.text`: it ends the process where the text was given piece by piece (tree-sitter 0.26).
        return self.between(node.start_byte, node.end_byte)

    def between(self, start: int, end: int) -> str:
        """Return the source from one byte to another."""
        return self.source[start:end].replace(TEST, b"[").decode("utf-8", "surrogateescape")

    def place(self, node: Node) -> str:
        """Return where a node stands."""
        return f"{self.path} line {self.line(node) + 1}"

    def line(self, node: Node) -> int:
        """Return the line of the file in which a node begins, from 0."""
        return node.start_point[0] + self.first_line + bisect.bisect_right(self.joined, node.start_byte)


@cache
def _language() -> Language:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Language(tree_sitter_bash.language())


def parse(path: str, source: bytes, first_line: int = 0) -> Script | None:
    """Return a script with its tree, None where that takes too long."""
    from tree_sitter import Parser

    latest = time.monotonic() + MAX_SECONDS
    source, joined = mended(source.replace(b"\r\n", b"\n"))

    def piece(offset: int, _point: object) -> bytes:
        return source[offset : offset + _PIECE]

    def too_late(_offset: int, _has_error: bool) -> bool:
        return time.monotonic() > latest

    try:
        root = Parser(_language()).parse(piece, progress_callback=too_late).root_node
    except ValueError:
        return None
    return Script(path, source, root, first_line, joined)
