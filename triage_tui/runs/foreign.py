"""Runs of SFEmu beside which a directory of runs lies: they are listed with its own until they are taken in.

Our workspace in a rule directory of SFEmu is `<cache|data>/triage_tui/`, and SFEmu's runs are in
`<cache|data>/ai_runs/`: in `data` up to version 3, in `cache` from 4 on.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from triage_tui.runs.ids import is_run_id

RECORD_DIRECTORIES = ("cache", "data")
"""Where SFEmu keeps what it records, newest version first."""
HOME = "triage_tui"
"""Our workspace in such a directory."""
RUNS = "ai_runs"


def is_home(workspace: Path) -> bool:
    """Tell whether a workspace is ours beside SFEmu's records, by its place."""
    return workspace.name == HOME and workspace.parent.name in RECORD_DIRECTORIES


def foreign_places(runs_dir: Path) -> list[Path]:
    """Return SFEmu's directories of runs beside which `runs_dir` lies, newest version first; else none."""
    home = runs_dir.parent
    if not is_home(home):
        return []
    places = (home.parent.parent / name / RUNS for name in RECORD_DIRECTORIES)
    return [place for place in places if place.is_dir() and not place.is_symlink()]


def looked_into(runs_dir: Path) -> list[str]:
    """Return where runs are looked for that a list of `runs_dir` shows: where SFEmu records them, or itself.

    A link is none of these places, which is said: what it leads to may be anybody's.
    """
    home = runs_dir.parent
    if not is_home(home):
        return [str(runs_dir)]
    places = [home.parent.parent / name / RUNS for name in RECORD_DIRECTORIES]
    told = []
    for place in places:
        if place.is_symlink() or place.parent.is_symlink():
            told.append(f"{place} (a link, which is not followed: put the directory itself there)")
        elif place.is_dir():
            told.append(str(place))
    return told or [str(home.parent / RUNS)]


def foreign_runs(runs_dir: Path, without: Collection[str] = ()) -> dict[str, Path]:
    """Return name -> directory of SFEmu's runs beside `runs_dir`; links are left out, and names `without`.

    A directory that cannot be listed holds none: what is ours is shown all the same.
    """
    found: dict[str, Path] = {}
    for place in foreign_places(runs_dir):
        try:
            with os.scandir(place) as entries:
                names = [e.name for e in entries if is_run_id(e.name) and e.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for name in names:
            if name not in without:
                found.setdefault(name, place / name)
    return found
