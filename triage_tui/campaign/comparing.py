"""Two campaigns held against each other: what is better, worse, new and gone, by target and in sum.

A target is the same where its id is: the same bytes, program, arguments, environment and directory. Where the
content of the root changed (another firmware version) it is known again by its place, as long as that is the
only one: name, program and arguments, with group and origin as far as these are the same; that is told. What
one of the campaigns does not know is not compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal

import msgspec

from triage_tui.campaign.model import HEALTHY, CampaignState, Outcome, Target
from triage_tui.campaign.statistics import (
    NO_RUNG,
    RUNG_ORDER,
    standing_of_outcome,
    story_key,
)

Change = Literal["better", "worse", "another cause", "same", "not known", "new", "gone"]
CHANGES: tuple[Change, ...] = ("worse", "better", "another cause", "new", "gone", "not known", "same")
"""In the order in which they are shown: what somebody has to look at first."""
_HEIGHT = {name: len(RUNG_ORDER) - place for place, name in enumerate(RUNG_ORDER)}
_WORDS = {"worse": 0, "unknown": 1, "stuck": 1, "further": 2, "well": 3}


class Compared(msgspec.Struct, kw_only=True):
    """One target in both campaigns; "" where it is not there."""

    before: str = ""
    after: str = ""
    """Its ids in the two campaigns: another one where its content is."""
    name: str = ""
    group: str = ""
    change: Change = "same"
    was: str = ""
    now: str = ""
    """How it stood and stands: word, rung and cause."""
    other_content: bool = False
    """Whether it is another version of the same target."""


class StoryChange(msgspec.Struct, kw_only=True):
    """A cause, and how many targets had it before and have it now."""

    key: str
    before: int = 0
    after: int = 0


class Comparison(msgspec.Struct, kw_only=True):
    """Two campaigns compared."""

    before: str
    after: str
    """Their ids."""
    targets: list[Compared] = []
    """In the order of `CHANGES`."""
    counts: dict[str, int] = {}
    """Change -> targets."""
    stories: list[StoryChange] = []
    """Causes whose number of targets differs, that of the largest difference first."""
    notes: list[str] = []
    """What must be known to read it, one sentence each."""


def compare(before: CampaignState, after: CampaignState) -> Comparison:
    """Hold a campaign against an earlier one."""
    found: list[Compared] = []
    pairs, gone = _pairs(before, after)
    for now, was in pairs:
        found.append(_compared(before, after, was, now))
    found += [
        Compared(
            before=one.target,
            name=one.name,
            group=one.group,
            change="gone",
            was=_told(before.outcome(one.target)),
        )
        for one in gone
    ]
    counts = Counter(one.change for one in found)
    places = {change: place for place, change in enumerate(CHANGES)}
    found.sort(key=lambda one: places[one.change])
    return Comparison(
        before=before.campaign.id,
        after=after.campaign.id,
        targets=found,
        counts={change: counts[change] for change in CHANGES if counts[change]},
        stories=_stories(before, after),
        notes=_notes(before, after, found),
    )


def _pairs(
    before: CampaignState, after: CampaignState
) -> tuple[list[tuple[Target, Target | None]], list[Target]]:
    """Return each target with what it was, and those that are gone."""
    known = {one.target: one for one in before.targets}
    was = {one.target: known[one.target] for one in after.targets if one.target in known}
    used = set(was)
    for place in _PLACES:
        # Of several in one place none can be told from the others.
        theirs, mine = (Counter(place(one) for one in state.targets) for state in (before, after))
        left = {
            place(one): one for one in before.targets if one.target not in used and theirs[place(one)] == 1
        }
        for one in after.targets:
            if one.target not in was and mine[place(one)] == 1 and (found := left.get(place(one))):
                was[one.target] = found
                used.add(found.target)
    return (
        [(one, was.get(one.target)) for one in after.targets],
        [one for one in before.targets if one.target not in used],
    )


_Place = Callable[[Target], tuple[str, ...]]
_PLACES: tuple[_Place, ...] = (
    lambda one: (one.group, one.name, one.program, one.origin, *one.argv),
    # Another line of a target file, or another number in the order of starting.
    lambda one: (one.group, one.name, one.program, *one.argv),
    # A root of another name, which is the group where nobody says one: fw-1.0, fw-1.1.
    lambda one: (one.name, one.program, one.origin, *one.argv),
    lambda one: (one.name, one.program, *one.argv),
)
"""By what a target is known again whose content is another one, what tells most first."""


def _compared(before: CampaignState, after: CampaignState, was: Target | None, now: Target) -> Compared:
    new = after.outcome(now.target)
    old = before.outcome(was.target) if was is not None else None
    change: Change
    if was is None:
        change = "new"
    elif old is None or new is None:
        change = "not known"
    else:
        change = change_of(old, new)
    return Compared(
        before=was.target if was is not None else "",
        after=now.target,
        name=now.name,
        group=now.group,
        change=change,
        was=_told(old) if was is not None else "",
        now=_told(new),
        other_content=was is not None and was.target != now.target,
    )


def change_of(old: Outcome, new: Outcome) -> Change:
    """Return whether a target is better or worse: well or not, the rung it reached, the judge's last word.

    The rung decides only where both have one: a round that nobody judged says nothing of it.
    """
    was, now = standing_of_outcome(old), standing_of_outcome(new)
    if (was == "well") != (now == "well"):
        return "better" if now == "well" else "worse"
    if old.rung is not None and new.rung is not None and old.rung != new.rung:
        return "better" if _HEIGHT[new.rung] > _HEIGHT[old.rung] else "worse"
    if was == "well":
        return "same"
    if story_key(old) != story_key(new):
        return "another cause"
    if _WORDS[was] != _WORDS[now]:
        return "better" if _WORDS[now] > _WORDS[was] else "worse"
    return "same"


def _told(outcome: Outcome | None) -> str:
    if outcome is None:
        return "no outcome"
    rung = (outcome.rung or NO_RUNG).replace("_", " ")
    cause = outcome.cause if outcome.word != HEALTHY else ""
    return ", ".join(text for text in (outcome.word, rung, cause) if text)


def _stories(before: CampaignState, after: CampaignState) -> list[StoryChange]:
    counts = []
    for state in (before, after):
        outcomes = (state.outcome(one.target) for one in state.targets)
        counts.append(
            Counter(
                story_key(outcome)
                for outcome in outcomes
                if outcome is not None and story_key(outcome) and standing_of_outcome(outcome) != "well"
            )
        )
    old, new = counts
    changed = [
        StoryChange(key=key, before=old[key], after=new[key]) for key in {*old, *new} if old[key] != new[key]
    ]
    return sorted(changed, key=lambda one: (-abs(one.after - one.before), one.key))


def _notes(before: CampaignState, after: CampaignState, found: list[Compared]) -> list[str]:
    """Return what differs between the two besides their targets."""
    one, other = before.campaign, after.campaign
    notes = []
    if before.dir.name > after.dir.name:
        notes.append(f"Campaign {one.id} is the later one: what is told as better became worse.")
    if one.rules_hash != other.rules_hash:
        notes.append("The active rules at the start were others.")
    if one.emulators and other.emulators and one.emulators != other.emulators:
        notes.append("The emulators were others.")
    if one.triage_tui and other.triage_tui and one.triage_tui != other.triage_tui:
        notes.append("The versions of triage-tui were others.")
    if one.options != other.options:
        told = [
            name.replace("_", " ")
            for name in one.options.__struct_fields__
            if getattr(one.options, name) != getattr(other.options, name)
        ]
        notes.append(f"Their options differ: {', '.join(told)}.")
    if versions := sum(one.other_content for one in found):
        notes.append(f"Of targets with another content there are {versions}: they are known by their place.")
    for state in (before, after):
        if not state.campaign.finished:
            notes.append(f"Campaign {state.campaign.id} has not ended.")
    return notes
