"""Play cases side by side, keep what came of each, and go on where an interrupted benchmark ended.

An outcome is kept under the name of what decides it: the case with its labels, the emulators, and every file
of this product. Another version of any of them plays the case again.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

import triage_tui
from triage_tui.errors import TriageError
from triage_tui.evaluation.bench_case import Outcome, labelled, play
from triage_tui.evaluation.capture import Engine, remove_leftovers
from triage_tui.evaluation.corpus import Case
from triage_tui.evaluation.packages import evaluation_dir
from triage_tui.evaluation.pool import for_each
from triage_tui.resources import shipped
from triage_tui.rule_places import user_directories
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.setup.cache import Progress, quiet

_SUFFIXES = frozenset((".py", ".lua", ".yaml", ".md", ".toml", ".json"))
_KEPT_VERSIONS = 4
_MAX_OUTCOME = 1 << 20


def bench(
    cases: Sequence[Case],
    engine: Engine,
    cancel: threading.Event,
    *,
    mistakes: Mapping[str, str],
    jobs: int = 1,
    fresh: bool = False,
    progress: Progress = quiet,
) -> list[Outcome]:
    """Return one outcome for each case, in their order; `mistakes` says why some cannot be played.

    Without `fresh` a case is not played again whose outcome with this very product is kept. After `cancel` is
    set no further case is played; those that were not have an outcome that says so.
    """
    remove_leftovers()
    place = evaluation_dir() / "bench" / product_key(engine)
    place.mkdir(parents=True, exist_ok=True)
    _forget_old(place)
    found = {} if fresh else {case.id: kept for case in cases if (kept := _kept(place, case)) is not None}
    if found:
        progress(f"{len(found)} of {len(cases)} cases were played with this version already")
    wanted = [case for case in cases if case.id not in found and case.id not in mistakes]

    def played(case: Case) -> Outcome:
        outcome = play(case, engine, cancel)
        write_atomic(_file(place, case), msgspec.json.encode(outcome))
        return outcome

    new, problems = for_each(
        wanted, played, in_words, cancel, jobs=jobs, progress=progress, failed="could not be played"
    )
    found |= new
    problems |= mistakes
    return [found.get(case.id) or labelled(case, problem=problems[case.id]) for case in cases]


def in_words(outcome: Outcome) -> str:
    """Return what came of a case, on one line."""
    if outcome.problem:
        return f"not played: {outcome.problem}"
    if outcome.healthy:
        told = "a healthy program was changed" if outcome.touched else "left alone"
    elif outcome.reached:
        told = "reached its criterion"
    else:
        told = "got further" if outcome.progressed else "not helped"
        told += f" ({'; '.join(outcome.unmet)})" if outcome.unmet else ""
    return f"{outcome.answer or 'no answer'}; {told}; {outcome.rounds} rounds, {outcome.seconds:.1f} s"


@functools.cache
def product_key(engine: Engine) -> str:
    """Return a short hash of what decides an outcome beside the case: product, rules, emulators."""
    told = hashlib.sha256(engine.version.encode())
    for root in (Path(triage_tui.__file__).parent, shipped("rules"), *map(Path, user_directories())):
        for path in sorted(path for path in root.rglob("*") if path.suffix in _SUFFIXES):
            told.update(str(path.relative_to(root)).encode("utf-8", "surrogateescape") + b"\0")
            told.update(hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()[:16]


def _file(place: Path, case: Case) -> Path:
    labels = (case.cause, case.accept, case.remedy, case.healthy, case.fixable, case.verified)
    probe = (case.fix or {}).get("probe")
    return place / f"{case.id}-{case.key(str(labels), str(case.success), str(probe))}.json"


def _kept(place: Path, case: Case) -> Outcome | None:
    try:
        return msgspec.json.decode(read_bounded(_file(place, case), _MAX_OUTCOME), type=Outcome)
    except (TriageError, OSError, msgspec.DecodeError):
        return None


def _forget_old(place: Path) -> None:
    """Remove the outcomes of versions that are long gone."""
    others = sorted(
        (path for path in place.parent.iterdir() if path.is_dir() and path != place),
        key=lambda path: path.stat().st_mtime,
    )
    for path in others[: max(0, len(others) - _KEPT_VERSIONS)]:
        shutil.rmtree(path, ignore_errors=True)
