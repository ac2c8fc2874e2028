"""What the model was asked and what that cost, from the steps of its analyses as they are appended."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.analysis_model import Step
from triage_tui.runs.files import read_bounded

_MAX_BYTES = 8 << 20
_MAX_ANALYSES = 999
_BEGUN = "begun"
"""Of a step that is not over the outcome begins so."""
_MOST_TOKENS, _MOST_MONEY = 1e9, 1e6
"""More in one request is nothing that was measured."""


class Request(msgspec.Struct):
    """A request to the model that is over."""

    ok: bool
    tokens_in: float
    tokens_out: float
    money: float
    seconds: float


class Spending:
    """Finds the requests of the analyses of runs that were not told before."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[tuple[int, int], set[int]]] = {}

    def look(self, run_dirs: Iterable[Path]) -> list[Request]:
        """Return the requests that are new since the last look."""
        found: list[Request] = []
        for run_dir in run_dirs:
            for path in _analyses(run_dir):
                found += self._new_of(path)
        return found

    def _new_of(self, path: Path) -> list[Request]:
        try:
            now = os.stat(path, follow_symlinks=False)
            stamp = (now.st_size, now.st_mtime_ns)
            known, told = self._seen.get(str(path), ((-1, 0), set()))
            if stamp == known or not stat.S_ISREG(now.st_mode):
                return []
            lines = read_bounded(path, _MAX_BYTES).split(b"\n")[:-1]
        except (OSError, TriageError):
            return []
        self._seen[str(path)] = (stamp, told)
        found = []
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                step = _decoder.decode(line)
                over = step.kind == "request" and not step.outcome.startswith(_BEGUN)
                if over and step.step not in told:
                    told.add(step.step)
                    found.append(_request(step))
        return found


def _request(step: Step) -> Request:
    return Request(
        ok=step.outcome == "ok",
        tokens_in=min(max(0, step.tokens_in), _MOST_TOKENS),
        tokens_out=min(max(0, step.tokens_out), _MOST_TOKENS),
        money=min(max(0.0, step.money or 0.0), _MOST_MONEY),
        seconds=step.seconds,
    )


def _analyses(run_dir: Path) -> list[Path]:
    place = run_dir / "analyst"
    try:
        if not stat.S_ISDIR(os.lstat(place).st_mode):
            return []
        names = sorted(name for name in os.listdir(place) if name.isdecimal() and len(name) < 6)
    except OSError:
        return []
    return [place / name / "steps.jsonl" for name in names[:_MAX_ANALYSES]]


_decoder = msgspec.json.Decoder(Step)
