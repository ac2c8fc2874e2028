"""What would be sent, without sending it: the messages of a phase as they are, masked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.analyst.adapter import Message
from triage_tui.analyst.briefing import Briefing, Notes, prompt_values
from triage_tui.analyst.conversation import Conversation
from triage_tui.analyst.merging import without_model
from triage_tui.analyst.prompts import PHASES, Prompts
from triage_tui.analyst.replies import Claim, ModelHypothesis, WantedRule
from triage_tui.analyst.tools import tool_specs
from triage_tui.analyst.tried import told_rounds
from triage_tui.diagnosis.report import diagnose, facts_of
from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction

_NOT_YET = "(here stands {what}, which is known only then)"


class Preview(msgspec.Struct, frozen=True):
    """The first request of a phase."""

    phase: str
    files: tuple[str, ...]
    """Names of the prompt files that the system part was put together from, in order."""
    messages: list[Message]
    tools: list[dict[str, Any]]
    digest: str
    """As in `steps.jsonl`."""
    tokens: int
    """About how many it has."""


def preview(run: Run, phase: str, directories: Sequence[Path], redaction: Redaction) -> Preview:
    """Return what a phase would begin with, for a run.

    What only an earlier phase could tell is left out, or stands as a note in brackets. The marker of the
    fence is another one for each request.

    Raises:
        TriageError: there is no such phase, or a prompt cannot be used.
    """
    prompts = Prompts(directories)
    diagnosis = without_model(run.diagnosis) if run.diagnosis is not None else diagnose(run)
    briefing = Briefing.of(run, facts_of(run), diagnosis, prompts, redaction)
    assembled = briefing.system(phase)
    conversation = _begun(run, phase, briefing)
    return Preview(
        phase,
        assembled.names,
        conversation.fresh(),
        tool_specs() if phase == "collect" else [],
        conversation.digest,
        conversation.estimated_tokens,
    )


def _begun(run: Run, phase: str, briefing: Briefing) -> Conversation:
    notes = Notes()
    if phase == "classify":
        return briefing.classify()
    if phase == "collect":
        return briefing.collect(notes)
    if phase == "hypothesize":
        return briefing.hypothesize(notes)
    if phase == "refine":
        tried = told_rounds(run, run.dir.parent)
        return briefing.refine(
            notes, tried or "(this run is no retry that failed, so this phase does not come)"
        )
    if phase == "propose":
        best = run.diagnosis.hypotheses[0] if run.diagnosis and run.diagnosis.hypotheses else None
        if best is not None:
            claims = [Claim(says=one.says, evidence=[one.link]) for one in best.evidence]
            return briefing.propose(
                ModelHypothesis(cause=best.cause, confidence=best.confidence, title=best.title, claims=claims)
            )
        nothing = _NOT_YET.format(what="the hypothesis")
        return briefing.propose(ModelHypothesis(cause="unknown", confidence=0, title=nothing))
    if phase == "repair":
        nothing = _NOT_YET.format(what="the rule as the model wrote it")
        return briefing.repair(WantedRule(title=nothing), _NOT_YET.format(what="the reason"))
    raise TriageError(f"there is no phase {phase!r}: known are {', '.join(PHASES)}")


def system_alone(phase: str, directories: Sequence[Path]) -> tuple[str, tuple[str, ...]]:
    """Return the system part of a phase that holds for all runs, and the names of its files.

    Raises:
        TriageError: there is no such phase, or a prompt cannot be used.
    """
    assembled = Prompts(directories).assemble(phase, "", (), prompt_values())
    return assembled.text, assembled.names
