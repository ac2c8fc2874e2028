"""The real `crit` of CRIU for the tests: Debian's package, unpacked into the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from triage_tui.resources import cache_dir
from triage_tui.setup.apt import native_architecture
from triage_tui.setup.cache import exclusive, publish, staging
from triage_tui.setup.sources import fetch, unpack

_PACKAGES = ("criu", "python3-pycriu")
"""Which of them holds the library depends on the release."""


def _ensure() -> Path:
    key = hashlib.sha256(f"{native_architecture()} criu".encode()).hexdigest()[:12]
    place = cache_dir() / "criu" / key
    if not place.is_dir():
        with exclusive() as cache, staging(cache) as work:
            if not place.is_dir():
                files = fetch([_PACKAGES[0]], cache, work, of_debian=True)
                unpack(files[_PACKAGES[0]], work / "tree")
                if not list((work / "tree").rglob("pycriu/__init__.py")):
                    files = fetch([_PACKAGES[1]], cache, work, of_debian=True)
                    unpack(files[_PACKAGES[1]], work / "tree")
                publish(work / "tree", place)
    return place


def crit(*arguments: str) -> str:
    """Run crit and return what it prints; it must find no fault."""
    library = next(_ensure().rglob("pycriu/__init__.py")).parents[1]
    code = "import sys; from pycriu import cli; sys.exit(cli.main())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(library), "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def decoded(directory: Path, name: str) -> list[dict[str, Any]]:
    """Return the entries of an image as `crit decode` has them."""
    found: list[dict[str, Any]] = json.loads(crit("decode", "-i", str(directory / name)))["entries"]
    return found
