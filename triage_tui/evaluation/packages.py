"""The Debian packages of the cases, downloaded once and kept below the user's cache.

apt works with a state of its own there (see `setup.apt`), so packages of any architecture can be had and the
host's own package state is neither read nor changed.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.evaluation.corpus import Case
from triage_tui.resources import cache_dir
from triage_tui.setup.apt import ArchiveError
from triage_tui.setup.cache import Progress, exclusive, quiet, staging
from triage_tui.setup.sources import fetch


def evaluation_dir() -> Path:
    """Return where packages and captured runs of evaluations are kept."""
    return cache_dir() / "evaluation"


def packages_dir() -> Path:
    """Return where downloaded packages are kept."""
    return evaluation_dir() / "packages"


def cached(spec: str) -> Path | None:
    """Return the kept file of "name:architecture", the newest if there are several."""
    name, _, architecture = spec.partition(":")
    pattern = re.compile(re.escape(name) + r"_[^_]+_(?:" + re.escape(architecture) + r"|all)\.deb")
    directory = packages_dir()
    names = os.listdir(directory) if directory.is_dir() else []
    found = sorted(entry for entry in names if pattern.fullmatch(entry))
    return directory / found[-1] if found else None


def download(cases: Iterable[Case], progress: Progress = quiet) -> dict[str, str]:
    """Fetch what the cases' packages lack, together; return case id -> why its packages cannot be had.

    A package that the archive does not offer costs the cases that need it, and no others.
    """

    def shortly(line: str) -> None:
        # Hundreds of packages have no room on a line.
        progress(textwrap.shorten(line, 160, placeholder=" ..."))

    lacking = {
        case.id: missing for case in cases if (missing := [s for s in case.packages if cached(s) is None])
    }
    wanted = {spec for missing in lacking.values() for spec in missing}
    failed: dict[str, str] = {}
    try:
        with exclusive(shortly) as cache:
            while wanted:
                try:
                    _fetch(wanted, cache, shortly)
                    wanted = set()
                except ArchiveError as error:
                    absent = wanted & error.missing
                    if not absent:
                        raise
                    failed |= _without(lacking, absent)
                    wanted -= absent
    except TriageError as error:
        failed |= {
            name: str(error)
            for name, missing in lacking.items()
            if name not in failed and any(cached(spec) is None for spec in missing)
        }
    return failed


def _without(lacking: Mapping[str, list[str]], absent: Collection[str]) -> dict[str, str]:
    """Return case id -> which of the packages in `absent` it needs, for those that do."""
    needed = {name: [spec for spec in missing if spec in absent] for name, missing in lacking.items()}
    return {
        name: f"the package archive does not offer {', '.join(specs)}"
        for name, specs in needed.items()
        if specs
    }


def _fetch(specs: Collection[str], cache: Path, progress: Progress) -> None:
    """Download `specs` into the kept packages.

    Raises:
        TriageError: as `setup.sources.fetch`.
    """
    directory = packages_dir()
    directory.mkdir(parents=True, exist_ok=True)
    with staging(cache) as work:
        for file in set(fetch(sorted(specs), cache, work, progress, of_debian=True).values()):
            file.replace(directory / file.name)
