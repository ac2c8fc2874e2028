"""Finish, or take back, what a killed program began with a rollout."""

from __future__ import annotations

import contextlib
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook import generations
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.log import Entry
from triage_tui.rulebook.kinds import RULE_ID
from triage_tui.rulebook.lock import locked
from triage_tui.rulebook.rollouts.observed import observed_entry
from triage_tui.rulebook.rollouts.record import bring_about, directory_of, read, rollout_ids, tell


def settle(rulebook: Path, identity: str, change: str, actor: str) -> None:
    """Finish, or take back, what a killed program began with a rollout.

    Raises:
        TriageError: the rulebook cannot be read or written.
    """
    directory = directory_of(rulebook)
    if directory.is_symlink() or not directory.is_dir():
        return
    with locked(directory):
        _settle(rulebook, identity, change, actor)


def _settle(rulebook: Path, identity: str, change: str, actor: str) -> None:
    _recover(rulebook, identity)
    found = read(rulebook, identity) if identity in rollout_ids(rulebook) else None
    if found is not None and found.change == change:
        tell(rulebook, found)
        bring_about(rulebook, found, lambda _name: None)
        return
    seen = next((one for one in found.observed if one.change == change), None) if found is not None else None
    if found is not None and seen is not None:
        # Opening it for writing mends a head that a killed program left behind.
        with audit_log.writing(rulebook) as log:
            if audit_log.announcement(rulebook, change) is None:
                log.append(observed_entry(found, seen, actor))
        return
    announced = audit_log.announcement(rulebook, change)
    if announced is not None:
        says = "a program was killed, or the disk was full, before it took place"
        audit_log.append(
            rulebook, Entry(kind="withdrawn", actor=actor, says=says, target=announced.target, change=change)
        )


def _recover(rulebook: Path, identity: str) -> None:
    """Remove temporary files, a text without its rollout, and what killed changes of generations left."""
    directory = directory_of(rulebook)
    for leftover in directory.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
    if identity not in rollout_ids(rulebook):
        if RULE_ID.fullmatch(identity):
            (directory / f"{identity}.lua").unlink(missing_ok=True)
        return
    for name in read(rulebook, identity).placed:
        place = rulebook / name
        if (place / "generations").is_dir() and not place.is_symlink():
            with contextlib.suppress(TriageError):
                # What is damaged there is said by what is to be done there.
                generations.recover(place)
