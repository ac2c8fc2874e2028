"""What an action is, and how its keys are written for people."""

from __future__ import annotations

from typing import Literal

import msgspec

Scope = Literal[
    "app",
    "main",
    "list",
    "search",
    "runs",
    "patch",
    "syscalls",
    "code",
    "frames",
    "threads",
    "memory",
    "modal",
]
"""Where a key works: everywhere, on the main screen, in any list, in one pane, in questions."""


class Action(msgspec.Struct, frozen=True):
    """One thing a person can do."""

    id: str
    keys: str
    """Textual key names, comma separated; the first is the one that is shown."""
    action: str
    """The Textual action that does it."""
    label: str
    """One or two words, for the footer."""
    help: str
    """One sentence, for the help screen and the palette."""
    scope: Scope
    section: str
    footer: int = 0
    """Place in the footer, low first; 0 = not there."""
    writes: bool = False
    """Changes something: absent in read-only mode."""
    palette: bool = True
    key_text: str = ""
    """How the key is written, where Textual's name for it is no good."""

    @property
    def shown_key(self) -> str:
        """The first key as people write it."""
        if self.key_text:
            return self.key_text
        return key_text(self.keys.split(",")[0])


def key_text(key: str) -> str:
    """Return Textual's name of a key as people write it."""
    return _KEY_TEXT.get(key) or (_character(key) if "_" in key else key)


def _character(key: str) -> str:
    from textual.keys import key_to_character

    return key_to_character(key) or key


_KEY_TEXT = {
    "question_mark": "?",
    "asterisk": "*",
    "slash": "/",
    "colon": ":",
    "backspace": "⌫",
    "enter": "⏎",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "space": "space",
}
