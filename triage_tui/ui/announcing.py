"""Telling a person who looks elsewhere that a guest waits: bell, desktop notification, window title."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from triage_tui.text import safe_name
from triage_tui.ui import terminal_codes as codes
from triage_tui.ui.settings import Settings

BELL = "\x07"


def waiting_sentence(programs: Sequence[str]) -> str:
    """Return the text of a notification; of the programs only names of letters, digits and `._-`."""
    if len(programs) == 1:
        return f"{safe_name(programs[0], 40)} is frozen and waits for you"
    return f"{len(programs)} guests are frozen and wait for you"


def window_title(waiting: int) -> str:
    """Return the title of the window: no text of a guest ever stands there."""
    return "triage-tui" if not waiting else f"triage-tui: {waiting} wait{'s' if waiting == 1 else ''} for you"


class Announcer:
    """Says it in the ways that the settings allow. `send` takes what goes to the terminal."""

    def __init__(self, send: Callable[[str], None], settings: Settings) -> None:
        self._send = send
        self.settings = settings
        self._title: str | None = None
        """The title that is shown; None while the window has that of the shell."""
        self._waiting = 0

    def begin(self) -> None:
        """Fix the order of cells and take the title over, at the start and after the app was suspended."""
        if codes.understands():
            self._send(codes.FIXED_ORDER)
        if self.settings.title and codes.understands() and self._title is None:
            self._send(codes.SAVE_TITLE)
            self._title = ""
        self.count(self._waiting)

    def end(self) -> None:
        """Give both back."""
        if codes.understands():
            self._send(codes.OWN_ORDER)
        if self._title is not None:
            self._title = None
            self._send(codes.RESTORE_TITLE)

    def count(self, waiting: int) -> None:
        """Show in the title how many guests wait."""
        self._waiting = waiting
        if self._title is not None and (text := window_title(waiting)) != self._title:
            self._title = text
            self._send(codes.title(text))

    def waiting_began(self, programs: Sequence[str]) -> None:
        """Say that these programs were frozen just now."""
        if not programs:
            return
        if self.settings.bell:
            self._send(BELL)
        if self.settings.notifications:
            self._send(codes.notification(f"triage-tui: {waiting_sentence(programs)}"))
