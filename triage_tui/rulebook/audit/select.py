"""Choosing lines of the audit log: those of one run, target, actor or rule."""

from __future__ import annotations

import re
from collections.abc import Iterable

from triage_tui.rulebook.audit.log import Entry

_DIGEST = re.compile(r"[0-9a-f]{6,64}")


def selected(
    entries: Iterable[Entry], *, run: str = "", target: str = "", actor: str = "", rule: str = ""
) -> list[Entry]:
    """Return the entries that all of the words given choose.

    `run` is the end of a run's id, `target` and `actor` are the beginning of a name, `rule` is a part of a
    rule file's name (its id is), or the beginning of its SHA-256 or of that of the generation.
    """
    return [
        entry
        for entry in entries
        if entry.run.endswith(run)
        and entry.target.startswith(target)
        and entry.actor.startswith(actor)
        and (not rule or _about(entry, rule))
    ]


def _about(entry: Entry, rule: str) -> bool:
    if _DIGEST.fullmatch(rule) and any(sha.startswith(rule) for sha in [entry.digest, *entry.rules.values()]):
        return True
    return any(rule in name for name in entry.rules)
