"""Diagnose a recorded run again: its record has more evidence, or the knowledge base is another one."""

from __future__ import annotations

from pathlib import Path

from triage_tui.analyst.kept import with_opinion
from triage_tui.analyst.merging import without_model
from triage_tui.diagnosis.report import diagnose, write_report
from triage_tui.proposals.build import propose
from triage_tui.retry.rules.rule_checks import is_published
from triage_tui.runs.diagnosis_model import Diagnosis, Proposal
from triage_tui.runs.events import append_event
from triage_tui.runs.reader import MAX_TRACE_BYTES, Run, load_run
from triage_tui.runs.writer import TRACE_FILE

_DECIDED = frozenset(("edited", "approved", "rejected", "dropped", "activated", "reconsidered"))


def takes_long(run_dir: Path) -> str:
    """Return a sentence for whoever waits where the trace is so long that only its end is read, else ""."""
    try:
        size = (run_dir / TRACE_FILE).stat().st_size
    except OSError:
        return ""
    if size <= MAX_TRACE_BYTES:
        return ""
    return f"its trace has {size >> 20} MiB: the last {MAX_TRACE_BYTES >> 20} MiB are read, in a few seconds"


def rediagnose(run_dir: Path, actor: str | None = None) -> Run:
    """Diagnose the run in `run_dir` again, write the report, and return the run as it is then.

    Where a person decided on what is proposed, or edited it, the proposals stay as they are; else they are
    made anew. What a model said is kept.

    Raises:
        TriageError: the run cannot be read or written, or the knowledge base has a mistake.
    """
    run = load_run(run_dir)
    opinion = run.diagnosis
    before = without_model(opinion) if opinion is not None else None
    diagnosis = diagnose(run)
    if before is not None and any(event.kind in _DECIDED for event in run.events):
        diagnosis.proposals = [_moved(proposal, before, diagnosis) for proposal in before.proposals]
        write_report(run, with_opinion(run, diagnosis, opinion))
        return load_run(run_dir)
    diagnosis.proposals = propose(run, diagnosis)
    if before is not None:
        # What a pack or a trial proposes does not follow from the diagnosis.
        others = [one for one in before.proposals if one.source != "kb"]
        diagnosis.proposals += [_moved(one, before, diagnosis) for one in others]
    if is_published(run_dir.parent.parent, run.snapshot.target.target_id):
        from triage_tui.sfemu.checks import marked

        diagnosis.proposals = marked(run_dir, diagnosis.proposals, run.snapshot.target.arch)
    write_report(run, with_opinion(run, diagnosis, opinion))
    if run.state in ("captured", "diagnosed", "proposed"):
        cause = diagnosis.hypotheses[0].cause if diagnosis.hypotheses else ""
        append_event(run_dir, "diagnosed", {"cause": cause}, actor)
        if diagnosis.proposals:
            payload = {"proposals": [proposal.id for proposal in diagnosis.proposals]}
            append_event(run_dir, "proposed", payload, actor)
    return load_run(run_dir)


def _moved(proposal: Proposal, before: Diagnosis, after: Diagnosis) -> Proposal:
    """Return a proposal that names the hypothesis it was made for by its new number."""
    old = (
        before.hypotheses[proposal.hypothesis] if 0 <= proposal.hypothesis < len(before.hypotheses) else None
    )
    for index, entry in enumerate(after.hypotheses):
        if old is not None and (entry.entry, entry.parameters) == (old.entry, old.parameters):
            proposal.hypothesis = index
            return proposal
    proposal.hypothesis = 0
    return proposal
