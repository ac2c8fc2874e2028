"""The Debian packages of the cases, downloaded once and kept below the user's cache.

apt works with a state of its own there (see `setup.apt`), so packages of any architecture can be had and the
host's own package state is neither read nor changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.evaluation.corpus import Case
from triage_tui.resources import cache_dir
from triage_tui.setup.apt import NotOfferedError
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
    """Fetch what the cases' packages lack, together; return case id -> why its packages cannot be had."""
    lacking = {
        case.id: missing for case in cases if (missing := [s for s in case.packages if cached(s) is None])
    }
    wanted = {spec for missing in lacking.values() for spec in missing}
    if not wanted:
        return {}
    with exclusive(progress) as cache:
        try:
            _fetch(wanted, cache, progress)
            return {}
        except NotOfferedError:
            progress("not all packages are offered: asking for those of each case")
        except TriageError as error:
            return dict.fromkeys(lacking, str(error))
        failed: dict[str, str] = {}
        for name, missing in lacking.items():
            try:
                _fetch([spec for spec in missing if cached(spec) is None], cache, progress)
            except TriageError as error:
                failed[name] = str(error)
        return failed


def _fetch(specs: Collection[str], cache: Path, progress: Progress) -> None:
    """Download `specs` into the kept packages.

    Raises:
        TriageError: as `setup.sources.fetch`.
    """
    if not specs:
        return
    directory = packages_dir()
    directory.mkdir(parents=True, exist_ok=True)
    with staging(cache) as work:
        for file in set(fetch(sorted(specs), cache, work, progress, of_debian=True).values()):
            file.replace(directory / file.name)
