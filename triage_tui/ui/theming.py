"""Themes in YAML: the ones that ship with the product and the user's own.

A theme file holds `name`, `dark`, `colors` (the fields of a Textual theme) and `roles` (role name to colour,
see `triage_tui.ui.roles`). A file that cannot be used is named in one sentence and passed over.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from triage_tui.errors import TriageError
from triage_tui.resources import config_dir, shipped
from triage_tui.text import safe_line
from triage_tui.ui.yaml_files import parse_yaml, read_configured

DEFAULT_THEME = "triage-dark"
_PLAIN_LINE = re.compile(r'(  )?([a-z][a-z0-9-]*):(?: (?:"([\w #.,()%-]*)"|(true|false|triage-[a-z]+)))?\Z')
_COLOURS = {
    "primary",
    "secondary",
    "warning",
    "error",
    "success",
    "accent",
    "foreground",
    "background",
    "surface",
    "panel",
    "boost",
}
"""Fields of a Textual theme that `colors` may set."""


def read_theme(path: Path) -> Theme:
    """Read one theme file.

    Raises:
        TriageError: not YAML, no name, no primary colour, or a value that is no colour.
    """
    name = safe_line(str(path), 200)
    raw = read_configured(path)
    data: Any = plain_mapping(raw)
    if data is None:
        try:
            data = parse_yaml(raw, path)
        except TriageError as error:
            raise TriageError(f"theme {error}, so it was passed over") from None
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise TriageError(f"theme {name} has no name, so it was passed over")
    colours = _checked(data.get("colors"), name)
    if "primary" not in colours or not colours.keys() <= _COLOURS:
        extra = ", ".join(sorted(colours.keys() - _COLOURS)) or "primary is missing"
        raise TriageError(
            f"theme {name} needs colors with a primary and no unknown field ({safe_line(extra, 80)})"
        )
    roles = {f"role-{role}": value for role, value in _checked(data.get("roles"), name).items()}
    return Theme(
        name=safe_line(data["name"], 40),
        dark=bool(data.get("dark", True)),
        variables={**roles, **_checked(data.get("variables"), name)},
        **colours,  # type: ignore[arg-type]
    )


def plain_mapping(raw: bytes) -> dict[str, Any] | None:
    """Return what a file means that needs no more of YAML than the shipped themes do, else None.

    That is mappings of one level, quoted text without escapes, true and false. It is read here because a
    YAML reader would be a tenth of the time until the first frame.
    """
    found: dict[str, Any] = {}
    inner: dict[str, Any] | None = None
    for line in raw.decode("utf-8", "replace").splitlines():
        if not line or line.startswith("#"):
            continue
        match = _PLAIN_LINE.match(line)
        if match is None:
            return None
        indent, key, text, word = match.groups()
        if indent and inner is None:
            return None
        into = inner if indent and inner is not None else found
        if key in into:
            return None
        if text is None and word is None:
            if indent:
                return None
            inner = into[key] = {}
            continue
        into[key] = {"true": True, "false": False}.get(word, word) if text is None else text
        inner = inner if indent else None
    return None if any(value == {} for value in found.values()) else found


def _checked(value: Any, name: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TriageError(f"theme {name} holds something else than colours, so it was passed over")
    for key, text in value.items():
        if not isinstance(text, str | int):
            raise TriageError(f"theme {name}: {safe_line(str(key), 40)} is no colour, so it was passed over")
        try:
            Color.parse(str(text))
        except ColorParseError:
            raise TriageError(
                f"theme {name}: {safe_line(str(key), 40)}: {safe_line(str(text), 40)} is no colour,"
                " so it was passed over"
            ) from None
    return {str(key): str(text) for key, text in value.items()}


def load_themes(*, shipped_ones: bool = True) -> tuple[list[Theme], list[str]]:
    """Return the shipped themes and the user's, which may replace shipped ones, and the problems met."""
    themes: dict[str, Theme] = {}
    problems: list[str] = []
    own = config_dir() / "themes"
    for directory in (shipped("themes"), own) if shipped_ones else (own,):
        try:
            paths = sorted(directory.glob("*.yaml"))
        except OSError:
            continue
        for path in paths:
            try:
                theme = read_theme(path)
                themes[theme.name] = theme
            except TriageError as error:
                problems.append(str(error))
    return list(themes.values()), problems
