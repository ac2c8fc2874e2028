"""Settings of the app: `$XDG_CONFIG_HOME/triage-tui/settings.yaml`, few and all with a default."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui.yaml_files import read_yaml


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person may switch off."""

    bell: bool = True
    """Ring the terminal's bell when a guest begins to wait."""
    notifications: bool = True
    """Ask the terminal for a desktop notification then."""
    title: bool = True
    """Say in the title of the window how many guests wait."""
    language: str = ""
    """In which language reports and exports are written, "zh"; `language.choice` reads it."""


def load_settings(directory: Path) -> Settings:
    """Return the settings in a configuration directory.

    Raises:
        TriageError: they cannot be used; the sentence says why.
    """
    path = directory / "settings.yaml"
    if not os.path.lexists(path):
        return Settings()
    try:
        return msgspec.convert(read_yaml(path) or {}, Settings)
    except msgspec.ValidationError as error:
        known = ", ".join(Settings.__struct_fields__)
        name, why = safe_line(str(path), 200), safe_line(str(error), 200)
        raise TriageError(f"{name}: {why}. Known are {known}") from None
