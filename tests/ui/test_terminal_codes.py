"""What goes to the terminal beside the screen: whole, wrapped where it must be, and never from data."""

from __future__ import annotations

import base64
import re

import pytest

from triage_tui.ui import terminal_codes as codes
from triage_tui.ui.announcing import BELL, Announcer, waiting_sentence, window_title
from triage_tui.ui.settings import Settings

XTERM = {"TERM": "xterm-256color"}
TMUX = {"TERM": "tmux-256color", "TMUX": "/tmp/x,1,0"}
SCREEN = {"TERM": "screen", "STY": "1.pts-0"}
HOSTILE = (
    "\x1b]52;c;AAAA\x07",
    "a\x9b31m",
    "x\x07\x1b\\y",
    "\u202eevil\u2066",
    "<b>&amp;;notify;",
    "\x1bP\x00",
)


def unwrapped(sent: str) -> str:
    """Return what the terminal gets behind a multiplexer."""
    if sent.startswith("\x1bPtmux;"):
        return sent.removeprefix("\x1bPtmux;").removesuffix("\x1b\\").replace("\x1b\x1b", "\x1b")
    return "".join(re.findall(r"\x1bP(.*?)\x1b\\", sent, re.S)) if sent.startswith("\x1bP") else sent


def decoded(sequence: str) -> str:
    match = re.fullmatch(r"\x1b]52;c;([A-Za-z0-9+/=]*)\x07", sequence)
    assert match is not None
    return base64.b64decode(match[1]).decode()


@pytest.mark.parametrize("text", ["one row", "中文 日本", "a\nb\n" * 200])
def test_the_clipboard_gets_the_text_whole(text: str) -> None:
    assert decoded(codes.clipboard(text, XTERM)) == text
    assert decoded(unwrapped(codes.clipboard(text, SCREEN))) == text
    direct, _, passed = codes.clipboard(text, TMUX).partition("\x1bPtmux;")
    assert decoded(direct) == text
    assert decoded(unwrapped("\x1bPtmux;" + passed)) == text


def test_a_text_that_terminals_would_drop_is_not_sent() -> None:
    most = codes.MAX_CLIPBOARD_BASE64 // 4 * 3
    assert len(codes.clipboard("x" * 4000, XTERM)) > 0
    text = "\n".join(["x" * 99] * (most // 100))
    assert codes.fits_clipboard(text)
    assert codes.clipboard(text, XTERM)
    assert not codes.fits_clipboard(text + "y" * 100)
    assert codes.clipboard(text + "y" * 100, XTERM) == ""


@pytest.mark.parametrize("term", ["linux", "dumb", ""])
def test_a_terminal_without_such_commands_gets_none(term: str) -> None:
    assert codes.clipboard("x", {"TERM": term}) == ""
    assert codes.notification("x", {"TERM": term}) == ""
    assert codes.title("x", {"TERM": term}) == ""


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("environ", [XTERM, TMUX, SCREEN, {"TERM": "foot"}, {"TERM": "xterm-kitty"}])
def test_nothing_of_a_text_is_ever_a_sequence(text: str, environ: dict[str, str]) -> None:
    body = re.fullmatch(
        r"\x1b](?:9|777;notify;triage-tui|99;i=triage-tui:o=unfocused);([ -~]*)(?:\x07|\x1b\\)",
        unwrapped(codes.notification(text, environ)),
    )
    assert body is not None
    assert not set(body[1]) & set(";<>&\\")
    assert re.fullmatch(r"\x1b]2;[ -~]*\x1b\\", codes.title(text, environ))
    copied = codes.clipboard(text, XTERM)
    assert all(line.isprintable() for line in decoded(copied).split("\n"))


def test_a_guest_that_waits_is_announced_as_the_settings_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "STY", "KITTY_WINDOW_ID", "VTE_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    sent: list[str] = []
    announcer = Announcer(sent.append, Settings())
    announcer.begin()
    announcer.count(1)
    announcer.waiting_began(["snmpd\x1b]0;x\x07"])
    announcer.end()
    assert sent == [
        codes.FIXED_ORDER,
        codes.SAVE_TITLE,
        "\x1b]2;triage-tui\x1b\\",
        "\x1b]2;triage-tui: 1 waits for you\x1b\\",
        BELL,
        "\x1b]9;triage-tui: snmpd__0_x_ is frozen and waits for you\x07",
        codes.OWN_ORDER,
        codes.RESTORE_TITLE,
    ]
    sent.clear()
    silent = Announcer(sent.append, Settings(bell=False, notifications=False, title=False))
    silent.begin()
    silent.count(2)
    silent.waiting_began(["snmpd", "httpd"])
    silent.end()
    assert sent == [codes.FIXED_ORDER, codes.OWN_ORDER]


def test_several_guests_are_one_announcement() -> None:
    assert waiting_sentence(["a", "b"]) == "2 guests are frozen and wait for you"
    assert window_title(3) == "triage-tui: 3 wait for you"
