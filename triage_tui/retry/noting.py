"""The audit log follows the event logs of the runs: each decision on a run gets its line there.

The event log is durable before, so that a program that is killed in between loses nothing: the next decision
on the run writes what is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.rulebook import patches
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.log import Entry
from triage_tui.runs.events import Event, event_digests
from triage_tui.text import safe_line

NOTED = frozenset(
    [
        "proposed", "edited", "approved", "rejected", "dropped", "reconsidered", "decision", "retry_started",
        "retry_finished", "needs_person", "experiment_started", "experiment_finished", "counterfactual",
        "minimised", "bisected", "each_rule",
    ]
)  # fmt: skip
"""Kinds of events that get a line. What becomes active gets its own from the rulebook itself."""


def note(rulebook: Path, run_dir: Path, target: str) -> int:
    """Write what was decided on a run and is not in the audit log yet; return how many lines that were.

    Raises:
        TriageError: the log cannot be written.
    """
    with audit_log.writing(rulebook) as log:
        # Read while it is locked: what two programs note of one run is noted once.
        known = log.sources_of(run_dir.name)
        missing = [(source, event) for source, event in event_digests(run_dir).items() if source not in known]
        count = 0
        for source, event in missing:
            if event.kind in NOTED:
                log.append(_entry(run_dir, target, event, source))
                count += 1
    return count


def _entry(run_dir: Path, target: str, event: Event, source: str) -> Entry:
    payload = event.payload
    return Entry(
        kind=event.kind,
        actor=event.actor,
        says=safe_line(_says(event.kind, payload), audit_log.MAX_TEXT),
        run=run_dir.name,
        target=target,
        rules=_rules(run_dir, event),
        source=source,
    )


def _says(kind: str, payload: dict[str, Any]) -> str:
    match kind:
        case "proposed" | "approved":
            despite = _texts(payload.get("despite"))
            although = f"although {'; '.join(despite)}" if despite else ""
            line = _text(payload, "policy")
            allowed = line and f"allowed by {line}"
            proposals = ", ".join(_texts(payload.get("proposals")))
            seen = _observed(payload.get("observed"))
            return ": ".join(filter(None, [proposals, _text(payload, "reason"), seen, although, allowed]))
        case "counterfactual":
            return f"{_text(payload, 'verdict')}: {_text(payload, 'says')}"
        case "minimised" | "bisected" | "each_rule":
            return _text(payload, "says")
        case "dropped":
            return ": ".join(filter(None, [", ".join(_texts(payload.get("what"))), _text(payload, "reason")]))
        case "decision":
            return _text(payload, "action")
        case "retry_finished":
            return ": ".join(
                filter(None, [_text(payload, "verdict"), "; ".join(_texts(payload.get("reasons")))])
            )
        case "needs_person":
            return _text(payload, "why")
        case "experiment_started" | "experiment_finished":
            return _text(payload, "id")
        case "reconsidered":
            return f"event {payload.get('event')} is taken back"
        case _:
            return _text(payload, "reason")


def _observed(seen: object) -> str:
    """Return what an approval says was observed before it, "" where it says nothing."""
    if not isinstance(seen, dict):
        return ""
    return f"observed before: {_text(seen, 'verdict')}, {_text(seen, 'says')}"


def _rules(run_dir: Path, event: Event) -> dict[str, str]:
    """Return the rule files that an event is about, with the digests of what was decided on."""
    payload = event.payload
    if event.kind == "edited":
        return {safe_line(_text(payload, "file"), 200): safe_line(_text(payload, "sha256"), 64)}
    files = payload.get("files")
    if event.kind == "approved" and isinstance(files, dict):
        return {safe_line(str(name), 200): safe_line(str(sha), 64) for name, sha in list(files.items())[:256]}
    if event.kind in ("proposed", "rejected"):
        return dict(_digests(run_dir, _texts(payload.get("proposals"))))
    return {}


def _digests(run_dir: Path, proposals: list[str]) -> Iterable[tuple[str, str]]:
    """Yield the rule files that these proposals have, all of the run where none is named."""
    from triage_tui.runs.reader import load_run

    names = patches.list_rules(run_dir)
    with contextlib.suppress(TriageError):
        diagnosis = load_run(run_dir).diagnosis
        known = diagnosis.proposals if diagnosis is not None else []
        named = {file for one in known if one.id in proposals for file in one.files}
        names = [name for name in names if name in named] if named else names
    for name in names:
        try:
            yield name, hashlib.sha256(patches.read_rule(run_dir, name)).hexdigest()
        except TriageError:
            continue


def _text(payload: dict[str, Any], name: str) -> str:
    value = payload.get(name)
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    return [one for one in value[:64] if isinstance(one, str)] if isinstance(value, list) else []
