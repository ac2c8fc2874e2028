"""From what the model wants proposed to a proposal: checked like any rule, and never active by itself.

For a template the model names the call that the rule is for; what the template needs is read from the
record, and only what is missing there is taken from the model, always as a literal, never as code. Lua text
gets a header of ours. The risk is ours too: whatever the model says, free Lua text is of high risk.
"""

from __future__ import annotations

import hashlib
import unicodedata

import msgspec

from triage_tui.analyst.citing import read_id
from triage_tui.analyst.replies import WantedRule
from triage_tui.analyst.rule_trials import trial_problem
from triage_tui.diagnosis.calls import OPERATIONS
from triage_tui.diagnosis.facts import Fact, Facts
from triage_tui.diagnosis.hypotheses import parameters
from triage_tui.errors import TriageError
from triage_tui.proposals.build import propose_one
from triage_tui.proposals.templates import load_library
from triage_tui.rulebook import patches
from triage_tui.rulebook.check import lint
from triage_tui.rulebook.kinds import SYSCALL_NAME
from triage_tui.rulebook.rulefile import PROPOSED_BY, RuleHeader, compose, format_header, parse
from triage_tui.runs.diagnosis_model import Hypothesis, Proposal
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

DEFAULT_HITS = 8
MAX_HITS = 64
_MAX_TEXT = 400
TEMPLATE = "model"
"""Stands as the template of rules whose Lua text is the model's."""


class Unfit(TriageError):
    """What the model wants proposed cannot be a rule; says why. It may be repaired once."""


def build(run: Run, facts: Facts, index: int, hypothesis: Hypothesis, wanted: WantedRule) -> Proposal:
    """Write the rule files of what is wanted below `rules_patch/` and return the proposal.

    Nothing is written when it does not fit.

    Raises:
        Unfit: there is no such template, it does not fit, the lint finds an error, or the rule fails when it
            is run at the recorded calls it is for.
        TriageError: the rule host cannot be started.
    """
    if wanted.lua.strip():
        return _of_lua(run, index, hypothesis.model, wanted)
    return _of_template(run, facts, index, hypothesis, wanted)


def _of_template(run: Run, facts: Facts, index: int, hypothesis: Hypothesis, wanted: WantedRule) -> Proposal:
    templates = load_library().templates
    template = templates.get(wanted.template)
    if template is None:
        name = safe_line(wanted.template, 60)
        raise Unfit(f"there is no template {name!r}: known are {', '.join(sorted(templates))}")
    known = _parameters(run, facts, wanted)
    given = {
        safe_line(name, 40): safe_line(value, 400)
        for name, value in wanted.parameters.items()
        if name in template.parameters and not known.get(name)
    }
    carrier = msgspec.structs.replace(
        hypothesis, parameters={**given, **known}, entry="not-root" if known.get("value") else ""
    )
    proposal = propose_one(run, index, carrier, template.id)
    if proposal is None:
        needs = ", ".join(template.parameters) or "nothing"
        kinds = ", ".join(sorted(template.operations)) or "any call"
        raise Unfit(
            f"the template {template.id} does not fit {safe_line(wanted.about or 'no call', 60)}:"
            f" it is for {kinds}, and needs {needs}"
        )
    proposal.source = "model"
    _try_template(run, proposal)
    _mark(run, proposal, hypothesis.model)
    return proposal


def _try_template(run: Run, proposal: Proposal) -> None:
    """Run the rules of a template at the recorded calls; take away again what fails there."""
    for name in proposal.files:
        problem = trial_problem(run, name, patches.read_rule(run.dir, name))
        if problem:
            for file in set(proposal.files) - _of_knowledge_base(run):
                patches.remove_rule(run.dir, file)
            raise Unfit(f"the rule of the template {proposal.template} cannot work: {problem}")


def _of_knowledge_base(run: Run) -> set[str]:
    own = run.diagnosis.proposals if run.diagnosis is not None else []
    return {name for one in own if one.source != "model" for name in one.files}


_FOUND = ("content",)
"""Parameters that are looked for in the run's surroundings, whatever anybody says."""


def is_of_knowledge_base(run: Run, proposal: Proposal) -> bool:
    """Say whether the knowledge base proposes the very same rules."""
    return bool(proposal.files) and set(proposal.files) <= _of_knowledge_base(run)


def unused_parameters(run: Run, facts: Facts, wanted: WantedRule) -> list[str]:
    """Return the names of parameters that a model gave to a template and that were not taken."""
    template = load_library().templates.get(wanted.template) if not wanted.lua.strip() else None
    if template is None:
        return []
    known = _parameters(run, facts, wanted)
    return [
        safe_line(name, 40)
        for name, value in wanted.parameters.items()
        if name not in template.parameters or name in _FOUND or known.get(name, value) != value
    ]


def _by(model: str) -> dict[str, str]:
    return {PROPOSED_BY: f"model {safe_line(model, 120)}".strip()}


