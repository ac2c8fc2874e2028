"""The report on a campaign as data: what `--format json` prints, and what the document is made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from triage_tui.campaign.comparing import Comparison, compare
from triage_tui.campaign.gains import Gain, gains
from triage_tui.campaign.model import HEALTHY, Campaign, CampaignState, Need, RuleOutcome, Target
from triage_tui.campaign.record import campaign_dir, read_campaign
from triage_tui.campaign.statistics import (
    NO_RUNG,
    Statistics,
    count,
    standing_of,
    story_key,
)
from triage_tui.errors import TriageError
from triage_tui.text import number_of

if TYPE_CHECKING:
    from triage_tui.runs.redaction import Redaction

REPORT_VERSION = 1


class TargetLine(msgspec.Struct, kw_only=True):
    """One target, and what came of it."""

    target: str
    name: str
    group: str = ""
    arch: str = ""
    program: str = ""
    argv: list[str] = []
    origin: str = ""
    standing: str = "waiting"
    word: str = ""
    """The last verdict that stands, "" for a target without an outcome."""
    rung: str = ""
    story: str = ""
    """What its story across targets is known by: the signature of its first cause."""
    headline: str = ""
    runs: list[str] = []
    rules: list[RuleOutcome] = []
    needs: list[Need] = []
    rounds: int = 0
    seconds: float = 0.0
    said: str = ""
    """Why its rounds ended, or why it has no outcome."""


class Report(msgspec.Struct, kw_only=True):
    """All that a report tells. Text is raw, but for secrets, which are masked."""

    schema_version: int = REPORT_VERSION
    campaign: Campaign
    running: bool = False
    statistics: Statistics
    gains: list[Gain]
    """What to do next, that of the largest expected gain first."""
    comparison: Comparison | None = None
    unknown: list[str] = []
    """What is not known, one sentence each."""
    problems: list[str] = []
    """What is wrong with the files of the campaign."""
    targets: list[TargetLine]


def make_report(state: CampaignState, before: CampaignState | None = None) -> Report:
    """Return the report on a campaign, held against an earlier one."""
    counted = count(state)
    return Report(
        campaign=state.campaign,
        running=state.running,
        statistics=counted,
        gains=gains(state, counted),
        comparison=compare(before, state) if before is not None else None,
        unknown=unknown(state, counted),
        problems=list(state.problems),
        targets=lines(state),
    )


def earlier(workspace: Path, state: CampaignState, name: str = "") -> CampaignState | None:
    """Return the campaign that one is held against: the one that `name` names, or that it names itself.

    None where neither names one, or the one that it names itself is not here any more.

    Raises:
        TriageError: the one that `name` names is not here, cannot be read, or is this one.
    """
    if name:
        directory = campaign_dir(workspace, name)
        if directory.name == state.dir.name:
            raise TriageError(f"campaign {directory.name} cannot be held against itself: name an earlier one")
        return read_campaign(directory)
    known = state.campaign.compared_with
    if not known or known == state.campaign.id:
        return None
    directory = campaign_dir(workspace, known)
    return read_campaign(directory)


def lines(state: CampaignState) -> list[TargetLine]:
    """Return the targets of a campaign, in its order, with what came of each."""
    return [line_of(state, target) for target in state.targets]


def line_of(state: CampaignState, target: Target) -> TargetLine:
    """Return one target of a campaign with what came of it."""
    line = TargetLine(
        target=target.target,
        name=target.name,
        group=target.group,
        arch=target.arch,
        program=target.program,
        argv=target.argv,
        origin=target.origin,
        standing=standing_of(state, target.target),
    )
    last = state.last.get(target.target)
    if last is not None:
        line.seconds, line.said = last.seconds, last.error
    outcome = state.outcome(target.target)
    if outcome is not None:
        line.word, line.rung = outcome.word, outcome.rung or NO_RUNG
        # That a program ended well is no story.
        line.story = story_key(outcome) if outcome.word != HEALTHY else ""
        line.headline, line.runs, line.rules = outcome.headline, outcome.runs, outcome.rules
        line.needs, line.rounds, line.said = outcome.needs, outcome.rounds, outcome.ended
    return line


def unknown(state: CampaignState, counted: Statistics) -> list[str]:
    """Return what a campaign does not tell, one sentence each."""
    found = []
    if missing := counted.targets - counted.done:
        of = number_of(counted.targets, "target")
        found.append(f"{missing} of {of} have no outcome: nothing is known of whether they work")
    if counted.unexplained:
        stop = number_of(counted.unexplained, "target stops", "targets stop")
        found.append(f"{stop} for no known cause")
    unjudged = sum(counted.ladder.get(NO_RUNG, {}).values())
    if unjudged:
        has = number_of(unjudged, "target has", "targets have")
        found.append(f"{has} no rung: there was no retry that a judge could look at")
    outcomes = (state.outcome(target.target) for target in state.targets)
    were_active = bool(state.campaign.rules_hash)
    at_once = sum(
        outcome is not None
        and outcome.word == HEALTHY
        and (were_active if (n := outcome.acted) is None else n > 0)
        for outcome in outcomes
    )
    if at_once:
        were = number_of(at_once, "target was", "targets were")
        found.append(f"{were} well at once with rules that were active already: without them is not known")
    neither = sum(rule.neither for rule in counted.rules)
    if neither:
        trials = number_of(neither, "trial of a rule", "trials of rules")
        found.append(f"{trials} neither helped nor hurt as far as a judge saw")
    if not state.campaign.finished:
        how = "it is still at work" if state.running else "its process was ended before it was over"
        found.append(f"the campaign has not ended ({how}): all numbers are those of now")
    return found


def redaction_of(state: CampaignState, *, off: bool = False) -> Redaction:
    """Return what masks the secrets in the record of a campaign: ids and hashes of ours are none."""
    from triage_tui.runs.redaction import Redaction  # of many patterns, which a screen can do without

    public = {state.campaign.id, state.campaign.rules_hash}
    for target in state.targets:
        public |= {target.target, target.root_hash}
        outcome = state.outcome(target.target)
        if outcome is not None:
            public.update(outcome.runs, (outcome.story,), (need.proposal for need in outcome.needs))
            public.update(name for rule in outcome.rules for name in (rule.id, rule.file, rule.sha256))
    return Redaction(off=off, public=public)


def masked(report: Report, redaction: Redaction) -> Any:
    """Return a report as values for JSON, what looks like a secret masked."""
    known: dict[str, str] = {}

    def mask(value: Any) -> Any:
        if isinstance(value, str):
            if value not in known:
                known[value] = redaction.text(value)
            return known[value]
        if isinstance(value, dict):
            return {mask(name): mask(item) for name, item in value.items()}
        if isinstance(value, list):
            return [mask(item) for item in value]
        return value

    found = msgspec.to_builtins(report)
    for line in found["targets"]:
        line["argv"] = redaction.value(line["argv"])
    return mask(found)
