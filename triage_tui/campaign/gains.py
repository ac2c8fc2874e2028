"""What to do next for the largest gain: what targets that are not well have in common, ranked.

The expected gain of a step is an estimate and says so: the targets that need the same thing, times how often
a rule of the kind that supplies it helped in this campaign, with one success and one failure added to what
was counted (Laplace's rule of succession), so that a kind that was never tried counts half and one lucky
trial does not count for certain:

    gain = sum over its targets of (helped + 1) / (tried + 2)

A target whose first need it is counts whole, one that has a more likely need before it counts half. What has
to be run, or run again, is a step as well, with the same half for each of its targets: nothing is known yet.
Steps are ranked by all of that; the number of targets that are expected to move is told only of those whose
kind of rule was tried in this campaign.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from triage_tui.campaign.model import CampaignState, Need, Target
from triage_tui.campaign.statistics import (
    RuleCount,
    Statistics,
    by_template,
    count,
    standing_of,
    standing_of_outcome,
    story_key,
)
from triage_tui.text import number_of, safe_line

Kind = Literal["supply", "explain", "run", "drop"]
"""`supply`: give targets what they need; `explain`: find the cause of what nobody explained; `run`: run what
was not run; `drop`: keep a rule away that hurts."""

MAX_GAINS = 200
MAX_INPUTS = 5
_UNTRIED = 0.5
_LESS_LIKELY = 0.5
"""What a target counts for whose need stands behind a more likely one."""
_NUMBERS = re.compile(r"\d+")


class Gain(msgspec.Struct, kw_only=True):
    """One step, and the targets behind it."""

    kind: Kind
    subject: str
    says: str = ""
    """The step in one sentence with its numbers, for people; made safe to show."""
    how: list[str] = []
    """What is known of how it goes: which rules would do it, how they did, what a person must supply."""
    expected: float = 0.0
    """Targets that it is expected to move: an estimate, see above."""
    seen: float = 0.0
    """Of these, what rests on rules of the same kinds that were tried in this campaign."""
    targets: list[str] = []
    """The targets, those of which it is the first need before the others."""
    first: int = 0
    """Targets of which it is the first need."""
    templates: dict[str, int] = {}
    """Template that could supply it -> targets that propose it; "" for those to which nothing is proposed."""
    tried: int = 0
    helped: int = 0
    hurt: int = 0
    """Targets of the same campaign on which rules of these templates were tried, helped and hurt."""
    inputs: list[str] = []
    """What a person must supply, the most frequent first."""
    risk: str = ""
    """The highest risk of the proposals."""
    runs: list[str] = []
    """For each target the run in which it is proposed, "" where there is none."""


_RISKS = ("", "low", "medium", "high")


def gains(state: CampaignState, counted: Statistics | None = None) -> list[Gain]:
    """Return the next steps, that of the largest expected gain first."""
    counted = counted if counted is not None else count(state)
    found = [*_supply(state, by_template(counted.rules)), *_explain(state), *_run(state), *_drop(counted)]
    # Where nothing is proposed there is nothing to do at once.
    found.sort(
        key=lambda one: (not _is_at_hand(one), -one.expected, -len(one.targets), one.kind, one.subject)
    )
    return found[:MAX_GAINS]


def _is_at_hand(gain: Gain) -> bool:
    return gain.kind == "run" or (gain.kind == "supply" and any(gain.templates))


def _supply(state: CampaignState, known: Mapping[str, RuleCount]) -> list[Gain]:
    found: dict[str, Gain] = {}
    asked: dict[str, Counter[str]] = {}
    things: set[str] = set()
    for target in state.targets:
        outcome = state.outcome(target.target)
        if outcome is None or standing_of_outcome(outcome) == "well":
            continue
        subjects: dict[str, list[Need]] = {}
        for need in outcome.needs:
            if need.subject:
                subjects.setdefault(need.subject, []).append(need)
        for place, (subject, needs) in enumerate(subjects.items()):
            gain = found.get(subject)
            if gain is None:
                gain = found[subject] = Gain(kind="supply", subject=subject)
                asked[subject] = Counter()
            _add(gain, target, needs, place == 0, known)
            if any(need.kind for need in needs):
                things.add(subject)
            asked[subject].update({need.needs_input for need in needs if need.needs_input})
    counted: dict[frozenset[str], tuple[int, int, int]] = {}
    for subject, gain in found.items():
        gain.inputs = [text for text, _ in asked[subject].most_common(MAX_INPUTS)]
        kinds = frozenset(gain.templates)
        if kinds not in counted:
            counted[kinds] = _counts([known[name] for name in kinds if name in known])
        gain.tried, gain.helped, gain.hurt = counted[kinds]
        _say_supply(gain, subject in things)
    return list(found.values())


def _add(gain: Gain, target: Target, needs: list[Need], first: bool, known: Mapping[str, RuleCount]) -> None:
    if first:
        gain.targets.insert(gain.first, target.target)
        gain.runs.insert(gain.first, needs[0].run)
        gain.first += 1
    else:
        gain.targets.append(target.target)
        gain.runs.append(needs[0].run)
    templates = dict.fromkeys(need.template for need in needs)
    for name in templates:
        gain.templates[name] = gain.templates.get(name, 0) + 1
    chance, is_seen = max(
        ((_chance(kind := known.get(name)), kind is not None) for name in templates if name),
        # Where nothing is proposed somebody has to think of something first.
        default=(_UNTRIED * _LESS_LIKELY, False),
    )
    weighed = chance * (1.0 if first else _LESS_LIKELY)
    gain.expected += weighed
    gain.seen += weighed if is_seen else 0.0
    gain.risk = max(
        gain.risk, *(need.risk if need.risk in _RISKS else "" for need in needs), key=_RISKS.index
    )


def _chance(known: RuleCount | None) -> float:
    """Return how likely a rule of a kind helps, by what was counted of it."""
    return (len(known.helped) + 1) / (len(known.tried) + 2) if known is not None else _UNTRIED


def _counts(rules: Sequence[RuleCount]) -> tuple[int, int, int]:
    """Return on how many targets any of these was tried, helped and hurt."""
    return (
        len({name for one in rules for name in one.tried}),
        len({name for one in rules for name in one.helped}),
        len({name for one in rules for name in one.hurt}),
    )


def _say_supply(gain: Gain, is_thing: bool) -> None:
    number = len(gain.targets)
    need = ("needs it" if number == 1 else "need it") if is_thing else "must get past it"
    if gain.first == number:
        need += " next"
    elif gain.first:
        need += f", {gain.first} of them next"
    else:
        need += ", after something likelier" if number == 1 else ", each after something likelier"
    subject, outlook = safe_line(gain.subject, 200), _outlook(gain)
    gain.says = f"{subject}: {number_of(number, 'target')} {need}; {outlook}"
    named = [name.replace("_", " ") for name in sorted(gain.templates, key=_most(gain.templates)) if name]
    told = []
    if named:
        told.append("by " + " or ".join(safe_line(name, 60) for name in named[:3]))
    if gain.tried:
        harm = f", and hurt {gain.hurt}" if gain.hurt else ""
        told.append(f"such rules helped {gain.helped} of {number_of(gain.tried, 'target')} here{harm}")
    elif named:
        told.append(
            "such a rule was not tried in this campaign: it is ranked as if it helped every other time"
        )
    if named and (bare := gain.templates.get("", 0)):
        told.append(f"nothing is proposed for {number_of(bare, 'target')}")
    if gain.inputs:
        told.append(f"a person has to: {safe_line(gain.inputs[0], 200)}")
    if gain.risk:
        told.append(f"risk {gain.risk}")
    gain.how = told


def _outlook(gain: Gain) -> str:
    """Say what may be expected, as far as anything was seen that it can be told from."""
    if not any(gain.templates):
        return "nothing is proposed that was not tried"
    if not gain.seen:
        return "how many it would move is not known"
    if gain.seen >= 1.5:
        return f"about {gain.seen:.0f} are expected to move"
    return f"{'about' if gain.seen > 0.5 else 'less than'} one is expected to move"


def _most(counts: Mapping[str, int]) -> Callable[[str], tuple[int, str]]:
    return lambda name: (-counts[name], name)


def _explain(state: CampaignState) -> list[Gain]:
    """Return what stops targets for which nothing is proposed, by what is known of it."""
    found: dict[str, Gain] = {}
    for target in state.targets:
        outcome = state.outcome(target.target)
        if outcome is None or any(need.subject for need in outcome.needs):
            continue
        if (standing := standing_of_outcome(outcome)) == "well":
            continue
        # The cause that is kept is that of the first run: of one that got further it says nothing any more.
        further = standing == "further"
        known = safe_line(outcome.ended if further else story_key(outcome), 200)
        subject = known or ("got further" if further else "no known cause")
        gain = found.setdefault(subject, Gain(kind="explain", subject=subject))
        gain.targets.append(target.target)
        gain.runs.append(outcome.runs[-1] if outcome.runs else "")
        _say_explain(gain, further, known)
    return list(found.values())


def _say_explain(gain: Gain, further: bool, known: str) -> None:
    gain.first = len(gain.targets)
    # What they have in common may be nothing: then to look at one of them is about that one.
    gain.expected = _UNTRIED * _LESS_LIKELY * (gain.first if known else 1)
    stop = number_of(gain.first, "target stops", "targets stop")
    if further:
        why = f": {known}" if known else ": look at the last runs"
        gain.says = f"{number_of(gain.first, 'target')} got further, and nothing more is proposed{why}"
    elif known:
        gain.says = f"{stop} for {known}, and nothing is proposed for it"
    else:
        gain.says = f"{stop} for no known cause: look at the first, and write an entry of the knowledge base"
    gain.how = ["whether one thing would move them all is not known"]


def _run(state: CampaignState) -> list[Gain]:
    """Return what was not run, by why."""
    found: dict[tuple[str, str], Gain] = {}
    for target in state.targets:
        standing: str = standing_of(state, target.target)
        if standing not in ("lost", "refused", "cancelled", "waiting") or (
            state.running and standing == "waiting"
        ):
            continue
        last = state.last.get(target.target)
        # Sentences that differ by a number are one reason.
        why = _NUMBERS.sub("#", last.error) if last is not None else ""
        gain = found.setdefault((standing, why), Gain(kind="run", subject=standing))
        gain.targets.append(target.target)
        gain.runs.append("")
        gain.how = gain.how or [
            safe_line(last.error if last is not None and last.error else "not begun yet", 300)
        ]
    again = f"triage-tui campaign --resume {safe_line(state.dir.name, 60)}"
    for (standing, _), gain in found.items():
        number = len(gain.targets)
        gain.first = number
        # What is refused is refused again as long as nobody changes it.
        gain.expected = number * (_UNTRIED * _LESS_LIKELY if standing == "refused" else _UNTRIED)
        were, they, these = ("was", "it is", "it") if number == 1 else ("were", "they are", "these")
        gain.says = number_of(number, "target") + {
            "refused": f" cannot be run as {they}: mend what is said, then {again} tries {these} again",
            "lost": f" {were} lost on the way: {again} takes up only {these}",
            "cancelled": f" {were} cancelled: {again} goes on with {these}",
        }.get(standing, f" {were} not run yet: {again} goes on with {these}")
    return list(found.values())


def _drop(counted: Statistics) -> list[Gain]:
    """Return rules that hurt more targets than they helped."""
    found = []
    for rule in counted.rules:
        if len(rule.hurt) <= len(rule.helped):
            continue
        title = safe_line(rule.title, 160)
        found.append(
            Gain(
                kind="drop",
                subject=rule.title,
                says=f"{title}: it hurt {number_of(len(rule.hurt), 'target')} and helped {len(rule.helped)}:"
                " leave it out of the policy",
                how=["each of these rounds was judged worse than the one before"],
                expected=0.0,
                targets=list(rule.hurt),
                first=len(rule.hurt),
                templates={rule.template: len(rule.hurt)},
                tried=len(rule.tried),
                helped=len(rule.helped),
                hurt=len(rule.hurt),
                runs=[""] * len(rule.hurt),
            )
        )
    return found
