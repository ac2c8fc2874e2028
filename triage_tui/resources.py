"""Find the files that ship with the product, and the place for what it fetches."""

import os
from pathlib import Path

from triage_tui.errors import TriageError

CACHED_EMULATORS = Path("qemu", "usr", "bin")
"""Where the set-up unpacks emulators, below `cache_dir`."""

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the shipped directory `name` ("rules" or "themes").

    In a wheel it lies inside the package; in a checkout it lies beside it.

    Raises:
        FileNotFoundError: neither place has it, so the installation is incomplete.
    """
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the shipped directory {name!r} is missing: reinstall triage-tui")


def recorded_runs() -> list[Path]:
    """Return the directories of the recorded runs that ship with the product, oldest first."""
    root = _PACKAGE / "_recorded"
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def config_dir() -> Path:
    """Return the user's configuration directory of this product."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base) / "triage-tui"


def cache_dir() -> Path:
    """Return `triage-tui` below $XDG_CACHE_HOME, or below ~/.cache when that is unset or not absolute.

    Raises:
        TriageError: neither variable tells a place.
    """
    # The XDG base directory specification: a relative path in the variable is to be ignored.
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(configured):
        return Path(configured) / "triage-tui"
    try:
        return Path.home() / ".cache" / "triage-tui"
    except RuntimeError as error:
        raise TriageError(
            "There is no home directory to keep downloads in: "
            "set HOME or XDG_CACHE_HOME to a writable directory."
        ) from error
