"""Keep what is said of a round: the verdict, what its rules did, and the event of the run that it retries."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry import decision_events, pending
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import statistics
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import VERDICT_FILE, Verdict, read_verdict
from triage_tui.runs.writer import encode_json


def keep_first(workspace: Workspace, run: Run) -> None:
    """Count what the rules did in a run that retries no other.

    Raises:
        TriageError: it cannot be written.
    """
    statistics.count(workspace.rulebook, run.snapshot.target.target_id, statistics.use_of(run))


def keep_verdict(workspace: Workspace, before: Run, run: Run, verdict: Verdict, step: Step = no_step) -> None:
    """Keep the verdict on `run`, which retries or continues `before`.

    `step` is called with each name of `pending.JUDGE_STEPS` after that step is durable. What a killed program
    left out once the verdict was written, the next one does.

    Raises:
        Conflict: somebody else judged the run already; that verdict stands.
        TriageError: it cannot be written.
    """
    decision = pending.pending_of("judge", before, judged=run.run_id)
    with _alone(run), pending.begun(workspace.root, decision, step) as held:
        write_atomic(run.dir / VERDICT_FILE, encode_json(verdict))
        step("written")
        use = statistics.use_of(run, before, verdict)
        statistics.count(workspace.rulebook, run.snapshot.target.target_id, use)
        step("counted")
        held.tell("retry_finished", decision_events.retry_finished(verdict, decision))
        step("told")
        held.note()
        step("noted")


@contextlib.contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Be the one who judges a run: of two, the second finds the verdict of the first.

    Raises:
        Conflict: it is judged.
        TriageError: the run is gone.
    """
    try:
        handle = os.open(run.dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise TriageError(f"run {run.run_id} cannot be judged: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if (there := read_verdict(run.dir)) is not None:
            raise Conflict(f"run {run.run_id} is judged already ({there.word}), so that verdict stands")
        yield
    finally:
        os.close(handle)
