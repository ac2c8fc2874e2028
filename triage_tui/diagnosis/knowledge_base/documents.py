"""Knowledge base files as data with line numbers, read so that a hostile one costs little.

A file is looked at as a stream of events first: size, nesting and the number of values are bounded before
anything is built, and an alias counts as much as what it stands for, so that nine lines of anchors cannot
become a billion values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import yaml

from triage_tui.diagnosis.knowledge_base import parsed_files
from triage_tui.diagnosis.knowledge_base.mistakes import Mistake
from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded, real_path
from triage_tui.text import safe_line

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 60
"""Levels of nesting; a condition of the greatest depth needs 50."""
MAX_VALUES = 100_000
"""Values in one file, what aliases stand for included. The largest shipped file has about 2,000."""
MAX_SCALAR = 8_000
"""Characters of one value."""

_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C is ten times as fast, where PyYAML was built with it."""


class BadDocumentError(Exception):
    """A file that cannot be used as a whole; holds the mistake."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.sentence())
        self.mistake = mistake


class _Loader(_Base):  # type: ignore[misc,valid-type]
    """YAML without implicit typing surprises: duplicate keys are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping, refusing a key given twice."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return cast("dict[Any, Any]", super().construct_mapping(node, deep=deep))


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
        node: yaml.Node = self._root()
        line = node.start_mark.line + 1
        rest = key
        while rest:
            found = _step(node, rest)
            if found is None:
                break
            mark, node, rest = found
            line = mark + 1
        return line


def _step(node: yaml.Node, key: str) -> tuple[int, yaml.Node, str] | None:
    """Follow the first part of a key path: (line from 0, the node there, the rest of the path)."""
    index = re.match(r"\[(\d{1,6})\]\.?", key)
    if isinstance(node, yaml.SequenceNode):
        if index is None or int(index[1]) >= len(node.value):
            return None
        child = node.value[int(index[1])]
        return child.start_mark.line, child, key[index.end() :]
    if not isinstance(node, yaml.MappingNode):
        return None
    best: tuple[int, yaml.Node, str] | None = None
    longest = -1
    # Names may hold dots themselves: the longest that fits is meant.
    for name, child in node.value:
        text = str(name.value) if isinstance(name, yaml.ScalarNode) else ""
        after = key[len(text) :]
        if key.startswith(text) and (not after or after[0] in ".[") and len(text) > longest:
            best, longest = (name.start_mark.line, child, after.removeprefix(".")), len(text)
    return best


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

    def bad(line: int, what: str, do: str = "", key: str = "") -> BadDocumentError:
        return BadDocumentError(Mistake(file=str(path), line=line, key=key, what=what, do=do))

    try:
        if bounded:
            _check_bounds(raw, bad)
        loader = _Loader(raw)
        try:
            root = loader.get_single_node()
            data = loader.construct_document(root) if root is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(error.problem or error).split())[:200]
        raise bad(mark.line + 1 if mark else 0, f"the file is no usable YAML: {problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())[:200]
        raise bad(0, f"the file is no usable YAML: {text}") from error
    if not isinstance(data, dict) or not isinstance(root, yaml.MappingNode):
        raise bad(1, "the file must hold a mapping with the key schema", "begin it with `schema: 1`")
    document = Document(path, data, lambda: root)
    if data.get("schema") != 1:
        shown = safe_line(repr(data.get("schema")), 60)
        raise bad(document.line("schema"), f"must be 1, not {shown}", "begin it with `schema: 1`", "schema")
    return document


def _check_bounds(raw: bytes, bad: Any) -> None:
    """Refuse deep nesting, too many or too long values, and aliases that stand for too much."""
    # Of each open collection: its anchor, and the number of values before it.
    open_ones: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    values = 0
    for event in yaml.parse(raw, Loader=_Base):
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise bad(line, f"the alias *{event.anchor} stands for nothing before it")
            values += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if event.anchor:
                sizes[event.anchor] = 1
            if len(event.value) > MAX_SCALAR:
                raise bad(line, f"a value is longer than {MAX_SCALAR} characters", "shorten it")
        elif isinstance(event, yaml.CollectionStartEvent):
            values += 1
            open_ones.append((event.anchor, values))
            if len(open_ones) > MAX_DEPTH:
                raise bad(line, f"it is nested more than {MAX_DEPTH} levels deep", "write it flatter")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_ones.pop()
            if anchor:
                sizes[anchor] = values - before + 1
        if values > MAX_VALUES:
            raise bad(
                line,
                f"it holds more than {MAX_VALUES} values, what its aliases stand for included",
                "split the file, and use fewer aliases",
            )


def read_document(path: Path, *, bounded: bool = True) -> tuple[Document, bytes]:
    """Read and parse one file; also return its bytes.

    Raises:
        BadDocumentError: it cannot be read or used.
    """
    try:
        raw = read_file(path)
    except TriageError as error:
        raise BadDocumentError(Mistake(file=str(path), line=0, what=str(error))) from error
    parsed = parsed_files.kept(raw, bounded=bounded)
    if parsed is not None:
        # Only what has a mistake is asked for further lines.
        nodes = cache(partial(_nodes, raw))
        return Document(path, parsed.data, nodes, parsed.lines), raw
    document = parse_document(path, raw, bounded=bounded)
    entries = document.data.get("entries")
    count = len(entries) if isinstance(entries, list) else 0
    lines = {key: document.line(key) for key in (f"entries[{index}]" for index in range(count))}
    parsed_files.keep(raw, parsed_files.Parsed(dict(document.data), lines), bounded=bounded)
    return document, raw


def _nodes(raw: bytes) -> Any:
    """Parse a file again that was usable when it was parsed before."""
    loader = _Loader(raw)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()
