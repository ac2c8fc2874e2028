"""Where the SFAnalysis results of a firmware are: named by the person, or beside the rule directory.

SFEmu is told by `-sfanalysis` or $QEMU_SFANALYSIS; they usually are in `out_httpd` of the root file system.
No path that a snapshot names is looked at: it may be anybody's.
"""

from __future__ import annotations

import os
from pathlib import Path

from triage_tui.runs.foreign import is_home, rules_root

RESULTS_VARIABLE = "QEMU_SFANALYSIS"
MAX_ENTRIES = 256
"""Names of one directory that are looked at."""
_PREFIX = "out_"


def results_of(workspace: Path, named: str | None = None) -> Path | None:
    """Return the directory of results for the runs of a workspace, None where there is none.

    The one that was `named` comes first, then that of the environment, then `out_*` in the rule directory,
    beside it, and in the directories beside it: where several of these have results, they may be of other
    firmware, and none is taken.
    """
    if named is not None:
        return Path(named)
    if from_environment := os.environ.get(RESULTS_VARIABLE):
        return Path(from_environment)
    if not is_home(workspace):
        return None
    rules = rules_root(workspace)
    if (near := _results_in(rules) or _results_in(rules.parent)) is not None:
        return near
    found = [results for place in _directories(rules.parent) if (results := _results_in(place)) is not None]
    return found[0] if len(found) == 1 else None


def _results_in(place: Path) -> Path | None:
    for directory in _directories(place):
        if directory.name.startswith(_PREFIX) and _holds_results(directory):
            return directory
    return None


def _directories(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            names = [
                e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")
            ]
    except OSError:
        return []
    return [place / name for name in sorted(names)[:MAX_ENTRIES]]


def _holds_results(directory: Path) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(e.name.endswith(".json") and not e.name.startswith(".") for e in entries)
    except OSError:
        return False
