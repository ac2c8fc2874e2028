"""Arguments of tools as a person types them: texts, which are turned into what the tool takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec

from triage_tui.analyst.tools.tool import Tool


def kind_of(schema: dict[str, Any]) -> str:
    """Return the kind of an argument in a word, or its values: "integer", "open | confirmed"."""
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return kind_of(schema["anyOf"][0])
    return str(schema.get("type", "any"))


def about(schema: dict[str, Any]) -> str:
    """Return what an argument means, "" where nothing is said of it."""
    inner = schema["anyOf"][0] if "anyOf" in schema else {}
    return str(schema.get("description") or inner.get("description", ""))


def from_texts(tool: Tool, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return arguments for `Tool.call`: what takes no text is read as JSON; a list may be given in parts."""
    given: dict[str, Any] = {}
    lists: dict[str, list[str]] = {}
    known = tool.parameters.get("properties", {})
    for name, text in pairs:
        kind = kind_of(known.get(name, {}))
        given[name] = text
        if kind in ("integer", "number", "boolean"):
            # What is no JSON stays text, and the tool says what it wanted instead.
            with contextlib.suppress(msgspec.DecodeError, UnicodeError):
                given[name] = msgspec.json.decode(text)
        elif kind == "array":
            lists.setdefault(name, []).append(text)
            given[name] = lists[name]
    return given
