"""Which rules a rollout answers for, where they were not born from the program that they act on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.rollouts import record
from triage_tui.rulebook.targets import target_dirs

_told: set[str] = set()


def believe(digests: Collection[str]) -> None:
    """Let rollouts elsewhere vouch for rules of these SHA-256, until this process ends.

    A process that plays one target of a campaign has its rules without their rollouts, which stayed in the
    workspace of the campaign.
    """
    _told.update(digests)


def vouched(rulebook: Path) -> Collection[tuple[str, str]]:
    """Return SHA-256 and target of each rule that a rollout gave, or may give, to a target.

    A rollout of which the audit log does not tell the same vouches for nothing.
    """
    found = {(sha256, place.name) for sha256 in _told for place in target_dirs(rulebook)} if _told else set()
    for identity in record.rollout_ids(rulebook):
        try:
            one = record.read(rulebook, identity)
            line = audit_log.announcement(rulebook, one.change) if one.state != "stopped" else None
        except TriageError:
            continue
        if line is not None and line.digest == record.digest_of(one):
            found |= {(one.sha256, target) for target in one.candidates}
    return found
