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
