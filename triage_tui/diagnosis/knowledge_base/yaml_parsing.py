"""Parse YAML so that a hostile file costs little, into data and the nodes that know their lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import yaml

MAX_DEPTH = 60
"""Levels of nesting; a condition of the greatest depth needs 50."""
MAX_VALUES = 100_000
"""Values in one file, what aliases stand for included. The largest shipped file has about 2,000."""
MAX_SCALAR = 8_000
"""Characters of one value."""

_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C is ten times as fast, where PyYAML was built with it."""


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


def line_of(root: yaml.Node, key: str) -> int:
    """Return the line, from 1, of the key path `key` ("entries[2].when.all[0]"), or of what holds it."""
    node, line, rest = root, root.start_mark.line + 1, key
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


def nodes(raw: bytes) -> yaml.Node | None:
    """Return the nodes of a file that was parsed before."""
    loader = _Loader(raw)
    try:
        return cast("yaml.Node | None", loader.get_single_node())
    finally:
        loader.dispose()


def parse(
    raw: bytes, bad: Callable[..., Exception], *, bounded: bool
) -> tuple[dict[Any, Any], yaml.MappingNode]:
    """Return the mapping in a file, and its node.

    Raises what `bad` makes of (line from 1, what is wrong, what to do).
    """
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
    return data, root


def _check_bounds(raw: bytes, bad: Callable[..., Exception]) -> None:
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
