"""Where knowledge base files lie: the shipped directory, the user's own, and those the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.resources import config_dir, shipped
from triage_tui.text import safe_line

RULES_PATH_VARIABLE = "TRIAGE_TUI_RULES"
"""Colon-separated directories with a person's own knowledge base files."""


def default_directory() -> Path:
    """Return the directory that is read without being named, when it is there."""
    return config_dir() / "rules"


def user_directories() -> tuple[str, ...]:
    """Return the user's directories, later ones overriding earlier ones: the usual one, then the named."""
    named = tuple(name for name in os.environ.get(RULES_PATH_VARIABLE, "").split(":") if name)
    usual = default_directory()
    return (str(usual), *named) if usual.is_dir() else named


def check_directories() -> None:
    """Check that each directory that the environment names is there.

    Raises:
        TriageError: one is not.
    """
    for name in user_directories():
        if not Path(name).is_dir():
            raise TriageError(
                f"{RULES_PATH_VARIABLE}: the knowledge base directory {safe_line(name, 300)} does not exist"
            )


def origin(file: str) -> str:
    """Return where an entry comes from, "" for the shipped ones: its file, the home directory as ~."""
    path = Path(file)
    if path.parent == shipped("rules"):
        return ""
    try:
        home = Path.home()
    except RuntimeError:
        return file
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) and home != Path("/") else file
