"""An error that nobody foresaw costs the part of the screen in which it happened, not the review.

It becomes one sentence and a report file. A pane shows the sentence in place of its rows; a sheet or question
closes; what handled a message or a key goes on with the next one. Many errors in a short time, or one where
nothing can go on, still end the app in good order (`BaseApp.crash`).
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from pathlib import Path

from textual.message import Message
from textual.message_pump import MessagePump

from triage_tui.crash_report import write_report
from triage_tui.text import safe_line

MOST, WITHIN_S = 25, 10.0
"""So many errors in so many seconds are too many to go on."""


class Reports:
    """The errors of one session; the same error is written to a file once."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._times: deque[float] = deque(maxlen=MOST)

    def sentence(self, what: str, error: Exception) -> str:
        """Write the report of an error in `what` ("The memory pane") and return what to say about it."""
        kind = type(error).__name__
        key = f"{what} {kind} {[(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]}"
        if key not in self._files:
            self._files[key] = self._write(what, error)
        where = self._files[key]
        return f"{what} failed ({kind}). {where}"

    @staticmethod
    def _write(what: str, error: Exception) -> str:
        try:
            path: Path = write_report(f"ui: {what}", error)
        except OSError:
            return "No report could be written."
        return f"Please report it with {safe_line(str(path), 200)}"

    @property
    def too_many(self) -> bool:
        """Count one more error; tell whether it is one too many."""
        now = time.monotonic()
        self._times.append(now)
        return len(self._times) == MOST and now - self._times[0] < WITHIN_S


class Contained(MessagePump):
    """For widgets and screens: an error in a handler is told, and the next message is handled.

    Without it Textual ends the message loop of the widget, and with it the app.
    """

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as error:
            contain(self, error)


def contain(pump: MessagePump, error: Exception) -> None:
    """Tell the app about an error in `pump`."""
    from triage_tui.ui.base_app import BaseApp

    app = pump.app
    if not isinstance(app, BaseApp):
        raise error
    app.contain(name_of(pump), error)


def name_of(pump: MessagePump) -> str:
    """Return what a person calls a part of the screen."""
    name = getattr(pump, "NAME", "")
    if isinstance(name, str) and name:
        return f"The {name} pane"
    return "The main screen" if type(pump).__name__ == "MainScreen" else "A part of the screen"
