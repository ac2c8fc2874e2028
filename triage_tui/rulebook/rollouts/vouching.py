"""Which rules a rollout answers for, where they were not born from the program that they act on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.rollouts import record


def vouched(rulebook: Path) -> Collection[tuple[str, str]]:
    """Return SHA-256 and target of each rule that a rollout gave, or may give, to a target.

    A rollout of which the audit log does not tell the same vouches for nothing.
    """
    found = set()
    for identity in record.rollout_ids(rulebook):
        try:
            one = record.read(rulebook, identity)
            line = audit_log.announcement(rulebook, one.change) if one.state != "stopped" else None
        except TriageError:
            continue
        if line is not None and line.digest == record.digest_of(one):
            found |= {(one.sha256, target) for target in one.candidates}
    return found
