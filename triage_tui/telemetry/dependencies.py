"""Which of the Python packages that this program is built on are missing or broken.

This module imports the standard library only: it must be able to speak when all else is missing.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

_TIMEOUT = 60
_IMPORT_EACH = """
import importlib, json, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
        found = ""
    except ModuleNotFoundError as error:
        found = "none" if error.name in (name, name.partition(".")[0]) else f"{type(error).__name__}: {error}"
    except BaseException as error:
        found = f"{type(error).__name__}: {error}"
    print(json.dumps([name, found]), file=sys.__stdout__, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A Python package that is installed with this program."""

    package: str
    """Its name in the package index."""
    module: str
    """What is imported of it."""
    cost: str
    """What is lost without it."""
    needed: bool = False
    """Whether nothing can be run without it."""


_NO_RUN = "no guest is run"
_NO_TREE = "of what rules do, only names and syntax are checked"
_NO_APP = "the terminal app does not open; all other commands work"
DEPENDENCIES = (
    Dependency("msgspec", "msgspec", "nothing works: neither runs nor rules can be read or written", True),
    Dependency("capstone", "capstone", f"{_NO_RUN}, and no code is shown: it is the disassembler", True),
    Dependency("pyelftools", "elftools", f"{_NO_RUN}, and no code is shown: it reads symbols", True),
    Dependency("google-re2", "re2", f"{_NO_RUN}, and nothing is explained: it searches the evidence", True),
    Dependency("pyyaml", "yaml", f"{_NO_RUN}, and nothing is explained: it reads the knowledge base", True),
    Dependency("lupa", "lupa.lua53", "no rule can act, and what rules could mend stays broken"),
    Dependency("tree-sitter", "tree_sitter", _NO_TREE),
    Dependency("tree-sitter-lua", "tree_sitter_lua", _NO_TREE),
    Dependency("tree-sitter-bash", "tree_sitter_bash", "no services are found in root file systems"),
    Dependency("py-minisign", "minisign", "rule packs can neither be signed nor verified"),
    Dependency("prometheus-client", "prometheus_client", "`--metrics` does not work; all else does"),
    Dependency("inotify-simple", "inotify_simple", "neither `triage-tui watch` nor the terminal app works"),
    Dependency("watchdog", "watchdog.observers", "changed keys and themes are looked for twice a second"),
    Dependency("detect-secrets", "detect_secrets.plugins", "nothing can be exported or shown to a model"),
    Dependency("textual", "textual.app", _NO_APP),
    Dependency("rich", "rich.text", _NO_APP),
    Dependency("argcomplete", "argcomplete", "no shell completes commands and runs; all commands work"),
    Dependency("pygments", "pygments.lexers", _NO_APP),
)


@dataclass(frozen=True, slots=True)
class Lacking:
    """A dependency that cannot be used."""

    dependency: Dependency
    why: str
    """"none", or how its import failed."""

    @property
    def mend(self) -> str:
        """The command that mends it."""
        force = "" if self.why == "none" else "--force-reinstall "
        return f"pip install {force}'{_requirement(self.dependency.package)}'"

    def as_check(self) -> dict[str, str | bool]:
        """Return the fields of the `Check` of `triage_tui.telemetry.doctor` that says so."""
        return {
            "name": f"Python package {self.dependency.package}",
            "grade": "missing",
            "found": self.why,
            "cost": self.dependency.cost,
            "mend": self.mend,
            "needed": self.dependency.needed,
        }


def lacking(dependencies: Iterable[Dependency] = DEPENDENCIES) -> list[Lacking]:
    """Import each in a process of its own, which may die of it, and return those that cannot be used."""
    found = []
    waiting = list(dependencies)
    while waiting:
        told, death = _import_each([dependency.module for dependency in waiting])
        for dependency, why in zip(waiting, told, strict=False):
            if why:
                found.append(Lacking(dependency, why))
        if len(told) < len(waiting):
            found.append(Lacking(waiting[len(told)], death))
        waiting = waiting[len(told) + 1 :]
    return found


def _import_each(modules: list[str]) -> tuple[list[str], str]:
    """Return how each import failed ("" for those that did not) up to one that ended it all, and that end."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT_EACH, *modules],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
        out, death = done.stdout, f"its import ended Python with {done.returncode}"
    except subprocess.TimeoutExpired as error:
        out, death = error.stdout or b"", f"its import does not end within {_TIMEOUT} s"
    told: list[str] = []
    for line in out.splitlines():
        try:
            name, why = json.loads(line)
        except ValueError:
            # What a package prints when it is imported.
            continue
        if len(told) < len(modules) and name == modules[len(told)]:
            told.append(why)
    return told, death


def _requirement(package: str) -> str:
    """Return the package with the versions that this program is made for, as pip takes it."""
    try:
        wanted = importlib.metadata.requires("triage-tui") or []
    except importlib.metadata.PackageNotFoundError:
        wanted = []
    for text in wanted:
        name = re.match(r"[\w.-]+", text)
        if name is not None and name[0].lower() == package and ";" not in text:
            return text.strip()
    return package


def versions() -> str:
    """Return all packages with their installed versions."""
    found = []
    for dependency in DEPENDENCIES:
        try:
            found.append(f"{dependency.package} {importlib.metadata.version(dependency.package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(dependency.package)
    return ", ".join(found)
