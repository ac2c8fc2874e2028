"""What a policy may have approved on runs of a worker elsewhere, found out once more from their records.

A worker says which rules its policy approved. Here each record is diagnosed again, by the knowledge
base and the templates of this machine, and what the written policy does not allow of that stays inactive.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from triage_tui.campaign.base_rules import kept_policy
from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import TriageError
from triage_tui.proposals.build import propose
from triage_tui.retry.rounds.policy import Policy
from triage_tui.retry.rounds.written_policy import WrittenPolicy, read_policy, shipped_policy
from triage_tui.retry.rules.proposed import approvable
from triage_tui.rulebook import patches, rulefile
from triage_tui.runs.events import read_events
from triage_tui.runs.reader import load_run

Meaning = tuple[str, bytes]
"""What a rule does, whatever run it came from: its kind, call and match, and its text without the header."""
_LARGE = ("memory", "checkpoint")
"""Directories of a run that are only read."""


def meaning_of(name: str, text: bytes) -> Meaning:
    """Return what a rule does; `name` is the one that it has, or would have, among active rules.

    Raises:
        TriageError: it is no rule.
    """
    found = rulefile.parse(text)
    return f"{name.partition('@')[0]} {found.header.match}", found.body


def may_be_approved(run_dirs: Iterable[Path], directory: Path, policy: Policy) -> set[Meaning]:
    """Return what the policy of the campaign in `directory` may approve on runs on which something was.

    Raises:
        TriageError: the written policy cannot be read.
        OSError: there is no room for a copy of a run.
    """
    if policy == "manual":
        return set()
    written = read_policy(Path(kept_policy(directory) or shipped_policy()))
    found: set[Meaning] = set()
    for run_dir in run_dirs:
        if any(event.kind == "approved" for event in read_events(run_dir)[0]):
            with tempfile.TemporaryDirectory(prefix=".check-", dir=directory) as place:
                found |= _of_copy(_copied(run_dir, Path(place)), written, policy)
    return found


def _copied(run_dir: Path, place: Path) -> Path:
    """Copy a run without its rules and its diagnosis, which are made anew."""

    def copied(source: str, goal: str) -> None:
        if Path(source).relative_to(run_dir).parts[0] in _LARGE:
            with contextlib.suppress(OSError):
                os.link(source, goal)
                return
        shutil.copyfile(source, goal)

    shutil.copytree(
        run_dir,
        place / run_dir.name,
        symlinks=True,
        copy_function=copied,
        ignore=lambda where, names: ["rules_patch"] if Path(where) == run_dir else [],
    )
    return place / run_dir.name


def _of_copy(run_dir: Path, written: WrittenPolicy, policy: Policy) -> set[Meaning]:
    found: set[Meaning] = set()
    try:
        run = load_run(run_dir)
        run.diagnosis = diagnose(run)
        run.diagnosis.proposals = propose(run, run.diagnosis)
        for proposal in approvable(run):
            if proposal.needs_input or proposal.risk == "high":
                # Nobody fills in anything on a worker.
                continue
            if written.allows("assist" if policy == "assist" else "auto", run, proposal) is not None:
                for name in proposal.files:
                    text = patches.read_rule(run_dir, name)
                    found.add(meaning_of(patches.active_name(name, text), text))
    except TriageError:
        # Of what cannot be understood nothing is approved.
        return found
    return found
