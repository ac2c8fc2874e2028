"""Diagnose an adopted run with the engine of all runs, and put SFEmu's proposals beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triage_tui.analyst.kept import with_opinion
from triage_tui.analyst.merging import without_model
from triage_tui.diagnosis.report import diagnose, write_report
from triage_tui.proposals.build import propose
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.events import append_event
from triage_tui.runs.reader import load_run
from triage_tui.sfemu import checks

_DECIDED = frozenset(("edited", "approved", "rejected", "dropped", "activated", "reconsidered"))


def explain(run_dir: Path, theirs: Sequence[Proposal]) -> None:
    """Write the diagnosis of the run in `run_dir`, with proposals of ours and `theirs`.

    Where somebody decided on what is proposed, those proposals stay, and what is new is added.

    Raises:
        TriageError: the run cannot be read or written, or the knowledge base has a mistake.
    """
    run = load_run(run_dir)
    opinion = run.diagnosis
    before = without_model(opinion) if opinion is not None else None
    diagnosis = diagnose(run)
    if before is not None and any(event.kind in _DECIDED for event in run.events):
        known = {one.id for one in before.proposals}
        diagnosis.proposals = [*before.proposals, *(one for one in theirs if one.id not in known)]
    else:
        others = [one for one in before.proposals if one.source not in ("kb", "sfemu")] if before else []
        diagnosis.proposals = [*propose(run, diagnosis), *theirs, *others]
    diagnosis.proposals = checks.marked(run_dir, diagnosis.proposals, run.snapshot.target.arch)
    write_report(run, with_opinion(run, diagnosis, opinion))
    if run.state in ("captured", "diagnosed", "proposed"):
        cause = diagnosis.hypotheses[0].cause if diagnosis.hypotheses else ""
        append_event(run_dir, "diagnosed", {"cause": cause})
        if diagnosis.proposals:
            append_event(run_dir, "proposed", {"proposals": [one.id for one in diagnosis.proposals]})
