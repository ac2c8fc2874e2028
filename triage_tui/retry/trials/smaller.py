"""What trials found becomes a proposal of a run: rules that are taken out, and narrower texts of others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from triage_tui.diagnosis.report import diagnose
from triage_tui.retry.rules.proposing import propose
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.generations import Generation
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.reader import Run
from triage_tui.text import number_of, safe_line


def propose_smaller(
    workspace: Workspace,
    run: Run,
    active: Generation,
    *,
    remove: Sequence[str],
    texts: Mapping[str, bytes],
    title: str,
    why: str,
    actor: str,
) -> str:
    """Propose on a run to take some active rules out and to have other texts of some; return its id.

    "" where there is nothing to propose. An earlier proposal of the same kind is replaced.

    Raises:
        TriageError: it cannot be written.
    """
    if not remove and not texts:
        return ""
    told = hashlib.sha256(repr((active.digest, sorted(remove), sorted(texts.items()))).encode()).hexdigest()
    identity = f"smaller-{told[:8]}"
    run = workspace.load(run.run_id)
    diagnosis = run.diagnosis or diagnose(run)
    proposal = Proposal(
        id=identity,
        hypothesis=0,
        template="trial",
        title=title,
        intent="let only those rules act that are needed, at the calls for which they are needed",
        effect="; ".join([*(f"{rule_of(file)} acts no more" for file in remove), *_limits(texts)]),
        risk="low",
        risk_text=f"{why}; what another run of it would have needed was not seen",
        inverse="roll back the generation",
        files=[f"fix/{file}" for file in texts],
        source="trial",
        removes={file: active.files[file] for file in remove},
    )
    diagnosis.proposals = [one for one in diagnosis.proposals if one.source != "trial"]
    fixes = {f"fix/{file}": text for file, text in texts.items()}
    propose(workspace, run, diagnosis, [proposal], fixes, by="trial", actor=actor)
    return identity


def _limits(texts: Mapping[str, bytes]) -> list[str]:
    found = []
    for file, text in texts.items():
        header = rulefile.parse(text).header
        limit = "" if header.hit_limit is None else f", at most {number_of(header.hit_limit, 'time')}"
        found.append(
            f"{rule_of(file)} acts for {safe_line(header.match or 'its recorded calls', 120)}{limit}"
        )
    return found


def rule_of(file: str) -> str:
    """Return what a rule file is called in a sentence: its name without directory and ending."""
    return safe_line(file.rpartition("/")[2].removesuffix(".lua"), 80)
