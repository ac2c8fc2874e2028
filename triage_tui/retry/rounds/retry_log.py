"""`retry.log`: what happened during a retry, one line each, for people who follow it live."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from triage_tui.text import safe_line


class RetryLog:
    """Append lines to the `retry.log` of a run; each is on disk when `write` returns."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "retry.log"

    def write(self, text: str) -> None:
        """Append one line with the local time; what is not printable is escaped."""
        line = f"{time.strftime('%H:%M:%S')} {safe_line(text, 1000)}\n"
        # A full disk must not end a retry because of its log.
        with contextlib.suppress(OSError), open(self._path, "a", encoding="utf-8") as stream:
            stream.write(line)
