"""The programs of the demo and of the tests: which packages they are made of, and their root file systems."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.resources import cache_dir
from triage_tui.setup.cache import Progress, exclusive, point, publish, quiet, staging
from triage_tui.setup.sources import fetch, unpack


@dataclass(frozen=True)
class DemoProgram:
    """One program: how it is started inside its root file system, and why it is worth watching."""

    name: str
    packages: tuple[str, ...]
    """ "name:architecture", in the order in which they are unpacked."""
    argv: tuple[str, ...]
    why: str
    demo: int | None
    """Its place in the demo, None when it is not part of it."""

    @property
    def link(self) -> Path:
        """Where its root file system is once it has been fetched."""
        key = hashlib.sha256("\n".join(self.packages).encode()).hexdigest()[:12]
        return cache_dir() / "rootfs" / key


@cache
def known_programs() -> dict[str, DemoProgram]:
    """Return all programs by name, as `programs.toml` lists them."""
    manifest = tomllib.loads(Path(__file__).with_name("programs.toml").read_text(encoding="utf-8"))
    return {
        name: DemoProgram(
            name, tuple(entry["packages"]), tuple(entry["argv"]), entry["why"], entry.get("demo")
        )
        for name, entry in manifest.items()
    }


def demo_programs() -> list[DemoProgram]:
    """Return the programs of the demo in their order."""
    numbered = [(program.demo, program) for program in known_programs().values() if program.demo is not None]
    return [program for _, program in sorted(numbered, key=lambda pair: pair[0])]


def ensure_program(name: str, progress: Progress = quiet) -> Path:
    """Return the root file system of the program `name`, fetching its packages if needed.

    The directory is shared and must not be written to.

    Raises:
        TriageError: there is no such program, or its packages cannot be fetched.
    """
    return ensure_programs([name], progress)[name]


def ensure_programs(names: Collection[str], progress: Progress = quiet) -> dict[str, Path]:
    """Return the root file systems of several programs, fetched together.

    Raises:
        TriageError: as `ensure_program`.
    """
    programs = [_program(name) for name in names]
    if any(not program.link.is_dir() for program in programs):
        with exclusive(progress) as directory:
            missing = [program for program in programs if not program.link.is_dir()]
            _fetch_missing(missing, directory, progress)
    return {program.name: program.link.resolve() for program in programs}


def _program(name: str) -> DemoProgram:
    try:
        return known_programs()[name]
    except KeyError:
        raise TriageError(
            f"There is no program called {name!r}: choose one of {', '.join(known_programs())}."
        ) from None


def _fetch_missing(programs: Collection[DemoProgram], directory: Path, progress: Progress) -> None:
    specs = list(dict.fromkeys(spec for program in programs for spec in program.packages))
    if not specs:
        return
    with staging(directory) as work:
        files = fetch(specs, directory, work, progress)
        for program in {program.link: program for program in programs}.values():
            packages = [files[spec] for spec in program.packages]
            progress(f"unpacking {', '.join(package.name for package in packages)}")
            tree = work / program.link.name
            for package in packages:
                unpack(package, tree)
            versions = hashlib.sha256("\n".join(package.name for package in packages).encode()).hexdigest()[
                :12
            ]
            point(program.link, publish(tree, directory / "store" / f"rootfs-{versions}"))
