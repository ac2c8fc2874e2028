"""The knowledge base's diagnosis and the model's hypotheses side by side: neither changes the other.

A hypothesis of the model's about a cause that the knowledge base names becomes its second opinion, and its
confidence stays what it was. One about another cause stands for itself, marked as the model's, behind the
first answer of the knowledge base, which stays the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from triage_tui.runs.diagnosis_model import Diagnosis, Experiment, Hypothesis, Opinion, Proposal

CEILING = 0.6
"""Highest confidence of a model's hypothesis: nobody has calibrated it."""
UNSUPPORTED_CEILING = 0.2
"""The same without a single claim that has evidence."""
MAX_PROPOSALS = 16


def capped(confidence: float, *, supported: int) -> float:
    """Return the confidence with which a model's hypothesis is told; `supported` counts claims with
    evidence.
    """
    return round(min(confidence, CEILING if supported else UNSUPPORTED_CEILING), 2)


def without_model(diagnosis: Diagnosis) -> Diagnosis:
    """Return a diagnosis as it was before any model was asked."""
    kept = [index for index, one in enumerate(diagnosis.hypotheses) if one.source != "model"]
    places = {old: new for new, old in enumerate(kept)}
    return msgspec.structs.replace(
        diagnosis,
        hypotheses=[msgspec.structs.replace(diagnosis.hypotheses[index], opinion=None) for index in kept],
        proposals=[
            msgspec.structs.replace(one, hypothesis=places[one.hypothesis])
            for one in diagnosis.proposals
            if one.source != "model" and one.hypothesis in places
        ],
        experiments=_renumbered(diagnosis.experiments, places),
        analysis="",
    )


def merge(
    diagnosis: Diagnosis, found: Sequence[Hypothesis], proposed: Sequence[tuple[int, Proposal]], analysis: str
) -> Diagnosis:
    """Return `diagnosis` (without a model's part) with the model's hypotheses and proposals.

    `proposed` holds each proposal with the index in `found` of its hypothesis. `analysis` is the directory
    of the analysis in the run.
    """
    own = [msgspec.structs.replace(one) for one in diagnosis.hypotheses]
    target: dict[int, Hypothesis] = {}
    added: list[Hypothesis] = []
    for index, one in enumerate(found):
        same = next((other for other in own if other.cause == one.cause), None)
        if same is None:
            added.append(one)
            target[index] = one
            continue
        target[index] = same
        if same.opinion is None:
            same.opinion = Opinion(
                model=one.model,
                confidence=one.confidence,
                explanation=one.explanation,
                evidence=one.evidence,
                contrary=one.contrary,
            )
    # The first answer is what lists show, without its source: it stays the knowledge base's.
    # The others keep their order among themselves, too: it may rest on more than confidence.
    ordered = list(own)
    for one in sorted(added, key=lambda one: -one.confidence):
        behind = (at for at, other in enumerate(ordered) if at and other.confidence < one.confidence)
        ordered.insert(next(behind, len(ordered)), one)
    place = {id(one): number for number, one in enumerate(ordered)}
    proposals = [
        msgspec.structs.replace(one, hypothesis=place[id(own[one.hypothesis])])
        for one in diagnosis.proposals
        if one.hypothesis < len(own)
    ]
    known = {(one.id, tuple(one.files)) for one in proposals}
    for index, proposal in proposed:
        if (proposal.id, tuple(proposal.files)) not in known:
            known.add((proposal.id, tuple(proposal.files)))
            proposals.append(msgspec.structs.replace(proposal, hypothesis=place[id(target[index])]))
    moved = {old: place[id(one)] for old, one in enumerate(own)}
    return msgspec.structs.replace(
        diagnosis,
        hypotheses=ordered,
        proposals=proposals[:MAX_PROPOSALS],
        experiments=_renumbered(diagnosis.experiments, moved),
        analysis=analysis,
    )


def _renumbered(experiments: Sequence[Experiment], places: Mapping[int, int]) -> list[Experiment]:
    """Return experiments that name the hypotheses by their new places."""
    return [
        msgspec.structs.replace(one, hypotheses=[places[old] for old in one.hypotheses if old in places])
        for one in experiments
    ]
