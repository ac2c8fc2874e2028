"""What an experiment taught: the diagnosis before and after it, in one sentence."""

from __future__ import annotations

from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.text import safe_line

LITTLE = 0.03
"""A change of confidence of less than this is none."""


def learnt_from(saw: str, before: Diagnosis, after: Diagnosis) -> tuple[str, bool]:
    """Return what was learnt, without a final full stop, and whether the diagnosis changed by it.

    `saw` says what the experiment showed, whatever it means: "the probe was answered".
    """
    old, new = _best(before), _best(after)
    saw = safe_line(saw, 300)
    if new is None or old is None:
        return f"{saw}; it told nothing of the cause", False
    if new.cause != old.cause:
        was = "unknown" if old.cause == "unknown" else f"{safe_line(old.cause, 40)} {old.confidence:.2f}"
        return f"{saw}: {_words(new)}, was {was}", True
    if abs(new.confidence - old.confidence) >= LITTLE:
        return f"{saw}: {_words(new)}, was {old.confidence:.2f}", True
    # Links of another run are others in any case: what they say is compared.
    more = {piece.says for piece in new.evidence} - {piece.says for piece in old.evidence}
    if more and len(new.evidence) > len(old.evidence):
        return f"{saw}; the cause is still {_words(new)}, with more evidence", True
    return f"{saw}; it told nothing new of the cause: still {_words(new)}", False


def _best(diagnosis: Diagnosis) -> Hypothesis | None:
    return next(iter(diagnosis.hypotheses), None)


def _words(hypothesis: Hypothesis) -> str:
    if hypothesis.cause == "unknown":
        return "unknown"
    return f"{safe_line(hypothesis.cause, 40)} {hypothesis.confidence:.2f}"
