"""What may reach a terminal: a strict reader of the bytes that a program of ours sent."""

from __future__ import annotations

import base64
import re
import unicodedata

from tests.hostile.corpus import MARK, SIGNS

_CSI = re.compile(r"\x1b\[([0-?]*)([ -/]*)([@-~])")
_OSC = re.compile(r"\x1b\]([^\x07\x1b]*)(?:\x07|\x1b\\)")
_OWN_CSI = re.compile(
    r"\x1b\[(?:"
    r"[0-9;]*m|[0-9]{1,3};[0-9]{1,3}H|H|2J|K|0?J"
    r"|\?(?:7|25|1000|1002|1003|1004|1006|1015|1016|1049|2004|2026|2031|2048)(?:;[0-9]+)*[hl]"
    r"|\?20(?:26|48)\$p|[<>=][0-9;]*u|\?u|22;2t|23;2t|8[hl]|>0?q|>4;?[0-9]?m|[0-9]? ?q|c|6n|\?6c|\?4m"
    r")\Z"
)
"""Colours, positions, and the modes that Textual sets and takes back."""
_OWN_OSC = re.compile(
    r"22;[a-z-]{3,16}\Z"
    r"|2;triage-tui(?:: [0-9]{1,5} waits? for you)?\Z"
    r"|9;triage-tui: (?:[A-Za-z0-9._-]{1,40} is frozen and waits|[0-9]+ guests are frozen and wait) for you\Z"
)
_UNSAFE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def check_text(text: str, breaks: str = "\n") -> None:
    """Fail when a text holds what draws nothing, moves, reorders, or imitates the program."""
    for char in set(text) - set(breaks):
        category = unicodedata.category(char)
        assert category not in _UNSAFE, f"U+{ord(char):04X} came through"
    flood = re.search(r"[\u0300-\u036f\u0483-\u0489\u1160-\u11ff]{9}", text)
    assert not flood, "a flood of marks came through"
    for sign in SIGNS:
        assert f"{MARK}{sign}{MARK}" not in text, f"a sign of ours came from outside: {sign}"


def check_terminal(raw: bytes) -> list[str]:
    """Fail unless all sequences in what was sent are our own; return the texts put into the clipboard."""
    text = raw.decode("utf-8")
    copied: list[str] = []

    def own(match: re.Match[str]) -> str:
        content = match[1]
        if content.startswith("52;c;"):
            shown = base64.b64decode(content.removeprefix("52;c;"), validate=True).decode("utf-8")
            check_text(shown)
            copied.append(shown)
        else:
            assert _OWN_OSC.match(content), f"OSC {content[:80]!r} is none of ours"
        return ""

    text = _OSC.sub(own, text)
    for match in _CSI.finditer(text):
        assert _OWN_CSI.match(match[0]), f"CSI {match[0]!r} is none of ours"
        assert MARK not in match[0], f"CSI {match[0]!r} came from data"
    # A sequence ends a run of text: what stands on both sides of it is not one text.
    text = _CSI.sub("\n", text)
    text = re.sub(r"\x1bP=[12]s\x1b\\", "", text)
    left = re.search(r"\x1b.{0,20}", text)
    assert left is None, f"{left[0]!r} is none of ours"
    check_text(text.replace("\x07", ""), "\r\n")
    return copied
