"""What events of a run say, in the words of a trace."""

from __future__ import annotations

from collections.abc import Mapping

from triage_tui.retry.tracing.model import Changed
from triage_tui.runs.events import Event

_MAX_TRIED = 33
DECISIONS: Mapping[str, str] = {
    "rejected": "rejected what is proposed",
    "dropped": "dropped",
    "reconsidered": "took back a decision",
    "decision": "decided",
}
"""Kind of an event that decides to what was done."""
ENDS: Mapping[str, str] = {
    "ended": "the guest was ended",
    "needs_person": "a person is needed",
    "holder_lost": "its holder was lost",
}
"""Kind of an event that ends a run to what that is."""
TRIALS: Mapping[str, str] = {
    "counterfactual": "both futures of a rule were run",
    "minimised": "which rules are needed was tried",
    "bisected": "which rules are to blame was tried",
    "each_rule": "each rule was tried from the checkpoint, without making any active",
}
"""Kind of an event to what was done."""

SMALLER = frozenset(("minimised", "bisected"))
"""Those that may propose a smaller set of rules, right before they tell of it."""


def says_of(event: Event) -> str:
    """Return what came of a trial or an experiment, one sentence without a full stop."""
    if event.kind == "experiment_finished":
        learnt = word_of(event, "learnt") or "nothing was learnt"
        return f"an experiment ({word_of(event, 'kind')}) was carried out: {learnt}"
    return f"{TRIALS[event.kind]}: {word_of(event, 'says', 'verdict')}"


def figures_of(event: Event) -> list[Changed]:
    """Return how far each rule came that was tried from a checkpoint, beside how far it goes without any."""
    tried = event.payload.get("tried") if event.kind == "each_rule" else None
    rows = [one for one in tried if isinstance(one, dict)][:_MAX_TRIED] if isinstance(tried, list) else []
    without = next((_outcome(one) for one in rows if one.get("proposal") == ""), "not tried")
    return [
        Changed(name=str(one["proposal"])[:100], before=without, after=_outcome(one))
        for one in rows
        if one.get("proposal")
    ]


def _outcome(tried: Mapping[str, object]) -> str:
    verdict, rung, calls = (tried.get(name) for name in ("verdict", "rung", "calls"))
    if not verdict:
        return f"not tried: {str(tried.get('why') or 'it does not say why')[:200]}"
    return f"{str(verdict)[:40]} ({str(rung)[:40]}), {str(calls)[:20]} calls"


def word_of(event: Event, *keys: str) -> str:
    """Return the first of these that an event has as a text, "" for none."""
    values = (event.payload.get(key) for key in keys)
    return next((value[:1000] for value in values if isinstance(value, str) and value), "")
