"""What a rollout observed before its rule acts anywhere, bound to the audit log.

Each observation has a line of the kind "observed" there, with its SHA-256: so one that somebody made up,
changed or took away is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from triage_tui.rulebook.audit.log import OBSERVED, Entry
from triage_tui.rulebook.rollouts.record import MAX_OBSERVED, Observed, Rollout
from triage_tui.runs.encoding import encode_line
from triage_tui.text import number_of, safe_line


def observed_entry(rollout: Rollout, seen: Observed, actor: str) -> Entry:
    """Return the line of the audit log that tells of one observation, which has the name of its change."""
    said = f"{seen.matched} of {number_of(seen.calls, 'call')} matched"
    if seen.failed:
        said += f", it failed: {seen.failed}"
    return Entry(
        kind=OBSERVED,
        actor=actor,
        says=safe_line(f"rollout {rollout.id}: {said}", 900),
        run=seen.run,
        target=seen.target,
        rules={rollout.file: rollout.sha256},
        digest=digest_of_observed(seen),
        change=seen.change,
    )


def digest_of_observed(seen: Observed) -> str:
    """Return the SHA-256 over an observation."""
    return hashlib.sha256(encode_line(seen)).hexdigest()


def observed_otherwise(rollout: Rollout, lines: Iterable[Entry]) -> list[str]:
    """Return in what the observations of a rollout are not those of the audit log, a sentence each.

    `lines` are the lines about this rollout that were not withdrawn. Nothing is known of a rollout that began
    before observations had lines.
    """
    if rollout.version < 2:
        return []
    told = {line.change: line for line in lines if line.kind == OBSERVED}
    found = []
    for seen in rollout.observed:
        line = told.get(seen.change)
        if line is None or line.digest != digest_of_observed(seen):
            found.append(
                f"what rollout {rollout.id} keeps of run {safe_line(seen.run, 60)} is not what was observed"
                f" by the audit log: it was {'changed' if line is not None else 'made up'}"
            )
    kept = {seen.change for seen in rollout.observed}
    # Of many, the oldest are not kept.
    for line in list(told.values())[-MAX_OBSERVED:]:
        if line.change not in kept:
            found.append(
                f"rollout {rollout.id} does not keep what it observed by line {line.number} of the audit log:"
                " it was removed"
            )
    return found
