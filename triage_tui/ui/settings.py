"""Settings of the app: `$XDG_CONFIG_HOME/triage-tui/settings.yaml`, few and all with a default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.text import safe_line

MAX_BYTES = 64 << 10


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person may switch off."""

    bell: bool = True
    """Ring the terminal's bell when a guest begins to wait."""
    notifications: bool = True
    """Ask the terminal for a desktop notification then."""
    title: bool = True
    """Say in the title of the window how many guests wait."""


def load_settings(directory: Path) -> tuple[Settings, list[str]]:
    """Return the settings in a configuration directory, and one sentence when they cannot be used."""
    path = directory / "settings.yaml"
    if not path.exists():
        return Settings(), []
    import yaml

    name = safe_line(str(path), 200)
    try:
        data: Any = yaml.safe_load(read_bounded(path, MAX_BYTES, whole=True))
        return msgspec.convert(data or {}, Settings), []
    except TriageError as error:
        return Settings(), [f"{name}: {error}"]
    except yaml.MarkedYAMLError as error:
        return Settings(), [f"{name} is not valid YAML{where(error)}"]
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return Settings(), [f"{name} is not valid YAML"]
    except msgspec.ValidationError as error:
        known = ", ".join(Settings.__struct_fields__)
        return Settings(), [f"{name}: {safe_line(str(error), 200)}. Known are {known}"]


def where(error: Any) -> str:
    """Return the line that a YAML error names, as the end of a sentence; nothing when it names none."""
    mark = getattr(error, "problem_mark", None)
    problem = safe_line(str(getattr(error, "problem", "") or ""), 120)
    return f" in line {mark.line + 1}: {problem}" if mark is not None else ""
