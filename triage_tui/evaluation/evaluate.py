"""Evaluate cases: fetch their packages, capture the runs that are not kept yet, diagnose each, and judge."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from triage_tui.diagnosis.report import check_knowledge
from triage_tui.errors import TriageError
from triage_tui.evaluation.capture import Engine, capture, captured_dir, captured_run, remove_leftovers
from triage_tui.evaluation.corpus import Case
from triage_tui.evaluation.measure import Result, judge
from triage_tui.evaluation.packages import download
from triage_tui.setup.cache import Progress, quiet


def evaluate(
    cases: Sequence[Case],
    engine: Engine,
    cancel: threading.Event,
    *,
    jobs: int = 1,
    fresh: bool = False,
    progress: Progress = quiet,
) -> list[Result]:
    """Return one result for each case, in their order.

    With `fresh` every case is run again; else only those of which no run is kept. After `cancel` is set no
    further case is run; those that were not run have a result that says so.

    Raises:
        TriageError: the knowledge base has a mistake.
    """
    check_knowledge()
    remove_leftovers()
    if fresh:
        for case in cases:
            shutil.rmtree(captured_dir(case, engine), ignore_errors=True)
    wanted = [case for case in cases if captured_run(case, engine) is None]
    problems = _capture_all(wanted, engine, cancel, jobs, progress) if wanted else {}
    results = []
    for case in cases:
        run_dir = captured_run(case, engine)
        if run_dir is None:
            results.append(Result(case=case, problem=problems.get(case.id, "it was not run")))
        else:
            results.append(_judged(case, run_dir))
    return results


def _judged(case: Case, run_dir: Path) -> Result:
    try:
        return judge(case, run_dir)
    except TriageError as error:
        return Result(case=case, run=run_dir, problem=f"its run cannot be diagnosed: {error}")


def _capture_all(
    cases: Sequence[Case], engine: Engine, cancel: threading.Event, jobs: int, progress: Progress
) -> dict[str, str]:
    """Capture runs, `jobs` at a time; return case id -> why there is none."""
    problems = download(cases, progress)
    for case in cases:
        if case.id in problems:
            progress(f"{case.id} cannot be prepared: {problems[case.id]}")
    ready = [case for case in cases if case.id not in problems]
    done = 0
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures: dict[Future[Path], Case] = {
            pool.submit(_capture_unless, case, engine, cancel): case for case in ready
        }
        for future in as_completed(futures):
            case = futures[future]
            done += 1
            try:
                future.result()
                progress(f"[{done}/{len(ready)}] {case.id}: captured")
            except (TriageError, OSError) as error:
                problems[case.id] = str(error)
                if not cancel.is_set():
                    progress(f"[{done}/{len(ready)}] {case.id} cannot be prepared: {error}")
    return problems


def _capture_unless(case: Case, engine: Engine, cancel: threading.Event) -> Path:
    if cancel.is_set():
        raise TriageError("it was not run: the evaluation was interrupted")
    return capture(case, engine, cancel)
