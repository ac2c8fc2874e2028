"""How a rollout stands against its written criteria, from what judged runs say."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from triage_tui.rulebook import statistics
from triage_tui.rulebook.places import SHARED, target_directory
from triage_tui.rulebook.rollouts.criteria import StageCriteria
from triage_tui.rulebook.rollouts.reach import reached_again, switched_off_by
from triage_tui.rulebook.rollouts.record import Rollout, has_rule, taken_back
from triage_tui.rulebook.statistics import HELPED, HURT, RunUse
from triage_tui.runs.events import VERDICTS
from triage_tui.text import number_of, safe_line


class Standing(msgspec.Struct):
    """What was counted in the stage that a rollout is in; the numbers are those of `StageCriteria`.

    `lacking` says what is not met yet, and `breaches` what is beyond what is allowed, one sentence each.
    """

    runs: int = 0
    targets: int = 0
    matches: int = 0
    helped: int = 0
    hurt: int = 0
    errors: int = 0
    share: float = 0.0
    mean_us: int = 0
    lacking: list[str] = msgspec.field(default_factory=list)
    breaches: list[str] = msgspec.field(default_factory=list)
    gone: list[str] = msgspec.field(default_factory=list)
    """Where it does not act any more although it was put there; also among `lacking`."""
    again: list[str] = msgspec.field(default_factory=list)
    """The targets that took it back, and on which the shared rules act, or would; among `lacking` as well."""
    hurt_in: list[str] = msgspec.field(default_factory=list)
    """The runs that were judged worse, or ended by a signal where the one before was not."""
    crashed: int = 0
    """Of these, those that a signal ended which is new."""
    with_others: int = 0
    """Of these, those in which another rule was new and acted, too."""


def standing(rulebook: Path, rollout: Rollout) -> Standing:
    """Return how a rollout stands.

    Raises:
        TriageError: the statistics cannot be read.
    """
    found = _observed(rollout) if rollout.stage == "observe" else _judged(rulebook, rollout)
    wanted: StageCriteria = getattr(rollout.criteria, rollout.stage)
    most = len(rollout.candidates if rollout.stage == "observe" else rollout.members)
    targets = wanted.targets if rollout.stage == "all" else min(wanted.targets, most)
    runs, calls = "judged runs in which it acted", "calls at which it acted in these"
    if rollout.stage == "observe":
        runs, calls = "runs at whose calls it was tried", "calls at which it would have acted"
    for count, least, what in (
        (found.runs, wanted.runs, runs),
        (found.targets, targets, "targets of these runs"),
        (found.matches, wanted.matches, calls),
        (found.helped, wanted.helped, "retries that got further by it"),
    ):
        if count < least:
            found.lacking.append(f"{count} of {least} {what}")
    shared = rollout.stage == "all" and has_rule(rulebook / SHARED, rollout)
    found.again = reached_again(rulebook, rollout) if shared or rollout.next_stage == "all" else []
    acted_on = {target_directory(rulebook, target).name for target in found.again} if shared else set()
    for place in taken_back(rulebook, rollout):
        if place in acted_on:
            continue
        where = "all targets" if place == SHARED else f"target {safe_line(place, 40)}"
        found.gone.append(f"it does not act for {where} any more: it was rolled back, replaced or set aside")
    for target in found.again:
        acts = "act there all the same" if shared else "would act there again"
        found.gone.append(
            f"target {safe_line(target, 40)} took it back, and the shared rules {acts}: a file of your own,"
            f" {switched_off_by(rulebook, target, rollout)}, switches it off there"
        )
    found.lacking += found.gone
    if found.hurt > wanted.hurt:
        runs = ", ".join(safe_line(run, 60) for run in found.hurt_in[:3])
        what = "went worse" if not found.crashed else "crashed"
        if 0 < found.crashed < found.hurt:
            what = "went worse or crashed"
        by = "by it, or by another rule that was new as well" if found.with_others else "by it"
        found.breaches.append(f"{number_of(found.hurt, 'retry', 'retries')} {what} {by} ({runs})")
    if found.errors > wanted.errors:
        found.breaches.append(f"it failed {number_of(found.errors, 'time')}, and {wanted.errors} are allowed")
    if found.share > wanted.share:
        found.breaches.append(f"it is for {found.share:.0%} of the calls, more than {wanted.share:.0%}")
    if found.mean_us > wanted.mean_us:
        found.breaches.append(f"a call waits {found.mean_us} us for it, more than {wanted.mean_us}")
    return found


def _observed(rollout: Rollout) -> Standing:
    tried = [one for one in rollout.observed if one.calls]
    calls, matches = sum(one.calls for one in tried), sum(one.matched for one in tried)
    return Standing(
        runs=len(tried),
        targets=len({one.target for one in tried}),
        matches=matches,
        errors=sum(bool(one.failed) for one in tried),
        # Of a handful of calls any share is a large one.
        share=matches / calls if calls >= 8 else 0.0,
    )


def _judged(rulebook: Path, rollout: Rollout) -> Standing:
    found = Standing()
    seen: set[str] = set()
    calls = waited = 0
    for use in _uses(rulebook, rollout):
        if _instant(use.wall) < _instant(rollout.since):
            continue
        mine = [rule for rule in use.rules if rule.sha256 == rollout.sha256]
        found.errors += sum(rule.errors + (rule.state == "disabled") for rule in mine)
        acted = [rule for rule in mine if rule.hits or rule.matches]
        if not acted:
            continue
        calls += sum(rule.calls for rule in mine)
        waited += sum(rule.time_us for rule in mine)
        if use.verdict not in VERDICTS or use.verdict == "inconclusive":
            continue  # That it acted in a run of which nobody knows what came of it shows nothing.
        seen.add(use.target)
        found.runs += 1
        found.matches += sum(max(rule.hits, rule.matches) for rule in acted)
        fresh = any(rule.fresh for rule in acted)
        # Where another rule was new and acted too, nobody can tell whose help it was. Harm may be that of
        # either, and so both stop.
        alone = not any(r.fresh and r.hits for r in use.rules if r.sha256 != rollout.sha256)
        found.helped += fresh and alone and use.verdict in HELPED and not use.died
        if fresh and (use.verdict in HURT or use.died):
            found.hurt += 1
            found.hurt_in.append(use.run)
            found.crashed += use.died
            found.with_others += not alone
    found.targets = len(seen)
    found.mean_us = waited // calls if calls else 0
    return found


def _uses(rulebook: Path, rollout: Rollout) -> list[RunUse]:
    if rollout.stage == "all":
        return statistics.uses(rulebook)
    return [use for target in rollout.members for use in statistics.uses(rulebook, target)]


def _instant(wall: str) -> float:
    try:
        return datetime.fromisoformat(wall).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
