"""What is said to the terminal beside the screen: clipboard, desktop notification, title of the window.

Every function returns the characters to send, wrapped for tmux or GNU screen where one is in between. Texts
are made safe here once more, so that no caller can send a control sequence that came from data.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Literal

from triage_tui.text import safe_line, shown_block

Multiplexer = Literal["", "tmux", "screen"]

MAX_CLIPBOARD_BASE64 = 74_994
"""Base64 bytes of a clipboard text beyond which most terminals drop it without a word."""
_MAX_CLIPBOARD_LINES = 1_000_000
_SCREEN_CHUNK = 240
"""Bytes of a device control string that every GNU screen passes on."""

FIXED_ORDER, OWN_ORDER = "\x1b[8l", "\x1b[8h"
"""Show cells in the order in which they are sent, and as the terminal likes (ECMA-48 BDSM): a row in which a
guest's text runs from right to left stays as it was laid out."""
SAVE_TITLE, RESTORE_TITLE = "\x1b[22;2t", "\x1b[23;2t"
"""Push and pop the title of the window (xterm's stack of titles)."""


def multiplexer(environ: Mapping[str, str] = os.environ) -> Multiplexer:
    """Return what stands between the app and the terminal."""
    term = environ.get("TERM", "")
    if environ.get("TMUX") or term.startswith("tmux"):
        return "tmux"
    return "screen" if environ.get("STY") or term.startswith("screen") else ""


def understands(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether the terminal is one that takes operating system commands (OSC) at all."""
    return environ.get("TERM", "") not in ("", "dumb", "linux")


def _passed_through(sequence: str, between: Multiplexer) -> str:
    if between == "tmux":
        doubled = sequence.replace("\x1b", "\x1b\x1b")
        return f"\x1bPtmux;{doubled}\x1b\\"
    if between == "screen":
        parts = [sequence[at : at + _SCREEN_CHUNK] for at in range(0, len(sequence), _SCREEN_CHUNK)]
        return "".join(f"\x1bP{part}\x1b\\" for part in parts)
    return sequence


def fits_clipboard(text: str) -> bool:
    """Tell whether a terminal takes a text of this size."""
    return (len(text.encode("utf-8", "replace")) + 2) // 3 * 4 <= MAX_CLIPBOARD_BASE64


def clipboard(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return what puts `text` into the clipboard (OSC 52); nothing when it is too long.

    tmux takes the sequence itself when its option `set-clipboard` is `on`, and hands it to the terminal when
    `allow-passthrough` is: it is sent in both ways.
    """
    shown = shown_block(text, _MAX_CLIPBOARD_LINES)
    if not fits_clipboard(shown) or not understands(environ):
        return ""
    encoded = base64.b64encode(shown.encode("utf-8", "replace")).decode("ascii")
    sequence = f"\x1b]52;c;{encoded}\x07"
    match multiplexer(environ):
        case "tmux":
            return sequence + _passed_through(sequence, "tmux")
        case between:
            return _passed_through(sequence, between)


def notification(sentence: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return what makes the terminal show `sentence` as a desktop notification.

    OSC 99 for kitty, OSC 777 where that is the older custom (urxvt, foot, VTE), OSC 9 elsewhere; a terminal
    that knows none of them shows nothing.
    """
    if not understands(environ):
        return ""
    text = _plain(sentence)
    term = environ.get("TERM", "")
    if environ.get("KITTY_WINDOW_ID") or term == "xterm-kitty":
        sequence = f"\x1b]99;i=triage-tui:o=unfocused;{text}\x1b\\"
    elif environ.get("VTE_VERSION") or term.startswith(("rxvt", "foot")):
        sequence = f"\x1b]777;notify;triage-tui;{text}\x1b\\"
    else:
        sequence = f"\x1b]9;{text}\x07"
    return _passed_through(sequence, multiplexer(environ))


def title(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return what names the window (OSC 2). tmux and screen take it for the pane, so it is not passed on."""
    return f"\x1b]2;{_plain(text)}\x1b\\" if understands(environ) else ""


def _plain(text: str) -> str:
    """Return ASCII text without what OSC 777 or a notification daemon would read as markup."""
    shown = safe_line(text, 120)
    return "".join(char if char.isascii() and char not in ";<>&\\" else "_" for char in shown)
