"""Signals that ask the app to end: the terminal is left in order, guests are left as they are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp


def leave_on_signals(app: TriageApp) -> None:
    """Leave in good order on SIGTERM and SIGHUP; only in the main thread of a real terminal."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, _leave, app, number)


def keep_edits(app: TriageApp) -> None:
    """Keep what is being typed into a rule; the next edit of it goes on from there."""
    for screen in app.screen_stack:
        # Nothing is imported on the way out: by then the files may be those of another version.
        keep_edit: Callable[[], None] | None = getattr(screen, "keep_edit", None)
        if keep_edit is not None:
            keep_edit()


def _leave(app: TriageApp, number: signal.Signals) -> None:
    # No defect may keep the app from ending.
    with contextlib.suppress(Exception):
        keep_edits(app)
    if _terminal_is_there():
        app.exit(return_code=128 + number)
        return
    # Nothing can be drawn any more, and a driver that writes would wait for ever.
    with contextlib.suppress(Exception):
        app.note_state()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _terminal_is_there() -> bool:
    try:
        termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ is not None else 0)
    except (termios.error, OSError, ValueError):
        return False
    return True
