"""What a campaign means for the rollouts of rules: its runs count, and its end is when the criteria decide.

While a rule is observed, it is tried at the recorded calls of the first run of each of its targets. In the
later stages a target began with the rule active: its first run is judged against the newest earlier run of
the same target in the same root that had the same other rules and not this one, as a retry would be; where
there is none, against one that had fewer: that is no help of this rule where another new one acted, and harm
is put down to all that are new. Of a target without such a run nothing is concluded.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from triage_tui.campaign.model import HEALTHY, CampaignState
from triage_tui.campaign.record import campaign_dir, read_campaign
from triage_tui.campaign.statistics import story_key
from triage_tui.errors import TriageError
from triage_tui.retry.judging.judge import judge
from triage_tui.retry.sharing import observing
from triage_tui.retry.sharing import rollout as rolling
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import statistics
from triage_tui.rulebook.rollouts import record
from triage_tui.rulebook.rollouts.record import MAX_GROUP, Rollout
from triage_tui.rulebook.rollouts.standing import standing
from triage_tui.rulebook.statistics import RunUse
from triage_tui.runs.listing import list_runs
from triage_tui.runs.reader import Run, load_run
from triage_tui.text import number_of, safe_line

Tell = Callable[[str], None]
MAX_EARLIER = 24
"""Earlier runs of a target among which one to judge against is looked for, the newest ones."""


class Played(msgspec.Struct, kw_only=True):
    """A target of a campaign that has an outcome, with the id by which the rulebook knows it."""

    target_id: str
    runs: list[str]
    """Its runs in this campaign that are here, the oldest first."""
    earlier: list[str]
    """Its runs from before in the same root, the newest first."""
    story: str
    group: str


def after_campaign(
    workspace: Workspace, directory: Path, tell: Tell, cancel: threading.Event | None = None
) -> None:
    """Look at what a campaign means for the rollouts: observe, judge, stop what harms, go on where wished.

    What cannot be done is told. It may be done again: what counts already does not count twice.

    Raises:
        TriageError: the campaign cannot be read.
    """
    identities = record.rollout_ids(workspace.rulebook)
    if not identities:
        return
    state = read_campaign(directory)
    played = _played(workspace, state)
    for identity in identities:
        try:
            now = record.read(workspace.rulebook, identity)
            if now.state != "stopped":
                _look(workspace, state, now, played, tell, cancel or threading.Event())
        except TriageError as error:
            tell(f"rollout {identity}: {error}")


def group_of(workspace: Workspace, campaign: str, first: str, group: str = "") -> tuple[list[str], str]:
    """Return a run of each target of a campaign that stopped for the same cause as the target `first`.

    With `group` only targets of that group of the campaign. The second is a sentence where there are more
    than a rollout can have, "" otherwise.

    Raises:
        TriageError: there is no such campaign or group, or it knows no cause of that target.
    """
    state = read_campaign(campaign_dir(workspace.root, campaign))
    name, played = state.campaign.id, _played(workspace, state)
    # The same program with the same arguments is one target of the rulebook in whatever root it is.
    mine = [one for one in played if one.target_id == first]
    if not mine:
        raise TriageError(f"the first target has no run in campaign {name}: name one with --target RUN")
    wanted = {one.story for one in mine} - {""}
    if not wanted:
        raise TriageError(f"campaign {name} knows no cause for which the first target stopped")
    if group and not any(one.group == group for one in played):
        names = list(dict.fromkeys(one.group for one in played if one.group))
        known = safe_line(", ".join(names[:8]), 300) + (" ..." if len(names) > 8 else "") if names else "none"
        raise TriageError(f"campaign {name} has no group {safe_line(group, 80)!r} with runs: it has {known}")
    same = {
        one.target_id: one.runs[0]
        for one in played
        if one.story in wanted and one.target_id != first and group in ("", one.group)
    }
    more = len(same) - MAX_GROUP
    note = f"a group has at most {MAX_GROUP} targets: {more} of {len(same)} are left out" if more > 0 else ""
    return list(same.values())[:MAX_GROUP], note


def _played(workspace: Workspace, state: CampaignState) -> list[Played]:
    summaries = {one.run_id: one for one in list_runs(workspace.runs_dir) if one.target_id}
    of_target: dict[tuple[str, str], list[str]] = {}
    for run_id in sorted(summaries, reverse=True):
        of_target.setdefault((summaries[run_id].target_id, summaries[run_id].rootfs), []).append(run_id)
    found = []
    for target in state.targets:
        outcome = state.outcome(target.target)
        runs = sorted(run for run in outcome.runs if run in summaries) if outcome is not None else []
        if outcome is None or not runs:
            continue
        told = summaries[runs[0]]
        found.append(
            Played(
                target_id=told.target_id,
                runs=runs,
                earlier=[run for run in of_target[told.target_id, told.rootfs] if run < runs[0]],
                story=story_key(outcome) if outcome.word != HEALTHY else "",
                group=target.group,
            )
        )
    return found


def _look(
    workspace: Workspace,
    state: CampaignState,
    now: Rollout,
    played: Iterable[Played],
    tell: Tell,
    cancel: threading.Event,
) -> None:
    observes = now.stage == "observe" and now.state == "under_way"
    wanted = set(now.candidates if observes else now.members)
    mine = [one for one in played if one.target_id in wanted or (now.stage == "all" and not observes)]
    for one in mine:
        if cancel.is_set():
            return
        try:
            if observes:
                now = observing.observe(workspace, now, load_run(workspace.runs_dir / one.runs[0]))
            else:
                _judge(workspace, now, one)
        except TriageError as error:
            # One run that cannot be read says nothing of the others.
            tell(f"rollout {now.id}, run {one.runs[0]}: {error}")
    if not mine:
        return
    stands = standing(workspace.rulebook, now)
    by = (
        f", by campaign {state.campaign.id}: {number_of(stands.runs, 'run')} of"
        f" {number_of(stands.targets, 'target')}, helped {stands.helped}, hurt {stands.hurt}"
    )
    rolling.go_by_criteria(workspace, now, tell, by)


def _judge(workspace: Workspace, now: Rollout, one: Played) -> None:
    """Judge the run of a target in which the rule acted from the beginning, where that was not done yet."""
    uses = {use.run: use for use in statistics.uses(workspace.rulebook, one.target_id)}
    run_id = next((run for run in one.runs if run in uses and _acted(uses[run], now.sha256)), None)
    # A later round was judged against the one before: there it says nothing of a rule that both had.
    if run_id is None or run_id != one.runs[0] or uses[run_id].verdict:
        return
    after = load_run(workspace.runs_dir / run_id)
    before = _without(workspace, one, after, now.sha256)
    if before is not None:
        use = statistics.use_of(after, before, judge(before, after))
        statistics.count(workspace.rulebook, one.target_id, use)


def _acted(use: RunUse, sha256: str) -> bool:
    return any(rule.sha256 == sha256 and (rule.hits or rule.matches) for rule in use.rules)


def _without(workspace: Workspace, one: Played, after: Run, sha256: str) -> Run | None:
    """Return the newest earlier run of a target with the same rules but for this one, or most of them."""
    others = {hit.sha256 for hit in after.snapshot.rule_hits} - {sha256}
    content = _content(after)
    best: tuple[int, Run] | None = None
    for run_id in one.earlier[:MAX_EARLIER]:
        with contextlib.suppress(TriageError):
            run = load_run(workspace.runs_dir / run_id)
            had = {hit.sha256 for hit in run.snapshot.rule_hits}
            if not had <= others or content != (_content(run) or content):
                continue
            if had == others:
                return run
            if best is None or len(had) > best[0]:
                best = len(had), run
    return best[1] if best is not None else None


def _content(run: Run) -> str:
    """Return the id of the target in its campaign, which goes by the content of its root; "" for none."""
    told = (event.payload.get("target") for event in run.events if event.kind == "campaign")
    return next((name for name in told if isinstance(name, str)), "")
