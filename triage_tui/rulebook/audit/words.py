"""Lines of the audit log in words; what comes from the log is raw."""

from __future__ import annotations

from triage_tui.rulebook.audit.check import Checked
from triage_tui.rulebook.audit.log import Entry
from triage_tui.text import number_of

WORDS = {
    "proposed": "rules proposed",
    "edited": "rule edited",
    "decision": "decided",
    "reconsidered": "taken back",
    "activated": "rules activated",
    "rolled_back": "rolled back",
    "expired": "rules set aside",
    "renewed": "rules renewed",
    "rollout_started": "rollout begun",
    "promoted": "rollout goes on",
    "stopped": "rollout stopped",
    "rollout_done": "rollout done",
    "observed": "rollout observed",
    "withdrawn": "did not take place",
    "retry_started": "retry started",
    "retry_finished": "retry finished",
    "needs_person": "left to a person",
    "experiment_started": "experiment started",
    "experiment_finished": "experiment finished",
    "imported": "pack imported",
    "exported": "pack exported",
    "trusted": "key trusted",
    "distrusted": "key not trusted any more",
    "own_files": "own files in force",
}
"""Kinds of entries that are not written as they are."""


def sentence(entry: Entry) -> str:
    """Return what was decided, by whom, with which generations, on which run and target."""
    parts = [WORDS.get(entry.kind, entry.kind), f"by {entry.actor}"]
    if entry.after is not None and entry.kind != "withdrawn":
        parts.append(f"generation {entry.before or 'none'} -> {entry.after or 'none'}")
    if entry.run:
        parts.append(f"run {entry.run}")
    if entry.target:
        parts.append(f"target {entry.target[:16]}")
    return ", ".join(parts)


def outcome(found: Checked) -> str:
    """Return in one sentence what a check came to."""
    if found.whole:
        count = number_of(found.lines, "line")
        return f"The audit log is whole: {count}, and the rulebook and the runs agree with it."
    return f"The audit log is not what was written: {number_of(len(found.problems), 'problem')}."
