"""YAML as nodes with their places, read so that a hostile text costs little and is refused in one sentence.

A text is looked at as a stream of events before anything is built of it: anchors, aliases, tags, deep nesting
and masses of values end the reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import yaml

from triage_tui.errors import TriageError
from triage_tui.text import number_of, safe_line

MAX_DEPTH = 8
MAX_VALUES = 3_000_000
MAX_SCALAR = 64 << 10
"""Characters of one value."""
MAX_TOLD = 20
"""Mistakes that are told one by one."""
_MAX_KEPT = 1000
_MAX_RANGES = 200

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C is ten times as fast, where PyYAML was built with it."""


class FileMistake(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong, at a place of a file. Lines and columns begin with 1."""

    line: int
    column: int
    key: str
    """Path of the key: `targets[3].env.HOME`."""
    what: str

    def sentence(self) -> str:
        """Return it as one line: place, key, what is wrong and what to do."""
        key = f" {safe_line(self.key, 80)}:" if self.key else ""
        return f"line {self.line}, column {self.column}:{key} {safe_line(self.what, 300)}"


class BadFileError(TriageError):
    """A file with mistakes: `mistakes` has the first of them in their order, `count` is of all.

    `rest` says how many others there are and in which lines, "" where there are none.
    """

    def __init__(self, name: str, mistakes: list[FileMistake], count: int, lines: Sequence[int] = ()) -> None:
        self.name = safe_line(name, 200)
        self.mistakes = sorted(mistakes)[:MAX_TOLD]
        self.count = count
        more = count - len(self.mistakes)
        self.rest = f"and {more} more, in {_ranges(sorted(lines)[len(self.mistakes) :])}" if more > 0 else ""
        first = self.mistakes[0].sentence()
        if count == 1:
            super().__init__(f"{self.name}, {first}")
        else:
            super().__init__(f"{self.name} has {number_of(count, 'mistake')}, the first in {first}")


def _ranges(lines: Sequence[int]) -> str:
    """Return line numbers as text, those that follow each other as a range: `lines 3 to 7, 9`."""
    found: list[tuple[int, int]] = []
    for line in dict.fromkeys(lines):
        if found and found[-1][1] == line - 1:
            found[-1] = (found[-1][0], line)
        else:
            found.append((line, line))
    shown = [str(first) if first == last else f"{first} to {last}" for first, last in found[:_MAX_RANGES]]
    behind = f" and further ones up to {found[-1][1]}" if len(found) > _MAX_RANGES else ""
    one = len(found) == 1 and found[0][0] == found[0][1]
    return f"line {shown[0]}" if one else f"lines {', '.join(shown)}{behind}"


class Mistakes:
    """Collects what is wrong with a file: all are counted, of all the lines are kept, and the first whole."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kept: list[FileMistake] = []
        self._lines: list[int] = []
        self.count = 0

    def add(self, node: yaml.Node, key: str, what: str) -> None:
        """Tell a mistake at the place of `node`."""
        self.count += 1
        self._lines.append(node.start_mark.line + 1)
        if len(self._kept) < _MAX_KEPT:
            mark = node.start_mark
            self._kept.append(FileMistake(mark.line + 1, mark.column + 1, key, what))

    def check(self) -> None:
        """Raise if there is any.

        Raises:
            BadFileError: there is.
        """
        if self.count:
            raise BadFileError(self._name, self._kept, self.count, self._lines)


def parse(name: str, raw: bytes) -> yaml.Node:
    """Return the nodes of a text.

    Raises:
        BadFileError: it is no YAML, empty, or of what is not taken.
    """

    def bad(mark: yaml.Mark | None, what: str) -> BadFileError:
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        return BadFileError(name, [FileMistake(line, column, "", what)], 1)

    try:
        _check(raw, bad)
        loader = _Loader(raw)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        told = [part for part in (error.context, error.problem) if part]
        problem = " ".join(" ".join(told or [str(error)]).split())[:200]
        raise bad(error.problem_mark or error.context_mark, f"it is no usable YAML: {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise bad(None, f"it is no usable YAML: {' '.join(str(error).split())[:200]}") from None
    if root is None:
        raise bad(None, "the file is empty")
    return root


def _check(raw: bytes, bad: Callable[[Any, str], BadFileError]) -> None:
    depth = values = 0
    for event in yaml.parse(raw, Loader=_Loader):
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise bad(mark, "anchors and aliases are not taken: write what all share under `defaults`")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            values += 1
            if event.tag is not None and event.tag != "!":
                raise bad(mark, f"the tag {event.tag[:60]!r} is not taken: write plain values")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
            raise bad(mark, f"a value has more than {MAX_SCALAR} characters")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise bad(mark, f"it is nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if values > MAX_VALUES:
            raise bad(mark, f"it holds more than {MAX_VALUES} values: split the file")
