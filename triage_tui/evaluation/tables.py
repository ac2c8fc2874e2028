"""The evaluation as tables for people: one row per case, per cause, and per bin of confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triage_tui.evaluation.calibrating import Fit
from triage_tui.evaluation.measure import Result
from triage_tui.evaluation.summary import by_cause, calibration, figures

Table = tuple[list[str], list[list[str]]]


def case_rows(results: Sequence[Result]) -> Table:
    """One row per case."""
    header = ["CASE", "CAUSE", "ANSWER", "SURE", "SOURCE", "RESULT"]
    rows = []
    for result in results:
        best = result.best
        rows.append(
            [
                result.case.id,
                result.case.cause,
                best.cause if best else "-",
                f"{best.confidence:.2f}" if best else "-",
                best.source if best else "-",
                _outcome(result),
            ]
        )
    return header, rows


def _outcome(result: Result) -> str:
    if result.best is None:
        return f"not evaluated: {result.problem}"
    words = ["right" if result.right else "abstained" if result.abstained else "WRONG"]
    if not result.right and result.near:
        words.append(f"right is number {result.rank}")
    if result.wrong_and_sure:
        words.append("and sure")
    if result.accused:
        words.append("accuses a healthy program")
    if result.claims.unsupported:
        words.append(f"{len(result.claims.unsupported)} unsupported claims")
    return ", ".join(words)


def cause_rows(results: Sequence[Result]) -> Table:
    """One row per labelled cause, and one for all."""
    header = [
        "CAUSE", "CASES", "TOP-1", "TOP-3", "PROXIMATE", "ABSTAINED", "WRONG>0.8", "SAID", "RIGHT",
        "UNSUPPORTED", "MS", "SOURCE",
    ]  # fmt: skip
    rows = [_cause_row(cause, found) for cause, found in by_cause(results).items()]
    return header, [*rows, _cause_row("all", results)]


def _cause_row(cause: str, results: Sequence[Result]) -> list[str]:
    told: dict[str, Any] = figures(results)
    given = [result for result in results if result.best is not None]
    said = sum(r.best.confidence for r in given if r.best is not None) / len(given) if given else None
    right = sum(r.rank == 1 for r in given) / len(given) if given else None
    ms = told["median_diagnosis_ms"]
    return [
        cause,
        str(told["cases"]),
        _percent(told["top1"]),
        _percent(told["top3"]),
        _percent(told["proximate"]),
        str(told["abstained"]),
        str(told["wrong_and_sure"]),
        "-" if said is None else f"{said:.2f}",
        "-" if right is None else f"{right:.2f}",
        f"{told['unsupported_claims']}/{told['claims']}",
        "-" if ms is None else f"{ms:.0f}",
        " ".join(f"{name} {count}" for name, count in sorted(told["sources"].items())) or "-",
    ]


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def calibration_rows(results: Sequence[Result]) -> Table:
    """One row per bin of said confidence."""
    rows = [
        [f"{one.low:.1f}-{one.high:.1f}", str(one.answers), f"{one.said:.2f}", f"{one.right:.2f}"]
        for one in calibration(results)
    ]
    return ["CONFIDENCE", "ANSWERS", "SAID", "RIGHT"], rows


def fit_sentences(found: Fit) -> list[str]:
    """Return what a fitted calibration is and what it is worth, in words."""
    slope, intercept = found.calibration.slope, found.calibration.intercept
    means = ", ".join(
        f"{said:.2f} -> {found.calibration.measured(said):.2f}" for said in (0.5, 0.7, 0.8, 0.9, 0.97)
    )
    return [
        f"fitted to {found.answers} answers, {found.right} of them right: slope {slope:g}, intercept "
        f"{intercept:g} (said -> measured: {means}); the diagnosis takes the lower one",
        f"on answers left out: Brier score {found.brier_before:.4f} before, {found.brier_after:.4f} after; "
        f"said and right apart by {found.error_before:.3f} before, {found.error_after:.3f} after",
    ]


def sentences(results: Sequence[Result]) -> list[str]:
    """Return the figures of the whole, in words."""
    told: dict[str, Any] = figures(results)
    lines = [
        f"{told['cases']} case{'s' if told['cases'] != 1 else ''}: top-1 {_percent(told['top1'])}, "
        f"top-3 {_percent(told['top3'])}, "
        f"{told['abstained']} abstained, {told['wrong_and_sure']} wrong and sure (above 0.8), "
        f"{told['healthy_accused']} healthy accused.",
        f"{told['claims']} claims followed to their evidence, {told['unsupported_claims']} unsupported.",
    ]
    if told["median_diagnosis_ms"] is not None:
        lines.append(f"Median from frozen to diagnosed: {told['median_diagnosis_ms']:.0f} ms.")
    if told["not_prepared"]:
        lines.append(f"{told['not_prepared']} of the cases could not be evaluated and count as not right.")
    return lines
