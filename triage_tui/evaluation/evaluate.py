"""Evaluate cases: fetch their packages, capture the runs that are not kept yet, diagnose each, and judge."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from triage_tui.diagnosis.report import check_knowledge
from triage_tui.errors import TriageError
from triage_tui.evaluation.capture import Engine, capture, captured_run, remove_leftovers
from triage_tui.evaluation.corpus import Case
from triage_tui.evaluation.measure import Result, judge
from triage_tui.evaluation.pool import for_each
from triage_tui.evaluation.roots import rebuild_roots
from triage_tui.setup.cache import Progress, quiet


def evaluate(
    cases: Sequence[Case],
    engine: Engine,
    cancel: threading.Event,
    *,
    mistakes: Mapping[str, str],
    jobs: int = 1,
    fresh: bool = False,
    roots: bool = False,
    progress: Progress = quiet,
) -> list[Result]:
    """Return one result for each case, in their order.

    `mistakes` says why some cases cannot be run (case id -> sentence). With `fresh` every other one is run
    again, and a kept run makes room when the new one is whole; else only those of which no run is kept, or a
    damaged one. With `roots` the root file system of each kept run is made anew. After `cancel` is set no
    further case is run; those that were not run have a result that says so.

    Raises:
        TriageError: the knowledge base has a mistake.
    """
    for sentence in check_knowledge():
        progress(sentence)
    remove_leftovers()
    sound = [case for case in cases if case.id not in mistakes]
    wanted = [case for case in sound if fresh or captured_run(case, engine) is None]

    def capture_all(cases: Sequence[Case]) -> dict[str, str]:
        """Return case id -> why there is no run of it."""
        one = functools.partial(capture, engine=engine, cancel=cancel)
        _, lost = for_each(cases, one, lambda _: "captured", cancel, jobs=jobs, progress=progress)
        return lost

    problems = dict(mistakes) | capture_all(wanted)
    found = {case.id: _result(case, engine, problems) for case in cases}
    # A kept run is a copy of what can be had again.
    damaged = [
        case
        for case in sound
        if case not in wanted and found[case.id].run is not None and found[case.id].problem
    ]
    for case in damaged:
        progress(f"{case.id}: {found[case.id].problem}; it is run again")
    problems |= capture_all(damaged)
    results = [_result(case, engine, problems) if case in damaged else found[case.id] for case in cases]
    if roots:
        kept = [(result.case, result.run) for result in results if result.run is not None]
        rebuild_roots(kept, cancel, progress)
    return results


def _result(case: Case, engine: Engine, problems: Mapping[str, str]) -> Result:
    """Judge the kept run of a case, unless there is a reason why there is none."""
    run_dir = captured_run(case, engine) if case.id not in problems else None
    if run_dir is None:
        return Result(case=case, problem=problems.get(case.id, "it was not run"))
    return _judged(case, run_dir)


def _judged(case: Case, run_dir: Path) -> Result:
    try:
        return judge(case, run_dir)
    except TriageError as error:
        return Result(case=case, run=run_dir, problem=f"its run cannot be diagnosed: {error}")
