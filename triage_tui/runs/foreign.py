"""Runs of SFEmu beside which a directory of runs lies: they are listed with its own until they are taken in.

Our workspace in a rule directory of SFEmu is `<cache|data>/triage_tui/`, and SFEmu's runs are in
`<cache|data>/ai_runs/`: in `data` up to version 3, in `cache` from 4 on. Of a rule directory that cannot be
written ours lies in the user's cache, `sfemu/<name>-<digest of the path>/cache/triage_tui/`, with a file that
says where the rule directory is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Collection
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.resources import cache_dir
from triage_tui.runs.files import read_bounded
from triage_tui.runs.ids import is_run_id

RECORD_DIRECTORIES = ("cache", "data")
"""Where SFEmu keeps what it records, newest version first."""
HOME = "triage_tui"
"""Our workspace in such a directory."""
RUNS = "ai_runs"
AWAY = "sfemu"
"""Below the user's cache: our workspaces of rule directories that cannot be written."""
RULES_FILE = "rules_directory"
"""In such a workspace: the path of the rule directory."""
_MAX_PATH = 4096
WRITING_S = 10.0
"""How long after its last change a snapshot that has no end yet is one that is being written."""


def is_home(workspace: Path) -> bool:
    """Tell whether a workspace is ours beside SFEmu's records, by its place."""
    return workspace.name == HOME and workspace.parent.name in RECORD_DIRECTORIES


def home_away(rules: Path) -> Path:
    """Return where our workspace of a rule directory that cannot be written lies: in the user's cache.

    Raises:
        TriageError: the user has none.
    """
    real = os.path.realpath(rules)
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    name = "".join(sign if sign.isalnum() and sign.isascii() else "_" for sign in os.path.basename(real))
    return cache_dir() / AWAY / f"{name[:40]}-{digest}" / RECORD_DIRECTORIES[0] / HOME


def rules_root(home: Path) -> Path:
    """Return the rule directory that a workspace of ours is of, given that it is one by its place.

    What a file says of it counts in the user's own cache only: elsewhere a guest may have written it.
    """
    root = home.parent.parent
    with contextlib.suppress(TriageError):
        if root.parent == cache_dir() / AWAY:
            return Path(os.fsdecode(read_bounded(home / RULES_FILE, _MAX_PATH, whole=True)))
    return root


def lies_with_sfemu(run_dir: Path) -> bool:
    """Tell whether a run lies where SFEmu records: ours, elsewhere, are written whole or not at all."""
    return run_dir.parent.name == RUNS and run_dir.parent.parent.name in RECORD_DIRECTORIES


def is_being_written(snapshot: Path, raw: bytes) -> bool:
    """Tell whether SFEmu is at writing a snapshot: it has no end yet, and was changed just now."""
    text = raw.strip()
    if text.endswith(b"}") or not (text.startswith(b"{") or not text):
        return False
    try:
        return abs(time.time() - snapshot.lstat().st_mtime) < WRITING_S
    except OSError:
        return False


def foreign_places(runs_dir: Path) -> list[Path]:
    """Return SFEmu's directories of runs beside which `runs_dir` lies, newest version first; else none."""
    home = runs_dir.parent
    if not is_home(home):
        return []
    root = rules_root(home)
    places = (root / name / RUNS for name in RECORD_DIRECTORIES)
    return [place for place in places if place.is_dir() and not place.is_symlink()]


def looked_into(runs_dir: Path) -> list[str]:
    """Return where runs are looked for that a list of `runs_dir` shows: where SFEmu records them, or itself.

    A link is none of these places, which is said: what it leads to may be anybody's.
    """
    home = runs_dir.parent
    if not is_home(home):
        return [str(runs_dir)]
    root = rules_root(home)
    places = [root / name / RUNS for name in RECORD_DIRECTORIES]
    told = []
    for place in places:
        if place.is_symlink() or place.parent.is_symlink():
            told.append(f"{place} (a link, which is not followed: put the directory itself there)")
        elif place.is_dir():
            told.append(str(place))
    return told or [str(root / home.parent.name / RUNS)]


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
