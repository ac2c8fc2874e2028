"""What the service was asked before the freeze, and what it said."""

from __future__ import annotations

import msgspec

from triage_tui.diagnosis.facts import FailedCall, ProbeFact, Source
from triage_tui.runs.model import Probe, Snapshot

ANSWERED_NOISE = "the program met it while it answered a probe"
_FACTOR = 0.2


def is_well(probe: Probe) -> bool:
    """Tell whether the service did what the probe wanted; taking a connection is enough where one asked."""
    return probe.outcome == "answered" or (probe.asked and probe.outcome == "accepted")


def probe_facts(snapshot: Snapshot) -> list[ProbeFact]:
    """Return one fact for each probe."""
    return [
        ProbeFact(
            source=Source(kind="probe", id=str(index)),
            says=probe.detail or f"{probe.target}: {probe.outcome}",
            cite=probe.detail or f"{probe.target}: {probe.outcome}",
            seq=probe.seq,
            pid=snapshot.trigger.pid,
            steps=0,
            target=probe.target,
            outcome=probe.outcome,
            ok=is_well(probe),
            asked=probe.asked,
            status=probe.status if probe.status is not None else -1,
            received=probe.received,
        )
        for index, probe in enumerate(snapshot.probes)
    ]


def without_answers(failed: list[FailedCall], probes: list[ProbeFact]) -> list[FailedCall]:
    """Return the failed calls, those that answering a probe brought about weighed down.

    A server that is asked for a page that it does not have fails to open a file, and is well. Where a probe
    was not answered, what failed meanwhile may be the reason and keeps its weight.
    """
    if not probes or not all(probe.ok for probe in probes):
        return failed
    first = min(probe.seq for probe in probes)
    return [
        msgspec.structs.replace(fact, relevance=round(fact.relevance * _FACTOR, 3), noise=ANSWERED_NOISE)
        if fact.first_seq > first
        else fact
        for fact in failed
    ]
