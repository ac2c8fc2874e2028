"""Staged rollouts: begin, go on, stop, and what each new run of their targets means for them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry import pending
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.rules.named_rules import one, target_named
from triage_tui.retry.rules.rule_checks import check_named
from triage_tui.retry.settling import settle
from triage_tui.retry.sharing import observing
from triage_tui.retry.sharing.observing import ROLLOUT_ACTOR
from triage_tui.retry.sharing.retried_runs import newest_runs
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.layers import refuse_hidden
from triage_tui.rulebook.places import SHARED, target_directory
from triage_tui.rulebook.rollouts import record
from triage_tui.rulebook.rollouts.criteria import criteria
from triage_tui.rulebook.rollouts.record import (
    MAX_GROUP,
    Moved,
    Rollout,
    Stage,
)
from triage_tui.rulebook.rollouts.record import in_words as in_words
from triage_tui.rulebook.rollouts.standing import Standing, standing
from triage_tui.rulebook.targets import describe, description
from triage_tui.runs.clock import local_time
from triage_tui.runs.events import default_actor
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

ROLLOUT_STEPS = ("begun", "decided", "told", "placed", "cleared", "ended")
"""Names of the durable steps of one change of a rollout; "placed" comes once for each place that changes."""


def begin(
    workspace: Workspace,
    rule: str,
    *,
    target: str = "",
    group: Sequence[str] = (),
    stage: Stage = "observe",
    auto: bool = False,
    reason: str = "",
    actor: str = "",
    step: Step = no_step,
) -> Rollout:
    """Begin the rollout of the rule that `rule` names, at `stage` ("observe" or "one").

    `target` names the first target by its id or a run, by default that of the rule; `group` those that come
    after it.

    Raises:
        Conflict: a rollout of this rule is under way, or another rule is in the way.
        TriageError: there is no such rule or target, or the rule has errors.
    """
    settle(workspace.root)
    named = one(workspace, rule)
    first = target_named(workspace, target) if target else named.target_id
    if not first or first == SHARED:
        raise TriageError(
            f"{safe_line(rule, 80)} belongs to no target: say --target RUN or the start of its id"
        )
    findings = [
        f for f in check_named(workspace, [named], run_them=True)[named.name] if f.severity == "error"
    ]
    if findings:
        raise TriageError(
            f"{safe_line(named.name, 120)} has an error, line {findings[0].line}: {findings[0].message}"
        )
    header = rulefile.parse(named.source).header
    kind = kind_of(named.file)
    if kind != "syscall" and stage == "observe":
        raise TriageError(f"a {kind}/ rule cannot be tried at recorded calls: begin it with --stage one")
    file = f"{kind}/{named.file.rpartition('/')[2].partition('@')[0].removesuffix('.lua')}@{header.id}.lua"
    found = Rollout(
        id=_free_id(workspace, header.id),
        file=file,
        rule=header.id,
        sha256=hashlib.sha256(named.source).hexdigest(),
        target=first,
        group=_group(workspace, first, group),
        stage=stage,
        auto=auto,
        criteria=criteria(),
    )
    return _decide(workspace, found, "rollout_started", reason, actor, step, text=named.source)


def promote(
    workspace: Workspace,
    identity: str,
    *,
    group: Sequence[str] = (),
    anyway: str = "",
    by: str = "",
    actor: str = "",
    step: Step = no_step,
) -> Rollout:
    """Bring a rollout to its next stage, or to its end; `group` names more targets for its group.

    `anyway` is the reason for which a person does so although the criteria are not met, `by` says what showed
    that they are.

    Raises:
        Conflict: somebody else changed it, or another rule is in the way.
        TriageError: it is not under way, its criteria are not met, or the shared rules would act where
            somebody took the rule back.
    """
    settle(workspace.root)
    now = _under_way(workspace, identity)
    stands = standing(workspace.rulebook, now)
    unmet = [*stands.breaches, *stands.lacking]
    if now.stage == "observe":
        unmet += observing.told_otherwise(workspace.rulebook, now.id)
    if unmet and not anyway:
        raise TriageError(
            f"rollout {now.id} stays at {now.stage!r}: {'; '.join(unmet)}"
            " (--anyway REASON overrides the criteria)"
        )
    more = [t for t in _group(workspace, now.target, group) if t not in now.group]
    after = msgspec.structs.replace(now, group=[*now.group, *more])
    following = after.next_stage
    if following == "all" and stands.again:
        raise TriageError(f"rollout {now.id} stays at {now.stage!r}: {'; '.join(stands.gone)}")
    why = f"although {'; '.join(unmet)}: {anyway}" if unmet else f"its criteria are met{by}"
    if following is None:
        return _decide(
            workspace, msgspec.structs.replace(after, state="done"), "rollout_done", why, actor, step
        )
    return _decide(workspace, msgspec.structs.replace(after, stage=following), "promoted", why, actor, step)


def stop(
    workspace: Workspace, identity: str, reason: str, *, actor: str = "", step: Step = no_step
) -> Rollout:
    """Stop a rollout, done or not: its rule leaves every place that it was put to.

    Raises:
        Conflict: somebody else changed it.
        TriageError: there is none, it is stopped already, or the rulebook cannot be written.
    """
    settle(workspace.root)
    now = record.read(workspace.rulebook, identity)
    if now.state == "stopped":
        raise Conflict(f"rollout {now.id} is stopped already")
    return _decide(workspace, msgspec.structs.replace(now, state="stopped"), "stopped", reason, actor, step)


def after_run(workspace: Workspace, run: Run, tell: Callable[[str], None]) -> None:
    """Look at what a new run means for the rollouts: observe, stop what harms, go on where that was wished.

    What cannot be done is told; the rounds go on.
    """
    for identity in record.rollout_ids(workspace.rulebook):
        try:
            now = record.read(workspace.rulebook, identity)
            if now.state != "stopped":
                _after_run(workspace, now, run, tell)
        except TriageError as error:
            tell(f"rollout {identity}: {error}")


def _after_run(workspace: Workspace, now: Rollout, run: Run, tell: Callable[[str], None]) -> None:
    target = run.snapshot.target.target_id
    if now.stage == "observe" and now.state == "under_way":
        if target not in now.candidates:
            return
        now = observing.observe(workspace, now, run)
    elif now.stage != "all" and target not in now.members:
        return
    go_by_criteria(workspace, now, tell)


def go_by_criteria(workspace: Workspace, now: Rollout, tell: Callable[[str], None], by: str = "") -> None:
    """Stop a rollout, bring it on, or say that it may go on, as it stands; `by` says what was looked at.

    Raises:
        TriageError: it cannot be changed.
    """
    # Somebody else may have moved it since it was read.
    now = record.read(workspace.rulebook, now.id)
    if now.state == "stopped":
        return
    stands = standing(workspace.rulebook, now)
    if stands.breaches:
        why = f"{'; '.join(stands.breaches)}{by}"
        stop(workspace, now.id, why, actor=ROLLOUT_ACTOR)
        tell(f"rollout {now.id} is stopped, its rule acts nowhere by it: {why}")
    elif now.state == "under_way" and not stands.lacking:
        if now.auto:
            after = promote(workspace, now.id, by=by, actor=ROLLOUT_ACTOR)
            tell(f"rollout {now.id} goes on: {record.in_words(after)}")
        else:
            tell(f"rollout {now.id} may go on: triage-tui rollout promote -C {workspace.root} {now.id}")


def rollouts(
    workspace: Workspace, tell: Callable[[str], None] = lambda text: None
) -> list[tuple[Rollout, Standing]]:
    """Return the rollouts, those that are under way first, and how each stands.

    `tell` is told of those that cannot be read.
    """
    found = []
    for identity in record.rollout_ids(workspace.rulebook):
        try:
            now = record.read(workspace.rulebook, identity)
            found.append((now, standing(workspace.rulebook, now)))
        except TriageError as error:
            tell(f"rollout {identity} cannot be shown: {error}")
    return sorted(found, key=lambda pair: (pair[0].state != "under_way", pair[0].id))


# One change


def _decide(
    workspace: Workspace,
    after: Rollout,
    kind: str,
    why: str,
    actor: str,
    step: Step,
    text: bytes | None = None,
) -> Rollout:
    """Carry one change out: its file first, which is the truth, then the audit log, then the generations."""
    rulebook = workspace.rulebook
    actor = actor or default_actor()
    decision = pending.pending_for(after.target, "rollout", actor, file=after.id)
    before, after = after, msgspec.structs.replace(after)
    now = local_time()
    said = safe_line(why, 600)
    moved = msgspec.convert(
        {"kind": kind, "stage": after.stage, "wall": now, "actor": actor, "why": said}, Moved
    )
    after.moves = [*after.moves, moved]
    if kind in ("rollout_started", "promoted"):
        after.since = now
    old = None if text is not None else record.read(rulebook, after.id)
    _check_places(rulebook, after, text)
    _describe(workspace, after)
    with (
        pending.begun(workspace.root, decision, step),
        observing.unchanged(rulebook, before, begins=text is not None),
    ):
        after.change = decision.change
        if old is not None:
            # What others observed since it was read stays.
            old.observed = after.observed = record.read(rulebook, after.id).observed
        if kind != "stopped":
            after.left = list(dict.fromkeys([*after.left, *record.taken_back(rulebook, before)]))
        wanted = [name for name in record.places_of(rulebook, after) if name not in after.placed]
        after.placing = [name for name in wanted if not record.has_rule(rulebook / name, after)]
        after.placed = [*after.placed, *after.placing]
        try:
            record.write(rulebook, after, text)
            step("decided")
            record.tell(rulebook, after)
            step("told")
            record.bring_about(rulebook, after, step)
        except TriageError as error:
            if kind == "stopped" and _is_written(rulebook, after):
                # It is taken from wherever that can be; the next program goes on with the rest.
                raise TriageError(f"rollout {after.id} is stopped, but not everywhere: {error}") from error
            _take_back(rulebook, old, after)
            raise
    return after


def _is_written(rulebook: Path, after: Rollout) -> bool:
    return record.read(rulebook, after.id).change == after.change


def _take_back(rulebook: Path, old: Rollout | None, after: Rollout) -> None:
    """Leave the old state at once where a change failed; what cannot be done now, the next program does."""
    with contextlib.suppress(TriageError, OSError):
        if old is not None:
            record.write(rulebook, old)
            record.bring_about(rulebook, old, no_step)
        undone = [name for name in after.placed if old is None or name not in old.placed]
        gone = msgspec.structs.replace(after, state="stopped", placed=undone, placing=[])
        record.bring_about(rulebook, gone, no_step)
        if old is None:
            record.remove(rulebook, after)


def _check_places(rulebook: Path, after: Rollout, text: bytes | None) -> None:
    for name in record.places_of(rulebook, after):
        record.check_place(rulebook / name, after)
    if after.state == "under_way" and after.stage != "observe":
        source = text if text is not None else record.text_of(rulebook, after)
        away = {*after.left, *record.taken_back(rulebook, after)}
        for target in after.members:
            if target_directory(rulebook, target).name in away:
                continue  # Nothing is put there.
            refuse_hidden(rulebook, target, {after.file: source})


def _describe(workspace: Workspace, after: Rollout) -> None:
    """Write down which programs its targets are, where a run of them says it."""
    unknown = {
        target
        for target in after.candidates
        if description(target_directory(workspace.rulebook, target)) is None
    }
    for run in newest_runs(workspace, unknown, after.sha256) if unknown else ():
        target = run.snapshot.target
        describe(target_directory(workspace.rulebook, target.target_id), target)


def _under_way(workspace: Workspace, identity: str) -> Rollout:
    now = record.read(workspace.rulebook, identity)
    if now.state != "under_way":
        raise Conflict(f"rollout {now.id} is {now.state}, so it does not go on")
    return now


def _free_id(workspace: Workspace, rule: str) -> str:
    """Return an id for a new rollout of a rule: that of the rule, with a number where it had some before."""
    known = record.rollout_ids(workspace.rulebook)
    for identity in known:
        try:
            earlier = record.read(workspace.rulebook, identity)
        except TriageError:
            continue
        if earlier.rule == rule and earlier.state == "under_way":
            raise Conflict(f"rollout {earlier.id} of this rule is under way: promote or stop that one")
    names = [rule[:56], *(f"{rule[:56]}-{number}" for number in range(2, 1000))]
    return next(name for name in names if name not in known)


def _group(workspace: Workspace, first: str, texts: Sequence[str]) -> list[str]:
    found = [target_named(workspace, text) for text in texts]
    if SHARED in found:
        raise TriageError("the shared rules are for all targets, so they are no member of a group")
    if len(found) > MAX_GROUP:
        raise TriageError(f"a group has at most {MAX_GROUP} targets")
    return [target for target in dict.fromkeys(found) if target != first]
