"""Put the root file system of a kept run back where the run says that it was.

It is removed after the capture, because roots of a whole corpus are large. With it the run's code can be read
and a round be tried again, as in any other workspace.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.evaluation.corpus import Case
from triage_tui.evaluation.packages import cached, download, evaluation_dir
from triage_tui.evaluation.rootfs import build_root
from triage_tui.runs.reader import load_run
from triage_tui.setup.cache import Progress, quiet


def rebuild_roots(
    runs: Sequence[tuple[Case, Path]], cancel: threading.Event, progress: Progress = quiet
) -> None:
    """Make the root file system of each kept run anew, if it is not there; what cannot be made is told."""
    problems: Mapping[str, str] = download([case for case, _ in runs], progress)
    for case, run_dir in runs:
        if cancel.is_set():
            return
        try:
            if case.id in problems:
                raise TriageError(problems[case.id])
            progress(f"{case.id}: its root file system is {rebuild_root(case, run_dir)}")
        except (TriageError, OSError) as error:
            progress(f"{case.id}: its root file system cannot be made: {error}")


def rebuild_root(case: Case, run_dir: Path) -> Path:
    """Make the root file system of one kept run, with the input of the program beside it; return where it is.

    Raises:
        TriageError: it cannot be made, or the run names a place that is none of the evaluation's.
    """
    root = Path(load_run(run_dir).snapshot.target.rootfs or "/")
    place = root.parent
    inside = place.parent == evaluation_dir() and place.name.startswith("tmp-") and root.name == "root"
    if not inside or ".." in root.parts:
        raise TriageError("its run was not made by an evaluation with this cache")
    if root.is_dir():
        return root
    files = [file for spec in case.packages if (file := cached(spec)) is not None]
    if len(files) != len(case.packages):
        raise TriageError("its packages are not all there")
    place.mkdir(parents=True, exist_ok=True)
    unfinished = place / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        build_root(unfinished, files, case.prepare)
        if case.input is not None:
            (place / "input").write_bytes(case.input)
        unfinished.rename(root)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return root
