"""Whether each claim of a diagnosis stands on evidence: measured on the record, not taken from the diagnosis.

A claim is a piece of evidence, for or against, or a citation inside an explanation. It is supported when its
link resolves in the run and carries the hash of what it points to.
"""

from __future__ import annotations

import msgspec

from triage_tui.diagnosis.cite import UNSUPPORTED
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.evidence import links_in, resolve
from triage_tui.runs.reader import Run


class Claims(msgspec.Struct, frozen=True):
    """How many claims a diagnosis makes, and what is wrong with those that nothing supports."""

    total: int
    unsupported: tuple[str, ...]
    """One sentence each; raw text."""


NO_CLAIMS = Claims(total=0, unsupported=())


def check_claims(run: Run, diagnosis: Diagnosis) -> Claims:
    """Follow every link of `diagnosis`, which need not be the one that is stored with `run`."""
    total = len(diagnosis.derivation)
    bad = [
        f"derivation: {step.says}: {step.link or 'no link'}"
        for step in diagnosis.derivation
        if not (found := resolve(run, step.link)).exists or found.link.hash is None or not found.hash_ok
    ]
    for hypothesis in diagnosis.hypotheses:
        given = hypothesis.evidence + hypothesis.contrary + hypothesis.below
        claims = [(evidence.says, evidence.link) for evidence in given]
        claims += links_in(hypothesis.explanation)
        unlinked = hypothesis.explanation.count(UNSUPPORTED)
        total += len(claims) + unlinked
        bad += [f"{hypothesis.cause}: the explanation cites nothing"] * unlinked
        for says, link in claims:
            found = resolve(run, link)
            if not found.exists:
                bad.append(f"{hypothesis.cause}: {says}: {link or 'no link'} is not in this run")
            elif found.link.hash is None or not found.hash_ok:
                bad.append(f"{hypothesis.cause}: {says}: {link} does not say that (any more)")
    return Claims(total=total, unsupported=tuple(bad))
