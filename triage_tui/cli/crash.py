"""The last resort: an error that nobody foresaw becomes one sentence and a report file, never a traceback."""

from __future__ import annotations

from triage_tui.cli.streams import narrate
from triage_tui.crash_report import write_report
from triage_tui.text import safe_line

EXIT_CRASH = 70
"""EX_SOFTWARE of sysexits.h(3)."""


def report(command: str, error: BaseException) -> int:
    """Write the traceback (without local variables, which may hold secrets) to a file and name it."""
    path = write_report(f"command {command}", error)
    narrate(
        f"triage-tui: internal error in {command}: {type(error).__name__}: {safe_line(str(error), 200)}."
        f" Nothing recorded was lost; please report it with {path}"
    )
    return EXIT_CRASH
