"""What a supervisor left that was killed, said where the next one begins."""

from __future__ import annotations

from triage_tui.errors import TriageError
from triage_tui.retry.freezing import dead_supervisors
from triage_tui.retry.rounds.kept_rounds import cut_short
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line

MAX_TOLD = 5


def left_behind(workspace: Workspace) -> list[str]:
    """Return, one sentence each, what was cut short in a workspace and how it goes on.

    What a first round left that was killed before it was recorded is removed by this: there is nothing to go
    on with.
    """
    where = f"-C {safe_line(str(workspace.root))}"
    told = []
    try:
        runs = cut_short(workspace)
    except TriageError:
        runs = []
    for run_id in runs[:MAX_TOLD]:
        told.append(
            f"the rounds of run {run_id} were cut short, because their supervisor was killed:"
            f" `triage-tui resume {where} {run_id}` goes on there"
        )
    for mark in dead_supervisors(workspace.running_dir):
        program = safe_line(" ".join(mark.argv), 80)
        if not mark.retries:
            told.append(f"a supervisor of {program} was killed before it recorded anything: run it again")
    return told
