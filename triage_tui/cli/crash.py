"""The last resort: an error that nobody foresaw becomes one sentence and a report file, never a traceback."""

from __future__ import annotations

from triage_tui.cli.streams import narrate
from triage_tui.crash_report import write_report
from triage_tui.exit_codes import CRASH
from triage_tui.text import safe_line


def sentence(command: str, error: BaseException) -> str:
    """Write the traceback (without local variables, which may hold secrets) to a file, and name it."""
    path = write_report(f"command {command}", error)
    return (
        f"internal error in {command}: {type(error).__name__}: {safe_line(str(error), 200)}."
        f" Nothing recorded was lost; please report it with {path}"
    )


def report(command: str, error: BaseException) -> int:
    """Say `sentence` and return the exit code."""
    narrate(f"triage-tui: {sentence(command, error)}")
    return CRASH
