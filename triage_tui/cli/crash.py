"""The last resort: an error that nobody foresaw becomes one sentence and a report file, never a traceback."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path

from triage_tui import __version__
from triage_tui.cli.streams import narrate
from triage_tui.text import safe_line

EXIT_CRASH = 70
"""EX_SOFTWARE of sysexits.h(3)."""


def report(command: str, error: BaseException) -> int:
    """Write the traceback (without local variables, which may hold secrets) to a file and name it."""
    text = f"triage-tui {__version__}, Python {sys.version.split()[0]}, command {command}\n\n"
    text += "".join(traceback.format_exception(error))
    handle, name = tempfile.mkstemp(prefix="triage-tui-crash-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
    narrate(
        f"triage-tui: internal error in {command}: {type(error).__name__}: {safe_line(str(error), 200)}."
        f" Nothing recorded was lost; please report it with {Path(name)}"
    )
    return EXIT_CRASH
