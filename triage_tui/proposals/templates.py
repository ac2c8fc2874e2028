"""The shipped templates: YAML files with Lua text in which `@name@` stands for a Lua literal.

Loading is strict, like that of the knowledge base; the format is described in docs/knowledge-base.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import re2
import yaml

from triage_tui.errors import TriageError
from triage_tui.resources import shipped
from triage_tui.runs.diagnosis_model import Risk
from triage_tui.runs.files import read_bounded

MAX_FILE_BYTES = 1 << 20

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PLACEHOLDER = re.compile(r"@([a-z_]+)@")

_KEYS = {
    "id", "title", "intent", "effect", "risk", "risk_text", "inverse", "hit_limit", "observe", "needs_input",
    "requires", "parameters", "uses", "lua",
}  # fmt: skip
_TEXTS = ("id", "title", "intent", "effect", "risk", "risk_text", "inverse")


@dataclass(frozen=True, slots=True)
class Template:
    """One way to turn a hypothesis into rule files."""

    id: str
    title: str
    intent: str
    effect: str
    risk: Risk
    risk_text: str
    inverse: str
    hit_limit: int
    observe: bool = False
    needs_input: str | None = None
    operations: frozenset[str] = frozenset()
    """Operations of the subject that the template can handle; empty is all."""
    syscalls: frozenset[str] = frozenset()
    parameters: tuple[str, ...] = ()
    """Parameters without which it cannot be built."""
    uses: tuple[str, ...] = ()
    lua: Mapping[str, str] = field(default_factory=dict)
    """Operation (or "default", "with_path") -> Lua text."""


@dataclass(frozen=True, slots=True)
class KnownContent:
    """The usual content of files whose path matches."""

    path: Any
    text: str
    risk: str


@dataclass(slots=True)
class Library:
    """All templates, shared Lua snippets and known file contents."""

    templates: dict[str, Template] = field(default_factory=dict)
    snippets: dict[str, str] = field(default_factory=dict)
    contents: list[KnownContent] = field(default_factory=list)


@lru_cache(maxsize=4)
def load_library(directory: Path | None = None) -> Library:
    """Load all templates from `directory`, by default the shipped `rules/templates`.

    Raises:
        TriageError: the first mistake, with file and template.
    """
    library = Library()
    for path in sorted((directory or shipped("rules") / "templates").glob("*.yaml")):
        try:
            document = yaml.load(read_bounded(path, MAX_FILE_BYTES, whole=True), _LOADER)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise TriageError(f"{path} is no usable YAML: {' '.join(str(error).split())[:200]}") from error
        if not isinstance(document, dict) or document.get("schema") != 1:
            raise TriageError(f"{path}, key schema: must be 1")
        for raw in document.get("templates", []):
            template = _template(raw, path)
            if template.id in library.templates:
                raise TriageError(f"{path}, template {template.id}: the id is used twice")
            library.templates[template.id] = template
        library.snippets.update(document.get("snippets", {}))
        library.contents += [_content(raw, path) for raw in document.get("contents", [])]
    for template in library.templates.values():
        for name in template.uses:
            if name not in library.snippets:
                raise TriageError(f"template {template.id}, key uses: there is no snippet {name}")
    return library


def _template(raw: object, path: Path) -> Template:
    if not isinstance(raw, dict):
        raise TriageError(f"{path}: a template is a mapping")
    name = raw.get("id", "?")
    extra = set(raw) - _KEYS
    missing = [key for key in (*_TEXTS, "hit_limit") if key not in raw]
    if extra or missing:
        what = f"key {min(map(str, extra))}: unknown" if extra else f"key {missing[0]}: missing"
        raise TriageError(f"{path}, template {name}, {what}")
    if raw["risk"] not in ("low", "medium", "high"):
        raise TriageError(f"{path}, template {name}, key risk: needs low, medium or high")
    requires = raw.get("requires", {})
    return Template(
        **{key: str(raw[key]) for key in _TEXTS if key != "risk"},
        risk=cast("Risk", raw["risk"]),
        hit_limit=int(raw["hit_limit"]),
        observe=bool(raw.get("observe", False)),
        needs_input=raw.get("needs_input"),
        operations=frozenset(requires.get("operation", ())),
        syscalls=frozenset(requires.get("syscalls", ())),
        parameters=tuple(raw.get("parameters", ())),
        uses=tuple(raw.get("uses", ())),
        lua=dict(raw.get("lua", {})),
    )


def _content(raw: Mapping[str, str], path: Path) -> KnownContent:
    try:
        return KnownContent(path=re2.compile(raw["path"]), text=raw["text"], risk=raw["risk"])
    except (KeyError, TypeError, re2.error) as error:
        raise TriageError(f"{path}, contents: an entry needs path (RE2), text and risk ({error})") from error
