"""An installation from which a package is missing, or in which one is broken."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def installation(directory: Path, *without: str, broken: str | None = None) -> Path:
    """Make a virtual environment with all that this interpreter has but the modules `without`.

    With `broken`, the text of a module, that takes their place. Returns its interpreter.
    """
    venv.create(directory, symlinks=True)
    (target,) = directory.glob("lib/python3*/site-packages")
    spec = importlib.util.find_spec("msgspec")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parents[1]
    for entry in source.iterdir():
        # Start-up files of the original may add other places.
        if entry.suffix != ".pth" and entry.name.partition(".")[0] not in without:
            (target / entry.name).symlink_to(entry)
    if broken is not None:
        for name in without:
            (target / f"{name}.py").write_text(broken)
    return directory / "bin" / "python"


def triage_of(python: Path, workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of that installation."""
    name, *rest = arguments
    return subprocess.run(
        [python, "-m", "triage_tui", name, "-C", str(workspace), *rest],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
