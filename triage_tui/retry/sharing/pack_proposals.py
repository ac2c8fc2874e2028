"""The rules of an imported pack become proposals of a run: a person approves them like any other."""

from __future__ import annotations

from pathlib import Path

import msgspec

from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.rules.proposing import propose
from triage_tui.retry.settling import settle
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches, rulefile
from triage_tui.rulebook.evidence import EVIDENCE, Evidence, evidence_text, parse_evidence
from triage_tui.rulebook.packs.format import PackRule
from triage_tui.rulebook.packs.imported import Kept, kept
from triage_tui.rulebook.rulefile import PROPOSED_BY
from triage_tui.runs.diagnosis_model import Proposal, Risk
from triage_tui.runs.reader import Run
from triage_tui.text import number_of, safe_line

_RISKS: dict[str, Risk] = {"low": "low", "medium": "medium", "high": "high"}


def propose_pack(workspace: Workspace, name: str, run_id: str, actor: str = "") -> str:
    """Propose the rules of a pack on a run; return one sentence. Rules for other machines are left out.

    Raises:
        Conflict: all of them are proposed already, or the run is being retried.
        TriageError: there is no such pack or run, the pack is damaged, or it has no rule for this run.
    """
    settle(workspace.root)
    run = workspace.load(run_id)
    pack = kept(workspace.rulebook, name)
    if pack.pack is None or pack.problem:
        raise TriageError(f"nothing was proposed: {pack.problem}")
    arch = run.snapshot.target.arch
    fitting = [rule for rule in pack.pack.manifest.rules if rule.conditions.arch in ("", arch)]
    if not fitting:
        made_for = safe_line(", ".join(pack.pack.manifest.architectures), 100)
        raise TriageError(f"the rules of pack {name} are for {made_for}, and run {run.run_id} is of {arch}")
    binary = run.snapshot.target.program_sha256
    texts = {f"fix/{rule.file}": _marked(pack, rule, binary) for rule in fitting}
    if all(_is_there(run.dir, file, text) for file, text in texts.items()):
        raise Conflict(f"run {run.run_id} proposes the rules of this pack already")
    own = {name for one in _proposals(run) if one.source != "pack" for name in one.files}
    if taken := sorted(own & texts.keys()):
        raise Conflict(
            f"run {run.run_id} proposes a rule {safe_line(taken[0])} of its own,"
            " which that of a pack does not replace"
        )
    diagnosis = run.diagnosis or diagnose(run)
    proposals = [_proposal(pack, rule, run) for rule in fitting]
    known = {one.id for one in proposals}
    diagnosis.proposals = [one for one in diagnosis.proposals if one.id not in known]
    propose(workspace, run, diagnosis, proposals, texts, by=pack.origin, actor=actor)
    left = pack.pack.manifest.count - len(fitting)
    rest = f", {left} are for other machines" if left else ""
    return f"{number_of(len(fitting), 'rule')} of pack {name} proposed on run {run.run_id}{rest}"


def _marked(pack: Kept, rule: PackRule, binary: str) -> bytes:
    """Return the text of a rule with its origin in the header; a rule without header stays as it is.

    Who approves it does so for this program: how and where a call of another one failed is no evidence here.
    """
    assert pack.pack is not None
    read = rulefile.parse(pack.pack.rules[rule.file])
    if not read.has_header:
        return read.source
    earlier = read.header.extra.get(PROPOSED_BY, "")
    by = safe_line(f"{pack.origin}; {earlier}" if earlier else pack.origin, 600)
    extra = {**read.header.extra, PROPOSED_BY: by}
    if parse_evidence(extra.get(EVIDENCE, "")).binary not in ("", binary):
        del extra[EVIDENCE]
        if now := evidence_text(Evidence(binary=binary)):
            extra[EVIDENCE] = now
    header = msgspec.structs.replace(read.header, extra=extra)
    return rulefile.format_header(header).encode() + read.body


def _is_there(run_dir: Path, file: str, text: bytes) -> bool:
    try:
        return patches.read_rule(run_dir, file) == text
    except TriageError:
        return False


def _proposals(run: Run) -> list[Proposal]:
    return run.diagnosis.proposals if run.diagnosis is not None else []


def _proposal(pack: Kept, rule: PackRule, run: Run) -> Proposal:
    other = rule.conditions.binary_sha256
    same = other and other == run.snapshot.target.program_sha256
    made = "for this very program" if same else "for another program" if other else "for a program not known"
    return Proposal(
        id=safe_line(f"pack-{pack.name}-{rule.id}", 120),
        hypothesis=0,
        template="pack",
        title=safe_line(f"{rule.id} ({pack.origin})", 200),
        intent=safe_line(rule.intent, 400),
        effect=safe_line(rule.side_effects, 400),
        risk=_RISKS.get(rule.risk, "high"),
        risk_text=f"it was made {made}; {pack.origin}",
        inverse=safe_line(rule.inverse, 400) or "roll back",
        files=[f"fix/{rule.file}"],
        hit_limit=rule.hit_limit or 0,
        source="pack",
    )
