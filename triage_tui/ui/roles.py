"""Colour roles: the names by which rows ask for colours, and what the active theme makes of them.

A theme may set a role directly (`roles:` in its YAML file); what it leaves out is derived from the theme's
primary colours, so that every Textual theme works. State is always a word as well as a colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

from rich._palettes import STANDARD_PALETTE
from rich.color import ColorSystem
from rich.style import Style
from textual.color import Color, ColorParseError

if TYPE_CHECKING:
    from textual.app import App

Colours = Literal["many", "few", "none"]
"""256 or more, sixteen, or none at all (NO_COLOR)."""

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


_FEW_FILLS = {
    "cursor": "reverse",
    "cursor-idle": "underline",
    "mark": "reverse underline",
    "current": "bold",
    "wait-row": "bold",
}
"""What stands for a background where there are too few colours for a tint."""

_XTERM = (
    "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5"
    " 7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff"
)


def colours_of(app: App[None]) -> Colours:
    """Return how many colours the terminal has, or should show."""
    if app.no_color or app.console.color_system is None:
        return "none"
    return "many" if app.console.color_system in ("256", "truecolor") else "few"


def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio of WCAG 2.1 (relative luminance), 1 to 21."""

    def luminance(color: Color) -> float:
        parts = [part / 255 for part in color.rgb]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _ansi(number: int) -> tuple[Color, Color]:
    """Return one of the sixteen colours: as Rich counts it, and as xterm shows it."""
    return Color(*STANDARD_PALETTE[number]), Color.parse(f"#{_XTERM.split()[number]}")


def readable_ansi(colour: Color, background: Color) -> Color:
    """Return the one of sixteen colours that is nearest to `colour` and can be read on `background`.

    Terminals differ in what the sixteen look like: it can be read in two palettes, the one that Rich counts
    with and the one of xterm.
    """
    ground = _ansi(background.rich_color.downgrade(ColorSystem.STANDARD).number or 0)
    found = [pair for pair in map(_ansi, range(16)) if all(map(_readable, pair, ground))]
    return min(found, key=lambda pair: _distance(pair[0], colour))[0]


def _readable(text: Color, ground: Color) -> bool:
    return contrast(text, ground) >= 3


def _distance(one: Color, other: Color) -> int:
    return sum((a - b) ** 2 for a, b in zip(one.rgb, other.rgb, strict=True))


class Roles:
    """The styles of all roles under one theme."""

    def __init__(self, variables: Mapping[str, str], colours: Colours = "many") -> None:
        """Take the variables of the active theme (`App.theme_variables`)."""
        background = Color.parse(variables.get("background", "#101010"))
        self._styles: dict[str, Style] = {}
        for role, (name, attributes) in _DEFAULTS.items():
            colour = _colour(variables, f"role-{role}" if f"role-{role}" in variables else name, background)
            if colours == "few":
                colour = readable_ansi(colour, background)
            self._styles[role] = Style.parse(attributes) + Style(color=colour.rich_color)
        self._fills: dict[str, Style] = {}
        if colours != "many":
            self._fills = {fill: Style.parse(attributes) for fill, attributes in _FEW_FILLS.items()}
            return
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


_made: WeakKeyDictionary[App[None], tuple[Mapping[str, str], Colours, Roles]] = WeakKeyDictionary()


def roles_of(app: App[None]) -> Roles:
    """Return the styles of an app as its theme is now: the same for all widgets, made once."""
    variables, colours = app.theme_variables, colours_of(app)
    known = _made.get(app)
    if known is None or known[0] != variables or known[1] != colours:
        known = _made[app] = (dict(variables), colours, Roles(variables, colours))
    return known[2]
