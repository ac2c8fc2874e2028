"""Rules that did not come of a diagnosis become proposals of a run: a person approves them like any other."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from triage_tui.diagnosis.report import write_report
from triage_tui.errors import Conflict
from triage_tui.retry import pending
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches
from triage_tui.runs.diagnosis_model import Diagnosis, Proposal
from triage_tui.runs.events import State, append_event
from triage_tui.runs.reader import Run

_UNDECIDED: tuple[State, ...] = ("captured", "diagnosed", "proposed", "needs_person", "ended")


def propose(
    workspace: Workspace,
    run: Run,
    diagnosis: Diagnosis,
    proposals: Sequence[Proposal],
    texts: Mapping[str, bytes],
    *,
    by: str,
    actor: str,
) -> None:
    """Add proposals with their rule files, names below `rules_patch/` to texts, to what a run proposes.

    `diagnosis` is what is known of the run, without proposals that these replace; `by` says in the event log
    whose idea they are.

    Raises:
        TriageError: it cannot be written.
    """
    with pending.begun(workspace.root, pending.pending_of("note", run, actor)) as held:
        for file, text in texts.items():
            patches.write_rule(run.dir, file, text)
        diagnosis.proposals = [*diagnosis.proposals, *proposals]
        write_report(run, diagnosis)
        # Where somebody has decided already the state stays theirs.
        with contextlib.suppress(Conflict):
            payload = {"proposals": [one.id for one in proposals], "by": by}
            append_event(run.dir, "proposed", payload, actor or None, expect_state=_UNDECIDED)
        held.note()
