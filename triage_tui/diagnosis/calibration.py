"""What a confidence means: the share of answers that are right when the knowledge base is that sure.

Entries say how sure they are in figures that a person set. A calibration maps such a figure onto the share of
right answers that was measured on labelled runs: p' = 1 / (1 + exp(-(slope * ln(p / (1 - p)) + intercept)))
(Platt, "Probabilistic outputs for support vector machines", 1999). With a positive slope it keeps the order
of the answers. `triage-tui eval --calibrate` fits the two numbers and writes them down with their origin.

A calibration only takes confidence away. Labelled runs are failures that somebody thought of and could tell
apart; where more of them are right than the entries say, that is no promise for the next firmware.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from triage_tui.diagnosis.knowledge_base.documents import BadDocumentError, document_of
from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.text import safe_line

CALIBRATION_FILE = Path("calibration", "confidence.yaml")
"""Below a directory of the knowledge base."""

MAX_FILE_BYTES = 64 << 10
HIGHEST = 0.99
"""No answer is certain, however many were right."""
_EDGE = 0.001
"""Confidences nearer to 0 or 1 than this are taken for this."""


class Calibration(msgspec.Struct, frozen=True):
    """A monotone map of confidences; the one with slope 1 and intercept 0 changes nothing."""

    slope: float = 1.0
    intercept: float = 0.0

    def of(self, confidence: float) -> float:
        """Return how sure an answer may be that says `confidence`: never surer than that."""
        return min(confidence, self.measured(confidence))

    def measured(self, confidence: float) -> float:
        """Return the share of right answers among those that say `confidence`, to two digits."""
        if (self.slope, self.intercept) == (1.0, 0.0):
            return confidence
        return min(HIGHEST, round(sigmoid(self.slope * logit(confidence) + self.intercept), 2))


IDENTITY = Calibration()


def logit(confidence: float) -> float:
    """Return the logarithm of the odds of `confidence`, which is kept away from 0 and 1."""
    inside = min(max(confidence, _EDGE), 1 - _EDGE)
    return math.log(inside / (1 - inside))


def sigmoid(value: float) -> float:
    """Return the probability with the logarithmic odds `value`."""
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))


def read_calibration(path: Path) -> tuple[Calibration, bytes]:
    """Read a calibration file; returns its bytes as well.

    Raises:
        TriageError: it cannot be read or is none.
    """
    shown = safe_line(str(path), 300)
    raw = read_bounded(path, MAX_FILE_BYTES, whole=True)
    data: object
    try:
        data = document_of(path, raw).data
    except BadDocumentError:
        data = _parse(raw, shown)
    if not isinstance(data, dict) or data.get("schema") != 1:
        raise TriageError(f"{shown}: the file must hold a mapping with schema: 1, slope and intercept")
    numbers = []
    for key, low, high in (("slope", 0.05, 20.0), ("intercept", -20.0, 20.0)):
        value = data.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise TriageError(f"{shown}, key {key}: needs a number between {low:g} and {high:g}")
        numbers.append(float(value))
    return Calibration(*numbers), raw


def _parse(raw: bytes, shown: str) -> object:
    """Return what is in a file that is no document as the others are, to say what is wrong with it."""
    import yaml

    try:
        return yaml.safe_load(raw)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TriageError(f"{shown} is no usable YAML: {safe_line(str(error), 200)}") from error
