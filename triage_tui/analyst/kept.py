"""A model's opinion that a run keeps, put into a diagnosis that was made anew."""

from __future__ import annotations

import msgspec

from triage_tui.analyst.citing import checked
from triage_tui.analyst.journal import ANSWERS_FILE
from triage_tui.analyst.merging import capped, merge, without_model
from triage_tui.errors import TriageError
from triage_tui.runs.analysis_model import Outcome
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.reader import Run

MAX_BYTES = 4 << 20


def with_opinion(run: Run, diagnosis: Diagnosis, before: Diagnosis | None) -> Diagnosis:
    """Return `diagnosis`, which is the knowledge base's alone, with the model's part that `before` had.

    It is read from the analysis, and checked as when it was new: links are looked up, confidence is capped.
    What cannot be read is left out: the opinion then is in the directory of the analysis only.
    """
    if before is None or not before.analysis:
        return diagnosis
    try:
        raw = read_bounded(inside(run.dir, f"{before.analysis}/{ANSWERS_FILE}"), MAX_BYTES, whole=True)
        outcome = msgspec.json.decode(raw, type=Outcome)
    except (TriageError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return diagnosis
    found = [_as_new(run, one, outcome.model) for one in outcome.hypotheses]
    proposed = [
        (one.hypothesis, msgspec.structs.replace(one, source="model"))
        for one in outcome.proposals
        if 0 <= one.hypothesis < len(found)
    ]
    return merge(without_model(diagnosis), found, proposed, before.analysis)


def _as_new(run: Run, kept: Hypothesis, model: str) -> Hypothesis:
    evidence, contrary = checked(run, kept.evidence), checked(run, kept.contrary)
    supported = sum(one.supported for one in evidence)
    return msgspec.structs.replace(
        kept,
        source="model",
        model=model,
        opinion=None,
        evidence=evidence,
        contrary=contrary,
        confidence=capped(max(0.0, kept.confidence), supported=supported),
    )
