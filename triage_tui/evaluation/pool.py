"""Do something with cases side by side: fetch their packages first, tell how it goes, stop where asked to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

from triage_tui.errors import TriageError
from triage_tui.evaluation.corpus import Case
from triage_tui.evaluation.packages import download
from triage_tui.setup.cache import Progress

T = TypeVar("T")


def for_each(
    cases: Sequence[Case],
    do: Callable[[Case], T],
    say: Callable[[T], str],
    cancel: threading.Event,
    *,
    jobs: int,
    progress: Progress,
    failed: str = "cannot be prepared",
) -> tuple[dict[str, T], dict[str, str]]:
    """Return what `do` made of each case, and why there is nothing of the others, both by case id.

    `say` puts what came of one in words. After `cancel` is set no further case is begun. What `do` raises of
    TriageError and OSError costs its case, and no other; `failed` says so.
    """
    problems = download(cases, progress) if cases else {}
    for case in cases:
        if case.id in problems:
            progress(f"{case.id} cannot be prepared: {problems[case.id]}")
    ready = [case for case in cases if case.id not in problems]
    found: dict[str, T] = {}
    if not ready:
        return found, problems

    def unless_cancelled(case: Case) -> T:
        if cancel.is_set():
            raise TriageError("it was not run: the command was interrupted before")
        return do(case)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures: dict[Future[T], Case] = {pool.submit(unless_cancelled, case): case for case in ready}
        for number, future in enumerate(as_completed(futures), start=1):
            case = futures[future]
            try:
                found[case.id] = future.result()
                progress(f"[{number}/{len(ready)}] {case.id}: {say(found[case.id])}")
            except (TriageError, OSError) as error:
                problems[case.id] = str(error)
                if not cancel.is_set():
                    progress(f"[{number}/{len(ready)}] {case.id} {failed}: {error}")
    return found, problems