def _mark(run: Run, proposal: Proposal, model: str) -> None:
    """Write into the rule files whose idea they are; those that the knowledge base proposes, too, are its."""
    known = _of_knowledge_base(run)
    for name in proposal.files:
        if name not in known:
            rule = parse(patches.read_rule(run.dir, name))
            header = msgspec.structs.replace(rule.header, extra={**rule.header.extra, **_by(model)})
            patches.write_rule(run.dir, name, format_header(header).encode() + rule.body)


def _parameters(run: Run, facts: Facts, wanted: WantedRule) -> dict[str, str]:
    """Return what the record says of the call that the rule is for."""
    link = read_id(wanted.about) if wanted.about else None
    if link is None or link.kind != "syscall" or not link.id.isdecimal():
        raise Unfit("`about` must be the evidence id of the syscall that the rule is for, such as syscall/12")
    seq = int(link.id[:18])
    if (subject := _subject(facts, seq)) is not None:
        return parameters(subject, {})
    call = run.syscall(seq)
    if call is None:
        raise Unfit(f"there is no syscall/{seq} in this run")
    return _of_call(call)


def _subject(facts: Facts, seq: int) -> Fact | None:
    for kind in ("failed_call", "identity", "loop_call", "wait", "sleep"):
        for fact in facts.of(kind):
            if seq in (fact.seq, getattr(fact, "first_seq", None)):
                return fact
    return None


def _of_call(call: Syscall) -> dict[str, str]:
    found = {
        "seq": str(call.seq),
        "syscalls": call.name,
        "operation": OPERATIONS.get(call.name, ""),
        "errno": call.errno or "",
        "path": call.path or "",
        "absolute": call.path if call.path and call.path.startswith("/") else "",
        "request": call.request or "",
        "interface": call.interface or "",
        "peer": call.peer or "",
    }
    return {name: value for name, value in found.items() if value}


def _model_on_risk(risk: str) -> str:
    return f"Of its risk the model says: {risk.strip()}" if risk.strip() else "The model names no risk"


def _of_lua(run: Run, index: int, model: str, wanted: WantedRule) -> Proposal:
    syscall = wanted.syscall.strip().lower()
    if not SYSCALL_NAME.fullmatch(syscall):
        raise Unfit("a rule in Lua needs `syscall`, the name of the call that it is for")
    body = wanted.lua.strip().encode("utf-8", "replace") + b"\n"
    if body.lstrip().startswith(b"-- triage-rule"):
        raise Unfit("the rule brings a header of its own: leave it out")
    hidden = sorted({f"U+{ord(char):04X}" for char in wanted.lua if unicodedata.category(char) == "Cf"})
    if hidden:
        raise Unfit(f"the rule holds characters that nobody sees ({', '.join(hidden[:4])}): leave them out")
    digest = hashlib.sha256(f"{run.run_id}\0{syscall}\0".encode() + body).hexdigest()[:8]
    identity = f"model-{syscall[:40]}-{digest}"
    limit = wanted.hit_limit if 0 < wanted.hit_limit <= MAX_HITS else DEFAULT_HITS
    texts = {
        "title": wanted.title or f"A rule of the model's for {syscall}",
        "intent": wanted.intent or "not said",
        "effect": wanted.effect or "not said",
        "risk_text": f"it is free Lua text by a model: read it. {_model_on_risk(wanted.risk)}",
    }
    texts = {name: safe_line(value.strip(), _MAX_TEXT) for name, value in texts.items()}
    inverse = "roll back the generation; what it wrote into the guest's memory ends with the guest"
    header = RuleHeader(
        id=identity,
        run=run.run_id,
        target=run.snapshot.target.target_id or run.snapshot.target.program_sha256 or "unknown",
        intent=texts["intent"],
        match=syscall,
        hit_limit=limit,
        effect=texts["effect"],
        risk="high",
        inverse=inverse,
        template=TEMPLATE,
        extra=_by(model),
    )
    name = f"fix/syscall/{syscall}@{identity}.lua"
    source = compose(header, body)
    above = source.count(b"\n") - body.count(b"\n")
    for finding in lint.lint(source, name):
        if finding.severity == "error":
            line = max(finding.line - above, 1)
            raise Unfit(f"the rule cannot run: line {line}: {safe_line(finding.message, 300)}")
    if problem := trial_problem(run, name, source, lambda line: max(line - above, 1)):
        raise Unfit(f"the rule cannot work: {problem}")
    patches.write_rule(run.dir, name, source)
    return Proposal(
        id=identity,
        hypothesis=index,
        template=TEMPLATE,
        title=texts["title"],
        intent=texts["intent"],
        effect=texts["effect"],
        risk="high",
        risk_text=texts["risk_text"],
        inverse=inverse,
        files=[name],
        hit_limit=limit,
        source="model",
    )
