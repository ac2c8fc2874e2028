"""Find the files that ship with the product: the knowledge base, the Lua library and the themes."""

from pathlib import Path

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
