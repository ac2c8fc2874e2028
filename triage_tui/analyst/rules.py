"""From what the model wants proposed to a proposal: checked like any rule, and never active by itself.

For a template the model names the call that the rule is for; what the template needs is read from the
record, and only what is missing there is taken from the model, always as a literal, never as code. Lua text
gets a header of ours. The risk is ours too: whatever the model says, free Lua text is of high risk.
"""

from __future__ import annotations

import hashlib

import msgspec

from triage_tui.analyst.citing import read_id
from triage_tui.analyst.replies import WantedRule
from triage_tui.diagnosis.calls import OPERATIONS
from triage_tui.diagnosis.facts import Fact, Facts
from triage_tui.diagnosis.hypotheses import parameters
from triage_tui.errors import TriageError
from triage_tui.proposals.build import propose_one
from triage_tui.proposals.templates import load_library
from triage_tui.rulebook import lint, patches
from triage_tui.rulebook.rulefile import SYSCALL_NAME, RuleHeader, compose
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
        Unfit: there is no such template, it does not fit, or the lint finds an error.
    """
    if wanted.lua.strip():
        return _of_lua(run, index, wanted)
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
    return proposal


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


def _of_lua(run: Run, index: int, wanted: WantedRule) -> Proposal:
    syscall = wanted.syscall.strip().lower()
    if not SYSCALL_NAME.fullmatch(syscall):
        raise Unfit("a rule in Lua needs `syscall`, the name of the call that it is for")
    body = wanted.lua.strip().encode("utf-8", "replace") + b"\n"
    if body.lstrip().startswith(b"-- triage-rule"):
        raise Unfit("the rule brings a header of its own: leave it out")
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
    )
    name = f"fix/syscall/{syscall}@{identity}.lua"
    source = compose(header, body)
    for finding in lint.lint(source, name):
        if finding.severity == "error":
            line = finding.line - (source.count(b"\n") - body.count(b"\n"))
            raise Unfit(f"the rule cannot run: line {max(line, 1)}: {safe_line(finding.message, 300)}")
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
