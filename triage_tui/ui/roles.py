"""Colour roles: the names by which rows ask for colours, and what the active theme makes of them.

A theme may set a role directly (`roles:` in its YAML file); what it leaves out is derived from the theme's
primary colours, so that every Textual theme works. State is always a word as well as a colour.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.style import Style
from textual.color import Color, ColorParseError

# role -> (theme variable it falls back to, attributes)
_DEFAULTS: dict[str, tuple[str, str]] = {
    "": ("foreground", ""),
    "strong": ("foreground", "bold"),
    "muted": ("muted", ""),
    "faint": ("faint", ""),
    "rule": ("rule", ""),
    "heading": ("secondary", "bold"),
    "title": ("foreground", "bold"),
    "accent": ("accent", ""),
    "key": ("accent", "bold"),
    "good": ("success", ""),
    "warn": ("warning", ""),
    "bad": ("error", ""),
    "info": ("secondary", ""),
    "failed": ("error", "bold"),
    "changed": ("warning", "bold"),
    "address": ("faint", ""),
    "number": ("number", ""),
    "string": ("success", ""),
    "symbol": ("primary", ""),
    "keyword": ("keyword", ""),
    "comment": ("muted", "italic"),
    "register": ("secondary", ""),
    "mnemonic": ("primary", ""),
    "added": ("success", ""),
    "removed": ("error", ""),
    "hunk": ("secondary", ""),
    "link": ("primary", "underline"),
    "hit": ("warning", "bold reverse"),
    "loop": ("keyword", "bold"),
    "wait": ("waiting", "bold"),
    "confidence": ("primary", "bold"),
}

_FILLS: dict[str, tuple[str, float]] = {
    "cursor": ("primary", 0.28),
    "cursor-idle": ("foreground", 0.08),
    "mark": ("accent", 0.30),
    "current": ("warning", 0.16),
    "wait-row": ("waiting", 0.16),
    "added-row": ("success", 0.12),
    "removed-row": ("error", 0.12),
    "section": ("foreground", 0.05),
}


def _colour(variables: Mapping[str, str], name: str, background: Color) -> Color:
    foreground = Color.parse(variables.get("foreground", "#e0e0e0"))
    fallback = {
        "muted": background.blend(foreground, 0.62),
        "faint": background.blend(foreground, 0.42),
        "rule": background.blend(foreground, 0.20),
    }
    value = variables.get(name)
    if value is None:
        if name in fallback:
            return fallback[name]
        value = variables.get(
            {"number": "warning", "keyword": "accent", "waiting": "warning"}.get(name, "foreground")
        )
    try:
        return Color.parse(value or "#e0e0e0")
    except ColorParseError:
        return foreground


class Roles:
    """The styles of all roles under one theme."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Take the variables of the active theme (`App.theme_variables`)."""
        background = Color.parse(variables.get("background", "#101010"))
        self._styles: dict[str, Style] = {}
        for role, (name, attributes) in _DEFAULTS.items():
            colour = _colour(variables, f"role-{role}" if f"role-{role}" in variables else name, background)
            self._styles[role] = Style.parse(attributes) + Style(color=colour.rich_color)
        self._fills: dict[str, Style] = {}
        for fill, (name, share) in _FILLS.items():
            own = variables.get(f"role-{fill}")
            colour = Color.parse(own) if own else _colour(variables, name, background)
            blended = colour if own or colour.ansi is not None else background.blend(colour, share)
            self._fills[fill] = Style(bgcolor=blended.rich_color)

    def style(self, role: str) -> Style:
        """Return the foreground style of a role; an unknown role is plain text."""
        return self._styles.get(role) or self._styles[""]

    def fill(self, name: str) -> Style | None:
        """Return the background style of a row, or None."""
        return self._fills.get(name)
