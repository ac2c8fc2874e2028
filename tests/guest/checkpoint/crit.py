"""The real `crit` of CRIU for the tests: Debian's package, unpacked into the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
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


_SEVERAL = """
import contextlib, io, json, sys
from pycriu import cli
said = []
for words in json.load(sys.stdin):
    sys.argv = ["crit", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        cli.main()
    said.append(out.getvalue())
json.dump(said, sys.stdout)
"""


def crit(*commands: Sequence[str]) -> list[str]:
    """Run commands of crit and return what each prints; it must find no fault.

    One process for all of them: to load the library takes longer than any of them.
    """
    library = next(_ensure().rglob("pycriu/__init__.py")).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SEVERAL],
        env=os.environ | {"PYTHONPATH": str(library), "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: list[str] = json.loads(done.stdout)
    return said


def decoded(directory: Path, *names: str) -> list[list[dict[str, Any]]]:
    """Return the entries of each image as `crit decode` has them."""
    said = crit(*(("decode", "-i", str(directory / name)) for name in names))
    return [json.loads(text)["entries"] for text in said]
