"""Where the index of a directory of runs lies."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def index_file(runs_dir: Path) -> Path:
    """Return the file, in the cache directory of the person (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = hashlib.sha256(os.fsencode(os.path.realpath(runs_dir))).hexdigest()[:32]
    return Path(base) / "triage-tui" / "runs" / f"{name}.index"
