"""What every shipped theme has to hold: text that can be read, states that can be told apart."""

from __future__ import annotations

import pytest
import yaml
from textual.color import Color
from textual.theme import Theme

from triage_tui.resources import shipped
from triage_tui.ui import theming
from triage_tui.ui.roles import Roles, contrast
from triage_tui.ui.theming import load_themes

_READ = (
    "strong", "muted", "heading", "accent", "key", "good", "warn", "bad", "info", "failed", "changed",
    "number", "string", "symbol", "keyword", "register", "mnemonic", "added", "removed", "link", "loop",
    "wait",
)  # fmt: skip
"""Roles of text that must be read; the others repeat or only structure."""
_GROUNDS = ("cursor", "wait-row", "added-row", "removed-row", "section")


@pytest.fixture(params=[theme.name for theme in load_themes()[0]])
def theme(request: pytest.FixtureRequest) -> Theme:
    return next(one for one in load_themes()[0] if one.name == request.param)


def roles_of(theme: Theme) -> Roles:
    return Roles({**theme.to_color_system().generate(), **theme.variables})


def ground(theme: Theme, fill: str = "") -> Color:
    if fill:
        style = roles_of(theme).fill(fill)
        assert style is not None
        assert style.bgcolor is not None
        return Color.from_rich_color(style.bgcolor)
    return Color.parse(theme.background or "#000000")


def text(theme: Theme, role: str) -> Color:
    style = roles_of(theme).style(role)
    assert style.color is not None
    return Color.from_rich_color(style.color)


def test_there_are_at_least_five() -> None:
    themes, problems = load_themes()
    assert problems == []
    assert len([one for one in themes if one.name.startswith("triage-")]) >= 5
    assert {one.dark for one in themes} == {True, False}


@pytest.mark.parametrize("role", _READ)
def test_text_can_be_read(theme: Theme, role: str) -> None:
    least = 7.0 if theme.name == "triage-contrast" else 4.5
    assert contrast(text(theme, role), ground(theme)) >= least


@pytest.mark.parametrize("fill", _GROUNDS)
def test_plain_text_can_be_read_on_every_ground(theme: Theme, fill: str) -> None:
    foreground = Color.parse(theme.foreground or "#ffffff")
    assert contrast(foreground, ground(theme, fill)) >= 4.5


@pytest.mark.parametrize("missing", ["protan", "deutan"])
def test_good_and_bad_differ_for_eyes_without_red_or_green(missing: str) -> None:
    """Simulated after Viénot, Brettel and Mollon (1999), in linear RGB."""
    theme = next(one for one in load_themes()[0] if one.name == "triage-colourblind")
    matrix = {
        "protan": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
        "deutan": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
    }[missing]

    def seen(color: Color) -> list[float]:
        linear = [(part / 255) ** 2.2 for part in color.rgb]
        return [max(0.0, sum(a * b for a, b in zip(row, linear, strict=True))) ** (1 / 2.2) for row in matrix]

    good, bad = seen(text(theme, "good")), seen(text(theme, "bad"))
    assert sum((a - b) ** 2 for a, b in zip(good, bad, strict=True)) ** 0.5 > 0.4


def test_every_theme_names_every_role_of_the_first() -> None:
    themes = {one.name: one for one in load_themes()[0]}
    first = set(themes["triage-dark"].variables)
    for one in themes.values():
        assert set(one.variables) == first, one.name


def test_the_shipped_themes_are_read_without_a_yaml_reader_and_mean_the_same() -> None:
    paths = sorted(shipped("themes").glob("*.yaml"))
    assert len(paths) == 5
    for path in paths:
        assert theming.plain_mapping(path.read_bytes()) == yaml.safe_load(path.read_bytes())


@pytest.mark.parametrize(
    "text",
    [
        "name: 'quoted otherwise'",
        "name: yes",
        'name: "with \\" escape"',
        "colors: {primary: red}",
        "colors:\n    primary: deeper",
        "  name: triage-x",
        "name: triage-x\nname: triage-y",
        "colors:",
        "colors:\n  primary:",
        "name: triage-x # a remark",
        "- name",
        "name: &anchor triage-x",
        "\tname: triage-x",
    ],
)
def test_what_needs_more_of_yaml_is_left_to_a_yaml_reader(text: str) -> None:
    assert theming.plain_mapping(text.encode()) is None
