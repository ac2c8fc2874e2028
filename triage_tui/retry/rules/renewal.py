"""A person makes rules active again that were set aside, after the checks of an approval."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry import pending
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.rules.expiry import Ground, kept_text, newest_run
from triage_tui.retry.rules.rule_checks import can_be_tried, check_at_calls, check_texts, is_published
from triage_tui.retry.settling import settle
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, rulefile
from triage_tui.rulebook.evidence import EVIDENCE, Evidence, Part, evidence_text, parse_evidence
from triage_tui.rulebook.generations import SetAside
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.layers import in_force, refuse_hidden
from triage_tui.rulebook.targets import description
from triage_tui.runs.events import default_actor
from triage_tui.runs.reader import Run
from triage_tui.text import number_of, safe_line

_TOLD = 3


def renew(
    workspace: Workspace,
    target_id: str,
    names: Collection[str] = (),
    *,
    reason: str = "",
    actor: str = "",
    step: Step = no_step,
) -> str:
    """Make rules active again that were set aside, all for no `names`; return one sentence.

    `names` are paths ("syscall/openat@x.lua") or ids. Their texts stay as they are but for the evidence in
    their header, which becomes what is so now.

    Raises:
        Conflict: another change came first, or a person's own file would hide one of them.
        TriageError: no such rule is set aside, its text is not the one that was set aside any more, an
            approval of it would be refused, or the rulebook cannot be written.
    """
    settle(workspace.root)
    target_dir = workspace.rulebook_dir(target_id)
    active = generations.current(target_dir)
    aside = active.set_aside if active is not None else {}
    if active is None or not aside:
        raise TriageError(f"no rule of target {safe_line(target_id, 80)} is set aside")
    chosen = _chosen(aside, names)
    actor = actor or default_actor()
    where = description(target_dir)
    binary = where.program_sha256 if where is not None else ""
    kept = {name: kept_text(workspace.rulebook, name, aside[name]) for name in chosen}
    run = newest_run(workspace, target_id)
    ground = Ground(workspace, run.snapshot.target, run) if run is not None else None
    texts = {
        name: _rebased(text, _gone_now(ground, text, aside[name]), binary, target_id)
        for name, text in kept.items()
    }
    arch = run.snapshot.target.arch if run is not None else where.arch if where is not None else ""
    told = _checked(workspace, target_id, texts, arch, run)
    decision = pending.pending_for(target_id, "renew", actor)
    with pending.begun(workspace.root, decision, step) as held:
        made = generations.activate(
            target_dir,
            add=texts,
            actor=actor,
            reason=safe_line(reason, 500) or "renewed: wanted for what is so now, too",
            change=decision.change,
            expect=active.number,
            kind="renewed",
            ready=held.ready,
            step=step,
        )
    left = f", {len(made.set_aside)} stay set aside" if made.set_aside else ""
    beside = "".join(f"; {text}" for text in told)
    return f"{number_of(len(texts), 'rule')} active again (generation {made.number}){left}{beside}"


def _checked(
    workspace: Workspace, target_id: str, texts: Mapping[str, bytes], arch: str, run: Run | None
) -> list[str]:
    """Refuse what an approval would refuse; return how the rules and those that act get in each other's way.

    Raises:
        Conflict: a person's own file would hide one of them.
        TriageError: one has an error, or what acts cannot be read.
    """
    refuse_hidden(workspace.rulebook, target_id, dict(texts))
    acting = {rule.name: rule.source for rule in in_force(workspace.rulebook, target_id)}
    published = is_published(workspace.root, target_id)
    found = check_texts(texts, arch, {**acting, **texts}, published=published)
    told = []
    for name, findings in found.items():
        errors = [one for one in findings if one.severity == "error"]
        if (
            not errors
            and run is not None
            and kind_of(name) != "start"
            and can_be_tried(texts[name], published)
        ):
            at_calls = check_at_calls(run.run_id, arch, run.trace(), name, texts[name])
            errors = [one for one in at_calls if one.severity == "error"]
        if errors:
            raise TriageError(
                f"{safe_line(name, 120)} has an error, line {errors[0].line}, so nothing was renewed:"
                f" {errors[0].message}"
            )
        told += [f"{safe_line(name, 120)}: {one.message}" for one in findings if one.is_conflict]
    if len(told) > _TOLD:
        told[_TOLD:] = [f"and {len(told) - _TOLD} more"]
    return told


def _chosen(aside: Mapping[str, SetAside], names: Collection[str]) -> list[str]:
    if not names:
        return list(aside)
    found = []
    for name in names:
        same = [path for path in aside if name in (path, path.rpartition("@")[2].removesuffix(".lua"))]
        if not same:
            known = ", ".join(safe_line(path, 80) for path in list(aside)[:4])
            raise TriageError(f"{safe_line(name, 80)} is not set aside; these are: {known}")
        found += same
    return list(dict.fromkeys(found))


def _gone_now(ground: Ground | None, text: bytes, one: SetAside) -> Part | None:
    """Return which part of its evidence a rule is renewed without, None where all of it is so again."""
    if ground is None or one.gone == "binary":
        return one.gone
    lost = ground.lost(text)
    return lost.part if lost is not None else None


def _rebased(text: bytes, gone: Part | None, binary: str, target_id: str) -> bytes:
    """Return a rule with this program as its evidence, and without the part that is not so now."""
    rule = rulefile.parse(text)
    if EVIDENCE not in rule.header.extra:
        return text
    extra = {name: value for name, value in rule.header.extra.items() if name != EVIDENCE}
    was = parse_evidence(rule.header.extra[EVIDENCE])
    same = gone in ("errno", None)
    now = evidence_text(
        Evidence(
            binary=binary,
            errno="" if gone == "errno" else was.errno,
            module=was.module if same else "",
            site=was.site if same else None,
        )
    )
    header = msgspec.structs.replace(
        rule.header, target=target_id, extra={**extra, **({EVIDENCE: now} if now else {})}
    )
    return rulefile.format_header(header).encode() + rule.body
