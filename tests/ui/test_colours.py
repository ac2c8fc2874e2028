"""Few colours or none: what is sent to a real terminal, and that roles stay readable in every theme."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.color import ColorSystem
from textual.color import Color
from textual.theme import Theme

from tests.ui import fixtures
from tests.ui.terminal import Terminal
from tests.ui.test_themes import _READ
from triage_tui.ui.remembered import Remembered, keep
from triage_tui.ui.roles import Colours, Roles, contrast
from triage_tui.ui.theming import load_themes

_XTERM = (
    "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5"
    " 7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff"
)
"""The sixteen colours as xterm shows them."""


@pytest.fixture(params=[theme.name for theme in load_themes()[0]])
def theme(request: pytest.FixtureRequest) -> Theme:
    return next(one for one in load_themes()[0] if one.name == request.param)


def roles_of(theme: Theme, colours: Colours) -> Roles:
    return Roles({**theme.to_color_system().generate(), **theme.variables}, colours)


def seen(color: Color, system: ColorSystem) -> Color:
    """Return what a terminal with fewer colours shows of one."""
    less = color.rich_color.downgrade(system)
    if less.number is not None and less.number < 16:
        return Color.parse("#" + _XTERM.split()[less.number])
    return Color(*less.get_truecolor())


@pytest.mark.parametrize(
    ("system", "colours"), [(ColorSystem.STANDARD, "few"), (ColorSystem.EIGHT_BIT, "many")]
)
def test_roles_can_be_read_with_fewer_colours(theme: Theme, system: ColorSystem, colours: Colours) -> None:
    ground = seen(Color.parse(theme.background or "#000000"), system)
    roles = roles_of(theme, colours)
    for role in _READ:
        color = roles.style(role).color
        assert color is not None
        assert contrast(seen(Color.from_rich_color(color), system), ground) >= 3, role


@pytest.mark.parametrize("colours", ["few", "none"])
def test_the_cursor_and_marks_are_seen_without_tints(theme: Theme, colours: Colours) -> None:
    roles = roles_of(theme, colours)
    cursor, idle, mark = (roles.fill(name) for name in ("cursor", "cursor-idle", "mark"))
    assert cursor is not None
    assert idle is not None
    assert mark is not None
    assert cursor.reverse
    assert mark.reverse
    assert mark.underline
    assert idle.underline
    assert cursor.bgcolor is None
    assert roles.fill("section") is None


_SGR = re.compile(rb"\x1b\[([0-9;]*)m")


def colours_sent(raw: bytes) -> set[str]:
    """Return the kinds of colours in what was sent: "true", "256", "16"; attributes and resets are none."""
    kinds = set()
    for match in _SGR.finditer(raw):
        codes = [int(code or 0) for code in match[1].split(b";")]
        while codes:
            code = codes.pop(0)
            if code in (38, 48):
                kinds.add("true" if codes[0] == 2 else "256")
                del codes[: 4 if codes[0] == 2 else 2]
            elif 30 <= code <= 37 or 40 <= code <= 47 or 90 <= code <= 97 or 100 <= code <= 107:
                kinds.add("16")
    return kinds


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "true"),
        ({"TERM": "xterm-256color", "COLORTERM": ""}, "256"),
        ({"TERM": "xterm", "COLORTERM": ""}, "16"),
        ({"TERM": "linux", "COLORTERM": ""}, "16"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, ""),
    ],
)
def test_only_the_colours_that_the_terminal_has_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    keep(Remembered(theme="triage-light"))
    with Terminal(fixtures.make_workspace(tmp_path / "demo"), 24, 80, ("ui",), **environment) as terminal:
        terminal.until("likely: missing_interface")
        terminal.press("2")
        terminal.until("Let udhcpc believe")
        terminal.press("qq")
        assert terminal.finish() == 0
    sent = colours_sent(terminal.raw)
    assert sent == ({expected} if expected else set())
    assert "waits for you" in terminal.raw.decode()
    if expected in ("16", ""):
        assert re.search(rb"\x1b\[(?:[0-9;]*;)?7(?:;[0-9;]*)?m", terminal.raw), "the cursor is reversed"
