"""Knowledge base files as data with line numbers, read so that a hostile one costs little.

A file is looked at as a stream of events first: size, nesting and the number of values are bounded before
anything is built, and an alias counts as much as what it stands for, so that nine lines of anchors cannot
become a billion values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from triage_tui.diagnosis.knowledge_base import parsed_files
from triage_tui.diagnosis.knowledge_base.mistakes import Mistake
from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded, real_path
from triage_tui.text import safe_line

MAX_FILE_BYTES = 1 << 20


class BadDocumentError(Exception):
    """A file that cannot be used as a whole; holds the mistake."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.sentence())
        self.mistake = mistake


_NONE: Mapping[str, int] = {}


class Document:
    """One file: its content, and where in it each part stands."""

    def __init__(
        self, path: Path, data: Mapping[str, Any], root: Callable[[], Any], lines: Mapping[str, int] = _NONE
    ) -> None:
        """`root` gives the file's nodes when a line is asked for that is not among `lines`."""
        self.path = path
        self.data = data
        self._root = root
        self._lines = lines

    def line(self, key: str) -> int:
        """Return the line, from 1, of the key path `key` ("entries[2].when.all[0]"), or of what holds it."""
        if (known := self._lines.get(key)) is not None:
            return known
        from triage_tui.diagnosis.knowledge_base.yaml_parsing import line_of

        return line_of(self._root(), key)


def read_file(path: Path) -> bytes:
    """Return the bytes of a knowledge base file; links are followed, as configuration often is one.

    Raises:
        TriageError: it cannot be read, is no regular file or is too long.
    """
    return read_bounded(real_path(path), MAX_FILE_BYTES, whole=True)


def parse_document(path: Path, raw: bytes, *, bounded: bool = True) -> Document:
    """Parse one YAML file into its top-level mapping; one that shipped need not be `bounded`.

    Raises:
        BadDocumentError: it is no YAML, too much of it, no mapping, or of another schema version.
    """
    # Only here: importing the parser takes longer than what was kept of all files.
    from triage_tui.diagnosis.knowledge_base.yaml_parsing import parse

    def bad(line: int, what: str, do: str = "", key: str = "") -> BadDocumentError:
        return BadDocumentError(Mistake(file=str(path), line=line, key=key, what=what, do=do))

    data, root = parse(raw, bad, bounded=bounded)
    document = Document(path, data, lambda: root)
    if data.get("schema") != 1:
        shown = safe_line(repr(data.get("schema")), 60)
        raise bad(document.line("schema"), f"must be 1, not {shown}", "begin it with `schema: 1`", "schema")
    return document


def read_document(path: Path, *, bounded: bool = True) -> tuple[Document, bytes]:
    """Read and parse one file; also return its bytes.

    Raises:
        BadDocumentError: it cannot be read or used.
    """
    try:
        raw = read_file(path)
    except TriageError as error:
        raise BadDocumentError(Mistake(file=str(path), line=0, what=str(error))) from error
    return document_of(path, raw, bounded=bounded), raw


def document_of(path: Path, raw: bytes, *, bounded: bool = True) -> Document:
    """Return the same as `parse_document`, of files that were parsed before without parsing them again.

    Raises:
        BadDocumentError: it cannot be used.
    """
    parsed = parsed_files.kept(raw, bounded=bounded)
    if parsed is not None:
        # Only what has a mistake is asked for further lines.
        return Document(path, parsed.data, cache(partial(_nodes, raw)), parsed.lines)
    document = parse_document(path, raw, bounded=bounded)
    lists = {key: value for key, value in document.data.items() if isinstance(value, list)}
    keys = [f"{key}[{index}]" for key, value in lists.items() for index in range(len(value))]
    lines = {key: document.line(key) for key in keys}
    parsed_files.keep(raw, parsed_files.Parsed(dict(document.data), lines), bounded=bounded)
    return document


def _nodes(raw: bytes) -> Any:
    from triage_tui.diagnosis.knowledge_base.yaml_parsing import nodes

    return nodes(raw)
