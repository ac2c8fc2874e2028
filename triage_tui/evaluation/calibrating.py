"""Fit a calibration to evaluated runs, and measure on cases that were left out what it is worth."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from triage_tui.diagnosis.calibration import IDENTITY, Calibration, logit, sigmoid
from triage_tui.diagnosis.knowledge import load_knowledge
from triage_tui.errors import TriageError
from triage_tui.evaluation.measure import Result, judge
from triage_tui.rule_places import user_directories
from triage_tui.runs.files import write_atomic

MIN_SAMPLES = 20
"""Fewer answers than these say nothing about two parameters."""
_STEPS = 100
_RIDGE = 1.0
"""Pull of the slope towards 1, as strong as about one answer."""
_BINS = 10

Sample = tuple[float, bool]
"""Confidence of a first answer, and whether it was right."""


class Fit(msgspec.Struct, frozen=True):
    """A calibration, and how far said and right are apart with it and without it on cases left out."""

    calibration: Calibration
    answers: int
    right: int
    brier_before: float
    """Mean square of said minus right (1 or 0); smaller is better."""
    brier_after: float
    """The same with the calibration that was fitted without the case in question."""
    error_before: float
    """Expected calibration error: mean distance of said and right over ten bins, weighted."""
    error_after: float


def samples_of(results: Iterable[Result]) -> list[Sample]:
    """Return what first answers said and whether they named a right cause; "unknown" says nothing."""
    return [
        (result.best.confidence, result.rank == 1)
        for result in results
        if result.best is not None and result.best.cause != "unknown"
    ]


def as_entries_say(results: Iterable[Result]) -> list[Result]:
    """Return the results that can be had with the confidences of the entries themselves, uncalibrated.

    Raises:
        TriageError: the knowledge base has a mistake.
    """
    plain = load_knowledge([Path(name) for name in user_directories()])
    plain.calibration = IDENTITY
    return [judge(result.case, result.run, plain) for result in results if result.run and result.answers]


def fit(samples: Sequence[Sample]) -> Fit:
    """Fit a calibration to `samples`, and judge it by leaving out one sample after the other.

    Raises:
        TriageError: there are too few of them.
    """
    if len(samples) < MIN_SAMPLES:
        raise TriageError(f"a calibration needs at least {MIN_SAMPLES} answers, and there are {len(samples)}")
    left_out = [
        (platt([*samples[:index], *samples[index + 1 :]]).measured(said), right)
        for index, (said, right) in enumerate(samples)
    ]
    return Fit(
        calibration=platt(samples),
        answers=len(samples),
        right=sum(right for _, right in samples),
        brier_before=brier(samples),
        brier_after=brier(left_out),
        error_before=calibration_error(samples),
        error_after=calibration_error(left_out),
    )


def platt(samples: Sequence[Sample]) -> Calibration:
    """Return slope and intercept of greatest likelihood (Newton's method).

    As Platt has it, right counts as (r + 1) / (r + 2) and wrong as 1 / (w + 2), so that answers that were all
    right prove no certainty. A slope that is not positive would turn the order of answers round; it is kept
    at least 0.1.
    """
    right_ones = sum(right for _, right in samples)
    wrong_ones = len(samples) - right_ones
    targets = {True: (right_ones + 1) / (right_ones + 2), False: 1 / (wrong_ones + 2)}
    points = [(logit(said), targets[right]) for said, right in samples]
    slope, intercept = 1.0, 0.0
    for _ in range(_STEPS):
        gs, gi = _RIDGE * (slope - 1), 0.0
        hss, hsi, hii = _RIDGE, 0.0, 1e-6
        for x, y in points:
            p = sigmoid(slope * x + intercept)
            weight = max(p * (1 - p), 1e-9)
            gs += (p - y) * x
            gi += p - y
            hss += weight * x * x
            hsi += weight * x
            hii += weight
        determinant = hss * hii - hsi * hsi
        step_s = (hii * gs - hsi * gi) / determinant
        step_i = (hss * gi - hsi * gs) / determinant
        # A full step may overshoot where nearly all answers are right.
        scale = min(1.0, 1.0 / max(abs(step_s), abs(step_i), 1e-12))
        slope, intercept = max(0.1, slope - scale * step_s), intercept - scale * step_i
        if max(abs(step_s), abs(step_i)) < 1e-9:
            break
    return Calibration(round(slope, 4), round(intercept, 4))


def brier(samples: Iterable[Sample]) -> float:
    """Return the Brier score of `samples`, 0 for none."""
    squares = [(said - right) ** 2 for said, right in samples]
    return sum(squares) / len(squares) if squares else 0.0


def calibration_error(samples: Iterable[Sample]) -> float:
    """Return the expected calibration error over ten bins of equal width, 0 for none."""
    bins: dict[int, list[Sample]] = {}
    for said, right in samples:
        bins.setdefault(min(_BINS - 1, math.floor(said * _BINS)), []).append((said, right))
    total = sum(map(len, bins.values()))
    apart = sum(abs(sum(said for said, _ in found) - sum(r for _, r in found)) for found in bins.values())
    return apart / total if total else 0.0


def write_calibration(path: Path, found: Fit, corpora: Sequence[Path]) -> None:
    """Write the file that `diagnosis.calibration` reads, with what it was fitted to.

    Raises:
        TriageError: it cannot be written.
    """
    lines = [
        "# How sure an answer is, measured: see docs/evaluation.md. Made by `triage-tui eval --calibrate`.",
        "schema: 1",
        f"slope: {found.calibration.slope}",
        f"intercept: {found.calibration.intercept}",
        "fitted:",
        f"  answers: {found.answers}",
        f"  right: {found.right}",
        f"  brier: {{before: {found.brier_before:.4f}, left_out: {found.brier_after:.4f}}}",
        f"  error: {{before: {found.error_before:.4f}, left_out: {found.error_after:.4f}}}",
        "  corpora:",
        *(f"  - sha256: {hashlib.sha256(corpus.read_bytes()).hexdigest()}" for corpus in corpora),
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, "\n".join(lines) + "\n")
    except OSError as error:
        raise TriageError(f"{path} cannot be written: {error.strerror or error}") from error
