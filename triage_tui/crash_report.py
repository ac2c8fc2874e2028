"""The file that an error nobody foresaw is reported with: where it happened, without local variables."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path

from triage_tui import __version__
from triage_tui.text import safe_block


def write_report(where: str, error: BaseException) -> Path:
    """Write the traceback, safe to show and without local variables (which may hold secrets), to a file.

    Raises:
        OSError: there is no place for it.
    """
    text = f"triage-tui {__version__}, Python {sys.version.split()[0]}, {where}\n\n"
    text += "".join(traceback.format_exception(error))
    handle, name = tempfile.mkstemp(prefix="triage-tui-crash-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(safe_block(text))
    return Path(name)
