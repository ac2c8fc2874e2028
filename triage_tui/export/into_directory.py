"""Export runs into a directory, in which nothing that is there is replaced."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from triage_tui.errors import Stopped, TriageError
from triage_tui.export.exporting import Wanted, export_to, exports_directory, place_in
from triage_tui.export.placing import make_directory
from triage_tui.text import number_of, safe_line

_MAX_NUMBER = 1000


def free_place(directory: Path, run_id: str, wanted: Wanted) -> Path:
    """Return a name in `directory` that nothing has: what is there is never replaced."""
    first = place_in(directory, run_id, wanted)
    for number in range(1, _MAX_NUMBER):
        path = first if number == 1 else first.with_name(f"{first.stem}-{number}{first.suffix}")
        if not os.path.lexists(path):
            return path
    raise TriageError(f"{safe_line(str(directory), 200)} holds too many exports of run {run_id}")


def export_runs(
    workspace: Path,
    run_dirs: Sequence[Path],
    wanted: Wanted,
    directory: Path | None,
    cancel: threading.Event,
    tell: Callable[[str], None],
) -> str:
    """Export runs into `directory` (default: `exports/` of the workspace) and return what to say about it.

    `tell` is called with how far it is. A run that cannot be exported does not keep the others.

    Raises:
        TriageError: nothing could be exported, or it was stopped.
    """
    if directory is None:
        directory = exports_directory(workspace)
    else:
        make_directory(directory)
    written: list[Path] = []
    problems: list[str] = []
    masked = 0
    for number, run_dir in enumerate(run_dirs, 1):
        which = f"run {number} of {len(run_dirs)}, " if len(run_dirs) > 1 else ""

        def progress(done: int, total: int, which: str = which) -> None:
            tell(f"{which}part {min(done + 1, total)} of {total}")

        path = free_place(directory, run_dir.name, wanted)
        try:
            masked += export_to(path, run_dir, workspace, wanted, cancel=cancel, progress=progress)
            written.append(path)
        except Stopped:
            done = f", after {len(written)} of {len(run_dirs)} runs" if written else ""
            raise Stopped(f"the export was stopped{done}") from None
        except TriageError as error:
            problems.append(str(error))
    if not written:
        raise TriageError(problems[0] if problems else "no run is chosen")
    where = safe_line(str(written[0] if len(written) == 1 else directory), 300)
    said = f"Exported to {where}" if len(written) == 1 else f"{len(written)} runs exported to {where}"
    if problems:
        said += f"; {len(problems)} not: {problems[0]}"
    return f"{said}; {number_of(masked, 'secret was', 'secrets were')} masked" if masked else said
