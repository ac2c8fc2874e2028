"""What is said of a failure that is back although a stable set once mended it."""

from __future__ import annotations

from collections.abc import Iterable

from triage_tui.runs.events import Event
from triage_tui.text import safe_line


def reopened_said(events: Iterable[Event]) -> str:
    """Return in one sentence that the failure of a run is back, by its events; "" where it is not."""
    told = [event.payload for event in events if event.kind == "reopened"]
    if not told or not told[-1].get("set"):
        return ""
    name, signature, proof = (str(told[-1].get(key, "")) for key in ("set", "signature", "proof"))
    return reopened_in_words(name, signature, bool(told[-1].get("active")), proof)


def reopened_in_words(name: str, signature: str, active: bool, proof: str) -> str:
    """Return in one sentence that a failure is back; `name` is the set, `proof` the run that was well."""
    rules = (
        "although its rules are active"
        if active
        else f"and its rules are not active for this target: `triage-tui stable show {name}` names them"
    )
    return safe_line(
        f"reopened: {signature} is back, which the stable set {name} mended (proved by run {proof}), {rules}",
        600,
    )
