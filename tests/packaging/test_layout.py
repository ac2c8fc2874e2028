"""What lies at the top of the repository, and what must not be said in it."""

from __future__ import annotations

import os
import re

from tests.packaging.checkout import ROOT, tracked

_TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "benchmarks",
    "docs",
    "pyproject.toml",
    "rules",
    "screenshots",
    "tests",
    "themes",
    "triage_tui",
}
_PRIVATE = re.compile(
    re.escape(str(ROOT).encode()) + rb"\b"
    rb"|(?:deb|archive|ports|security)\.(?:debian|ubuntu)\.(?:org|com)"
    rb"|(?:files\.pythonhosted|pypi)\.org"
    rb"|co-authored" + rb"-by:",
    re.IGNORECASE,
)


def test_the_top_level_is_as_agreed() -> None:
    assert {name.partition("/")[0] for name in tracked()} == _TOP_LEVEL


def test_no_file_speaks_of_the_place_it_was_written_at() -> None:
    found = {
        name for name in tracked() if (ROOT / name).is_file() and _PRIVATE.search((ROOT / name).read_bytes())
    }
    assert found == set()


def test_ci_runs_what_a_user_can_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert commands == ['cd "$(dirname "$0")/.." && exec make test']
