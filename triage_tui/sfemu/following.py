"""Keep our records of SFEmu's runs up to date: of one that is opened, of the newest ones, of all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.runs.foreign import foreign_runs
from triage_tui.sfemu.adopted import read_adopted
from triage_tui.sfemu.adopting import adopt
from triage_tui.sfemu.deciding import take_note
from triage_tui.sfemu.rules_dir import RulesDirectory, around
from triage_tui.text import safe_line

LOOKED_AT = 32
"""Runs that were taken in and are looked at again by a command that lists: the newest ones."""


def rules_of_home(home: Path) -> RulesDirectory:
    """Return the rule directory of SFEmu in which the workspace `home` lies.

    Raises:
        TriageError: it lies in none.
    """
    found = around(home)
    if found is None:
        raise TriageError(f"{safe_line(str(home), 200)} lies in no rule directory of SFEmu")
    return found


def ensure(home: Path, run_id: str) -> Path:
    """Return our record of a run, made or brought up to date now where SFEmu has it.

    Raises:
        TriageError: SFEmu's cannot be read and we have no record of it.
    """
    own = home / "ai_runs" / run_id
    source = foreign_runs(home / "ai_runs").get(run_id)
    if source is None or (os.path.lexists(own / "snapshot.json") and read_adopted(own) is None):
        return own
    try:
        adopt(rules_of_home(home), source)
        take_note(home)
    except TriageError:
        if not (own / "snapshot.json").is_file():
            raise
        # What was taken in before is still there.
    return own


def take_in(home: Path, seconds: float) -> int:
    """Take in runs of SFEmu, newest first, for so many seconds; return how many were not come to.

    Those that cannot be read are left: a list says what is wrong with them.
    """
    rules = rules_of_home(home)
    end = time.monotonic() + seconds
    left: set[str] = set()
    for source in wanted(home):
        if time.monotonic() >= end:
            left.add(source.name)
            continue
        try:
            adopt(rules, source)
        except TriageError:
            continue
    take_note(home)
    return len(left - _names(home / "ai_runs"))


def _names(directory: Path) -> set[str]:
    try:
        return set(os.listdir(directory))
    except OSError:
        return set()


def wanted(home: Path, looked_at: int = LOOKED_AT) -> Iterator[Path]:
    """Yield SFEmu's runs that may have to be taken in, newest first: the newest, and those never taken in."""
    found = foreign_runs(home / "ai_runs")
    known = _names(home / "ai_runs")
    for number, name in enumerate(sorted(found, reverse=True)):
        if number < looked_at or name not in known:
            yield found[name]
