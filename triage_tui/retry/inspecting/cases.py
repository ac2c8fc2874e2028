"""What the tools of the analyst get to work on: a run of a workspace with its files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from triage_tui.analyst.tools.case import MAX_RESULT, Case
from triage_tui.analyst.tools.modules import path_of
from triage_tui.binary.modules import read_guest_file
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.recorded_code import arch_of, program_file
from triage_tui.retry.start import read_start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction
from triage_tui.sfemu.analysis_results import results_of
from triage_tui.text import safe_line


def case_of(
    workspace: Workspace,
    run: Run,
    *,
    actor: str,
    max_result: int = MAX_RESULT,
    redaction: Redaction | None = None,
    progress: Callable[[str], None] = lambda text: None,
    cancel: threading.Event | None = None,
) -> Case:
    """Return `run` with what belongs to it. `redaction` masks its secrets by default."""
    root, why = _root(run)
    target = run.snapshot.target
    return Case(
        run,
        program_file=partial(program_file, run),
        root=root,
        no_root=why,
        rulebook=workspace.rulebook_dir(target.target_id) if target.target_id else None,
        instruction_set=arch_of(run),
        sfanalysis=_sfanalysis(run),
        actor=actor,
        max_result=max_result,
        redaction=redaction or Redaction.of(run),
        progress=progress,
        cancel=cancel or threading.Event(),
    )


def file_of_run(run: Run, name: str = "") -> bytes:
    """Return the content of a program file of a run, given its guest path or name; by default the program.

    Raises:
        TriageError: the run has no such file, or it cannot be read any more, or is another one by now.
    """
    return program_file(run, path_of(Case(run), name))


def _sfanalysis(run: Run) -> Path | None:
    try:
        given = read_start(run.dir).sfanalysis
    except TriageError:
        given = None
    # Runs of SFEmu were not started here: its results may lie beside them.
    return results_of(run.dir.parent.parent, given)


def _root(run: Run) -> tuple[Path | None, str]:
    """Return the root file system that may be read, or None and why not.

    A record may come from elsewhere and name any directory of this machine as its root. So only that is
    taken which this machine's own supervisor wrote down, which is no system's root, and which holds the very
    program of the run.
    """
    try:
        named = read_start(run.dir).rootfs
    except TriageError:
        return None, "how the run was started is not recorded here, so that its root file system is not known"
    if named is None:
        return None, "the program ran without a root file system of its own"
    root = Path(named).resolve()
    if root == Path("/") or Path.home().resolve().is_relative_to(root):
        return None, "its root file system is that of this machine or holds your own files, so it is not read"
    target = run.snapshot.target
    data = read_guest_file(root, target.program)
    if data is None:
        return None, f"its root file system {safe_line(named, 120)} does not hold the program any more"
    if target.program_sha256 and hashlib.sha256(data).hexdigest() != target.program_sha256:
        return None, f"its root file system {safe_line(named, 120)} holds another program now"
    return root, ""
