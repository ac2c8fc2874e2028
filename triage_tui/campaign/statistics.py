"""What a campaign came to, counted from its records: rungs and verdicts, stories across targets, rules.

Everything here is a pure reckoning on `CampaignState`. What is not known is counted as such and never taken
for a failure: a target that was not run, a cause that nobody found, a round that no judge looked at.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from triage_tui.campaign.model import DIAGNOSED, HEALTHY, NOT_DIAGNOSED, CampaignState, Outcome
from triage_tui.runs.verdict_model import RUNGS

Standing = Literal[
    "well", "further", "stuck", "worse", "unknown", "refused", "lost", "cancelled", "running", "waiting"
]
"""How a target stands, in one word. `well`: it runs as it should, of itself or with rules; `further`: rules
got it past something, and it is not well; `stuck`: it stops as at first; `worse`: the last round that stands
was judged worse; `unknown`: nobody knows what is wrong with it. The others are what happened to a target that
has no outcome."""
STANDINGS: tuple[Standing, ...] = (
    "well", "further", "stuck", "worse", "unknown", "refused", "lost", "cancelled", "running", "waiting",
)  # fmt: skip
DONE: tuple[Standing, ...] = STANDINGS[:5]
"""Those of a target that has an outcome."""
_OF_WORD: dict[str, Standing] = {
    "resolved": "well",
    HEALTHY: "well",
    "progressed": "further",
    "sideways": "stuck",
    "inconclusive": "stuck",
    DIAGNOSED: "stuck",
    "regressed": "worse",
    NOT_DIAGNOSED: "unknown",
}
_OF_EVENT: dict[str, Standing] = {
    "started": "running",
    "lost": "lost",
    "refused": "refused",
    "cancelled": "cancelled",
}
NO_RUNG = ""
"""Stands for the rung of a target of which no round was judged."""


class Story(msgspec.Struct, kw_only=True):
    """One cause, and the targets whose first run stopped for it."""

    key: str
    """The signature of the cause; the name of the cause where a record has no signature."""
    cause: str
    headline: str = ""
    """What happened in one of its runs."""
    targets: list[str] = []
    programs: int = 0
    """Different programs among them."""
    standings: dict[str, int] = {}
    """How these targets stand now."""


class RuleCount(msgspec.Struct, kw_only=True):
    """What one kind of rule did, by targets: those it was tried on, and those it helped or hurt."""

    template: str
    title: str
    """What its proposals say they do; rules of one title on many targets are counted together."""
    tried: list[str] = []
    helped: list[str] = []
    hurt: list[str] = []
    ids: list[str] = []
    """Ids of the proposals."""

    @property
    def neither(self) -> int:
        """Targets on which it was tried, and neither helped nor hurt as far as a judge saw."""
        return len(self.tried) - len({*self.helped, *self.hurt})


class Statistics(msgspec.Struct, kw_only=True):
    """A campaign, counted."""

    targets: int = 0
    standings: dict[str, int] = {}
    """Standing -> targets, in the order of `STANDINGS`, without those of which there is none."""
    ladder: dict[str, dict[str, int]] = {}
    """Rung -> word of the verdict -> targets; the highest rung first, `NO_RUNG` last."""
    stories: list[Story] = []
    """Those of most targets first."""
    rules: list[RuleCount] = []
    """Those that helped most targets first."""
    groups: dict[str, dict[str, int]] = {}
    """Group -> standing -> targets."""
    errors: dict[str, int] = {}
    """Why targets have no outcome: a sentence -> targets."""
    runs: int = 0
    rounds: int = 0
    work_s: float = 0.0
    """Seconds that workers were at work, of targets that have an outcome."""

    @property
    def done(self) -> int:
        """Targets that have an outcome."""
        return sum(self.standings.get(name, 0) for name in DONE)

    @property
    def unexplained(self) -> int:
        """Targets that are not well and of which no cause is known."""
        return sum(len(story.targets) for story in self.stories if not story.cause)


def standing_of(state: CampaignState, target: str) -> Standing:
    """Return how a target of a campaign stands."""
    last = state.last.get(target)
    if last is None:
        return "waiting"
    if last.event == "finished":
        return standing_of_outcome(last.outcome) if last.outcome is not None else "unknown"
    standing = _OF_EVENT[last.event]
    # Where no process is at work any more nothing runs: it waits for the second start.
    return "waiting" if standing == "running" and not state.running else standing


def standing_of_outcome(outcome: Outcome) -> Standing:
    """Return how a target stands by what came of it; a word of another version is "unknown"."""
    found = _OF_WORD.get(outcome.word, "unknown")
    # What made it worse is not there any more.
    return "stuck" if found == "worse" and outcome.taken_back else found


def story_key(outcome: Outcome) -> str:
    """Return what the story of a target across targets is known by, "" where no cause was found."""
    return outcome.signature or outcome.cause


def count(state: CampaignState) -> Statistics:
    """Count a campaign."""
    standings: Counter[str] = Counter()
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    ladder: dict[str, Counter[str]] = defaultdict(Counter)
    errors: Counter[str] = Counter()
    found = Statistics(targets=len(state.targets))
    for target in state.targets:
        standing = standing_of(state, target.target)
        standings[standing] += 1
        groups[target.group][standing] += 1
        last = state.last.get(target.target)
        if last is None:
            continue
        if last.event in ("lost", "refused", "cancelled") and last.error:
            errors[last.error] += 1
        if last.event != "finished" or (outcome := last.outcome) is None:
            continue
        ladder[outcome.rung or NO_RUNG][outcome.word] += 1
        found.runs += len(outcome.runs)
        found.rounds += max(0, outcome.rounds)
        found.work_s += max(0.0, last.seconds)
    found.standings = _in_order(standings, STANDINGS)
    found.ladder = {rung: dict(ladder[rung].most_common()) for rung in RUNG_ORDER if rung in ladder}
    found.groups = {name: _in_order(groups[name], STANDINGS) for name in sorted(groups)}
    found.errors = dict(errors.most_common())
    found.stories = stories(state)
    found.rules = rules(state)
    return found


RUNG_ORDER: tuple[str, ...] = ("healthy_exit", *reversed(RUNGS), NO_RUNG)
"""Rungs, the highest first; a program whose work has an end can get no higher than its good end."""


def stories(state: CampaignState) -> list[Story]:
    """Return the causes for which first runs stopped; targets that were well at once have none."""
    found: dict[str, Story] = {}
    programs: dict[str, set[str]] = defaultdict(set)
    standings: dict[str, Counter[str]] = defaultdict(Counter)
    for target in state.targets:
        outcome = state.outcome(target.target)
        if outcome is None or outcome.word == HEALTHY:
            continue
        key = story_key(outcome)
        story = found.get(key)
        if story is None:
            story = found[key] = Story(key=key, cause=outcome.cause, targets=[])
        story.headline = story.headline or outcome.headline
        story.targets.append(target.target)
        programs[key].add(target.program)
        standings[key][standing_of_outcome(outcome)] += 1
    for key, story in found.items():
        story.programs = len(programs[key])
        story.standings = _in_order(standings[key], STANDINGS)
    # What nobody explained comes last: it is no story yet.
    return sorted(found.values(), key=lambda one: (not one.key, -len(one.targets), one.key))


def rules(state: CampaignState) -> list[RuleCount]:
    """Return what rules did, by targets; a target counts once for each rule, whatever its rounds were."""
    found: dict[tuple[str, str], RuleCount] = {}
    for target in state.targets:
        outcome = state.outcome(target.target)
        for rule in outcome.rules if outcome is not None else ():
            if not rule.run:
                continue  # It was approved, and no round came to it.
            key = rule.template, rule.title or rule.id
            one = found.get(key)
            if one is None:
                one = found[key] = RuleCount(
                    template=key[0], title=key[1], tried=[], helped=[], hurt=[], ids=[]
                )
            for wanted, names in ((True, one.tried), (rule.helped, one.helped), (rule.hurt, one.hurt)):
                if wanted and (not names or names[-1] != target.target):
                    names.append(target.target)
            if rule.id not in one.ids:
                one.ids.append(rule.id)
    return sorted(
        found.values(), key=lambda one: (-len(one.helped), len(one.hurt), -len(one.tried), one.title)
    )


def by_template(found: Iterable[RuleCount]) -> dict[str, RuleCount]:
    """Return the same by the template alone: what is known of a kind of rule before it is tried again."""
    totals: dict[str, RuleCount] = {}
    for rule in found:
        total = totals.setdefault(
            rule.template, RuleCount(template=rule.template, title="", tried=[], helped=[], hurt=[], ids=[])
        )
        for name in ("tried", "helped", "hurt"):
            known = dict.fromkeys([*getattr(total, name), *getattr(rule, name)])
            setattr(total, name, list(known))
    return totals


def _in_order(counts: Mapping[str, int], order: Iterable[str]) -> dict[str, int]:
    return {name: counts[name] for name in order if counts.get(name)}
