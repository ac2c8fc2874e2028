"""Figures over all cases and per cause: shares of right answers, calibration, time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import msgspec

from triage_tui.evaluation.measure import Result

BINS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Limits of the bins of said confidence; the first one holds what counts as unknown."""


class Bin(msgspec.Struct, frozen=True):
    """Answers whose confidence lies in [low, high), the last bin with its end."""

    low: float
    high: float
    answers: int
    said: float
    """Mean confidence."""
    right: float
    """Share of right answers."""


def calibration(results: Iterable[Result]) -> list[Bin]:
    """Return per bin what the first answers said and how many of them named a right cause."""
    given = [(r.best.confidence, r.rank == 1) for r in results if r.best is not None]
    bins = []
    for low, high in pairwise(BINS):
        inside = [one for one in given if low <= one[0] < high or (high == 1.0 and one[0] >= high)]
        if inside:
            bins.append(
                Bin(
                    low=low,
                    high=high,
                    answers=len(inside),
                    said=round(sum(said for said, _ in inside) / len(inside), 3),
                    right=round(sum(right for _, right in inside) / len(inside), 3),
                )
            )
    return bins


def figures(results: Sequence[Result]) -> dict[str, Any]:
    """Return counts and shares; a case that could not be prepared counts as not right."""
    diagnosed = [result for result in results if result.best is not None]
    sources: dict[str, int] = {}
    for result in diagnosed:
        assert result.best is not None
        sources[result.best.source] = sources.get(result.best.source, 0) + 1
    return {
        "cases": len(results),
        "not_prepared": len(results) - len(diagnosed),
        "top1": _share(sum(result.right for result in results), len(results)),
        "top3": _share(sum(result.near for result in results), len(results)),
        "proximate": _share(sum(result.proximate_right for result in results), len(results)),
        "wrong_and_sure": sum(result.wrong_and_sure for result in results),
        "abstained": sum(result.abstained for result in results),
        "unsupported_claims": sum(len(result.claims.unsupported) for result in results),
        "claims": sum(result.claims.total for result in results),
        "healthy_accused": sum(result.accused for result in results),
        "median_diagnosis_ms": round(median(r.diagnosis_ms for r in diagnosed), 1) if diagnosed else None,
        "sources": sources,
        "calibration": [
            {"from": b.low, "to": b.high, "answers": b.answers, "said": b.said, "right": b.right}
            for b in calibration(results)
        ],
    }


_TOP_LEVEL = (
    "cases", "top1", "top3", "wrong_and_sure", "abstained", "unsupported_claims", "healthy_accused",
    "median_diagnosis_ms",
)  # fmt: skip


def report(results: Sequence[Result]) -> dict[str, Any]:
    """Return the whole evaluation as JSON data."""
    whole = figures(results)
    return {
        **{name: whole[name] for name in _TOP_LEVEL},
        "per_cause": {cause: figures(found) for cause, found in by_cause(results).items()},
        "per_case": [_case(result) for result in results],
    }


def by_cause(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the results of each labelled cause, by name."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.case.cause, []).append(result)
    return dict(sorted(found.items()))


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _case(result: Result) -> dict[str, Any]:
    case, best = result.case, result.best
    told: dict[str, Any] = {
        "id": case.id,
        "arch": case.arch,
        "cause": case.cause,
        "accept": case.accept,
        "proximate": case.proximate,
        "healthy": case.healthy,
        "prepared": best is not None,
        "problem": result.problem or None,
        "right": result.right,
        "rank": result.rank,
        "abstained": result.abstained,
        "wrong_and_sure": result.wrong_and_sure,
        "accused": result.accused,
        "called_healthy": result.healthy,
        "answers": [
            {
                "cause": answer.cause,
                "proximate": answer.proximate,
                "confidence": answer.confidence,
                "source": answer.source,
                "entry": answer.entry,
            }
            for answer in result.answers
        ],
        "claims": result.claims.total,
        "unsupported_claims": len(result.claims.unsupported),
        "unsupported": list(result.claims.unsupported[:20]),
        "capture_ms": result.capture_ms,
        "diagnosis_ms": result.diagnosis_ms,
        "run": str(result.run) if result.run is not None else None,
    }
    return told
