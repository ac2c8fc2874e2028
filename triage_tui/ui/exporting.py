"""Exporting from the app: what can be chosen, and where to."""

from __future__ import annotations

import os
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.export.exporting import Wanted

CHOICES: tuple[tuple[str, str, Wanted], ...] = (
    ("markdown", "Markdown, for a ticket", Wanted("markdown")),
    ("html", "HTML, one file for a browser", Wanted("html")),
    ("json", "Bundle of its files, for another triage-tui", Wanted("json")),
    ("memory", "Bundle with the recorded memory", Wanted("json", memory=True)),
)
"""Answer, what is shown of it, what it asks for."""
ELSEWHERE = "elsewhere"


def wanted_of(answer: str) -> Wanted:
    """Return what an answer of `CHOICES` asks for."""
    return next(wanted for name, _, wanted in CHOICES if name == answer)


def directory_of(text: str) -> Path:
    """Return the directory that a person typed.

    Raises:
        TriageError: it names none.
    """
    text = text.strip()
    if not text or "\0" in text:
        raise TriageError("type the name of a directory")
    return Path(os.path.expanduser(text)).absolute()
