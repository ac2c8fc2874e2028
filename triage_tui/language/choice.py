"""Which language is wanted: the option, else the environment, else the settings, else English."""

from __future__ import annotations

import os
import re
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.language.catalogue import ENGLISH, Catalogue, load_language
from triage_tui.rule_places import user_directories
from triage_tui.runs.files import read_bounded, real_path

VARIABLE = "TRIAGE_TUI_LANG"
_MAX_SETTINGS = 64 << 10
_SETTING = re.compile(r"^language:[ \t]*[\"']?([\w-]+)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)


def wanted_code(option: str | None = None) -> str:
    """Return the code of the language that is wanted, "zh" also where it is asked for as "zh_CN.UTF-8"."""
    wanted = option or os.environ.get(VARIABLE) or _of_settings() or ENGLISH
    return re.split(r"[-_.@]", wanted.lower(), maxsplit=1)[0] or wanted


def _of_settings() -> str:
    """Return the language in settings.yaml, "" for none; the app tells what is wrong with that file."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = Path(base) / "triage-tui" / "settings.yaml"
    try:
        text = read_bounded(real_path(path), _MAX_SETTINGS, whole=True).decode("utf-8", "replace")
    except (TriageError, OSError, ValueError):
        return ""
    found = _SETTING.search(text)
    return found[1] if found else ""


def wanted_language(option: str | None = None) -> Catalogue:
    """Return the language that is wanted.

    Raises:
        TriageError: there is no such language; the sentence says who asked for it.
    """
    code = wanted_code(option)
    try:
        # A person's own directories of rules may hold languages as well, in `lang/`.
        return load_language(code, user_directories())
    except TriageError as error:
        if option or not os.environ.get(VARIABLE):
            raise
        raise TriageError(f"{VARIABLE}: {error}") from error
