"""Observe a rule before it acts anywhere: try it at the recorded calls of runs, and keep what came of it.

Several programs may observe for one rollout at a time: each adds what it saw to what the others did.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from triage_tui.errors import Conflict
from triage_tui.retry import pending
from triage_tui.retry.pending_model import Pending
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.check_rollouts import lines_by_rollout
from triage_tui.rulebook.check.replay import replay
from triage_tui.rulebook.lock import locked
from triage_tui.rulebook.rollouts import record
from triage_tui.rulebook.rollouts.observed import observed_entry, observed_otherwise
from triage_tui.rulebook.rollouts.record import MAX_OBSERVED, Observed, Rollout
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

ROLLOUT_ACTOR = "policy:rollout"


def observe(workspace: Workspace, now: Rollout, run: Run) -> Rollout:
    """Try the rule at the recorded calls of a run, once, and keep what came of it.

    Raises:
        TriageError: it cannot be kept.
    """
    rulebook = workspace.rulebook
    if any(seen.run == run.run_id for seen in now.observed):
        return now
    text = record.text_of(rulebook, now)
    found = replay(run.run_id, run.snapshot.target.arch, run.trace(), now.file, text, unlimited=True)
    decision = pending.pending_for(now.target, "rollout", ROLLOUT_ACTOR, file=now.id)
    seen = Observed(
        run=run.run_id,
        target=run.snapshot.target.target_id,
        calls=found.calls,
        matched=len(found.acted),
        unclear=found.unclear,
        failed=safe_line(found.failure or next((p for o in found.outcomes for p in o.problems), ""), 300),
        change=decision.change,
    )
    return _keep(workspace, now, seen, decision)


def _keep(workspace: Workspace, now: Rollout, seen: Observed, decision: Pending) -> Rollout:
    """Keep an observation with its rollout, and with its line in the audit log."""
    rulebook = workspace.rulebook
    with pending.begun(workspace.root, decision), unchanged(rulebook, now):
        known = record.read(rulebook, now.id).observed
        if any(one.run == seen.run for one in known):
            return msgspec.structs.replace(now, observed=known)
        after = msgspec.structs.replace(now, observed=[*known, seen][-MAX_OBSERVED:])
        record.write(rulebook, after)
        audit_log.append(rulebook, observed_entry(now, seen, decision.actor))
    return after


def told_otherwise(rulebook: Path, identity: str) -> list[str]:
    """Return in what the observations of a rollout are not those of the audit log, a sentence each.

    Raises:
        Conflict: somebody else changes it for long.
        TriageError: the one or the other cannot be read.
    """
    # Both as they are at one time: others may be observing.
    with locked(record.directory_of(rulebook)):
        now = record.read(rulebook, identity)
        lines, _ = audit_log.read_log(rulebook)
    told = lines_by_rollout(line.entry for line in lines if line.entry is not None)
    return observed_otherwise(now, told.get(now.id, []))


@contextlib.contextmanager
def unchanged(rulebook: Path, seen: Rollout, *, begins: bool = False) -> Iterator[None]:
    """Hold the rollouts while one is changed that is still as it was seen, but for what is observed.

    Raises:
        Conflict: somebody changed it in between.
    """
    directory = record.directory_of(rulebook)
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
    with locked(directory):
        if not begins and record.read(rulebook, seen.id).change != seen.change:
            raise Conflict(f"somebody else changed rollout {seen.id}: look again and decide anew")
        if begins and seen.id in record.rollout_ids(rulebook):
            raise Conflict(f"somebody else began a rollout {seen.id}: look again and decide anew")
        yield
