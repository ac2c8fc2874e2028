"""What the campaign screen shows, reckoned in a thread; the targets that pass its filter, in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import nlargest
from typing import TYPE_CHECKING, Any, NamedTuple

from triage_tui.campaign.comparing import compare
from triage_tui.campaign.gains import gains
from triage_tui.campaign.report import line_of, lines, unknown
from triage_tui.campaign.statistics import RUNG_ORDER, STANDINGS, count

if TYPE_CHECKING:
    from triage_tui.campaign.comparing import Comparison
    from triage_tui.campaign.gains import Gain
    from triage_tui.campaign.model import CampaignState
    from triage_tui.campaign.report import TargetLine
    from triage_tui.campaign.statistics import Statistics


_PACED = 40
"""Outcomes, the last ones, from which is told how fast a campaign goes."""


class CampaignData(NamedTuple):
    """A campaign as it stands; nothing in it changes any more."""

    state: CampaignState
    lines: Sequence[TargetLine]
    places: Mapping[str, int]
    """Target -> its place among the lines."""
    haystacks: Sequence[str]
    """For each line the text that words of a filter are looked for in, small letters."""
    names: Sequence[str]
    """For each line what it is sorted by, where that is its name."""
    statistics: Statistics
    gains: Sequence[Gain]
    unknown: Sequence[str]
    comparison: Comparison | None = None
    since: str = ""
    """When the first of the last outcomes came, from which the pace is told."""
    recent: int = 0
    """How many outcomes came since then."""

    @property
    def id(self) -> str:
        """The campaign's id: the name of its directory, whatever its file says."""
        return self.state.dir.name


def reckon(
    state: CampaignState, before: CampaignState | None = None, known: CampaignData | None = None
) -> CampaignData:
    """Return what is shown of a campaign, held against an earlier one.

    `known` is what was reckoned of an earlier reading of the same campaign: of targets to which nothing
    happened since, what was made then is taken.
    """
    found, haystacks, names = _lines(state, known)
    counted = count(state)
    # Of a campaign that was gone on with, the whole time says nothing of how fast it goes now.
    newest = nlargest(_PACED, (one.at for one in state.last.values() if one.event == "finished"))
    return CampaignData(
        state=state,
        lines=found,
        places={line.target: place for place, line in enumerate(found)},
        haystacks=haystacks,
        names=names,
        since=newest[-1] if newest else "",
        recent=max(0, len(newest) - 1),
        statistics=counted,
        gains=gains(state, counted),
        unknown=[*unknown(state, counted), *state.problems],
        comparison=compare(before, state) if before is not None else None,
    )


def _lines(state: CampaignState, known: CampaignData | None) -> tuple[list[TargetLine], list[str], list[str]]:
    if known is None or known.state.targets is not state.targets or known.state.running != state.running:
        found = lines(state)
        return found, [_haystack(line) for line in found], [_sorted_by(line) for line in found]
    found, haystacks = list(known.lines), list(known.haystacks)
    last, then = state.last, known.state.last
    for place, target in enumerate(state.targets):
        if last.get(target.target) is not then.get(target.target):
            found[place] = line_of(state, target)
            haystacks[place] = _haystack(found[place])
    return found, haystacks, list(known.names)


def _sorted_by(line: TargetLine) -> str:
    return "\0".join((line.group, line.name, line.origin)).lower()


def _haystack(line: TargetLine) -> str:
    fields = (
        line.name, line.group, line.program, *line.argv[1:], line.arch, line.origin, line.standing, line.word,
        line.story, line.headline, line.said, *line.runs,
    )  # fmt: skip
    return " ".join(fields).lower()


KEYS: dict[str, Callable[[TargetLine], str]] = {
    "stands": lambda line: line.standing,
    "verdict": lambda line: line.word,
    "rung": lambda line: line.rung or "none",
    "cause": lambda line: line.story,
    "group": lambda line: line.group,
    "arch": lambda line: line.arch,
    "name": lambda line: line.name,
}
"""What a term of the filter may begin with, and what it is compared with, from its beginning."""


def _terms_of(text: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the terms of a filter: the key or "", the text, and whether it is to be absent."""
    for word in text.lower().split():
        negated = word[0] in "-!" and not word.startswith("--")
        term = word[1:] if negated else word
        key, colon, value = term.partition(":")
        key, value = (key, value) if colon and key in KEYS else ("", term)
        if value:
            yield key, value, negated


def passing(data: CampaignData, text: str) -> Sequence[int]:
    """Return the places of the targets that pass a filter: words and `key:value`, `-` or `!` negates."""
    found: Sequence[int] = range(len(data.lines))
    for key, value, negated in _terms_of(text):
        if key:
            told = KEYS[key]
            found = [place for place in found if told(data.lines[place]).lower().startswith(value) != negated]
        else:
            found = [place for place in found if (value in data.haystacks[place]) != negated]
    return found


def fitting(data: CampaignData, text: str) -> Callable[..., bool]:
    """Return what tells whether a row that is no target passes a filter, from its targets and its texts.

    Words are looked for in its texts; terms with a key are about the targets behind it, of which one passes.
    """
    terms = list(_terms_of(text))
    words = [(value, negated) for key, value, negated in terms if not key]
    keyed = " ".join(f"{'-' if negated else ''}{key}:{value}" for key, value, negated in terms if key)
    among = {data.lines[place].target for place in passing(data, keyed)} if keyed else None

    def fits(targets: Iterable[str], *texts: str) -> bool:
        told = " ".join(texts).lower()
        return all((word in told) != negated for word, negated in words) and (
            among is None or not among.isdisjoint(targets)
        )

    return fits


def advice(text: str) -> str:
    """Return what is wrong with a filter, or what its terms are; "" where nothing need be said."""
    for word in text.lower().split():
        key, colon, _ = word.lstrip("-!").partition(":")
        if colon and key and key not in KEYS:
            return f"no term {key}: is known, so this looks for the text; terms are {_terms()}"
    return "" if text else f"words, {_terms()}, -term excludes"


def _terms() -> str:
    return " ".join(f"{key}:" for key in KEYS)


_RUNGS = {rung: place for place, rung in enumerate(RUNG_ORDER)}
_WORST = {name: place for place, name in enumerate(
    ("worse", "unknown", "stuck", "refused", "lost", "cancelled", "further", "running", "waiting", "well")
)}  # fmt: skip
ORDERS: dict[str, Callable[[TargetLine], Any] | None] = {
    "as given": None,
    "worst first": lambda line: (_WORST.get(line.standing, 0), not line.story, line.story),
    "cause": lambda line: (not line.story, line.story),
    "rung": lambda line: _RUNGS.get(line.rung, len(_RUNGS)),
    "name": None,
    "longest": lambda line: -line.seconds,
}
"""Orders of the targets by name; those that are equal in one stay as they were given."""
assert set(_WORST) == set(STANDINGS)


def heading_of(line: TargetLine) -> str:
    """Return below which heading a target stands: its story, or how it stands where it has none.

    What begins with a zero byte is no story.
    """
    return line.story or f"\0{line.standing}"


class Entry(NamedTuple):
    """One row of the targets: a target, or the heading of a story."""

    place: int = -1
    """Its place among the lines; -1 for a heading."""
    heading: str = ""
    """The heading that it is, or stands below: see `heading_of`; "" where targets are not folded."""
    size: int = 0
    opened: bool = False


def ordered(data: CampaignData, places: Sequence[int], order: str) -> Sequence[int]:
    """Return the places of targets in an order."""
    if order == "name":
        return sorted(places, key=data.names.__getitem__)
    key = ORDERS[order]
    if key is None:
        return places
    # Few of them differ, and to compare each with each would be felt at ten thousand.
    equal: dict[Any, list[int]] = {}
    for place in places:
        equal.setdefault(key(data.lines[place]), []).append(place)
    return [place for one in sorted(equal) for place in equal[one]]


def arranged(data: CampaignData, places: Sequence[int], opened: frozenset[str]) -> list[Entry]:
    """Return the rows of targets, in their order, below the headings of their stories."""
    groups: dict[str, list[int]] = {}
    for place in places:
        groups.setdefault(heading_of(data.lines[place]), []).append(place)
    rows: list[Entry] = []
    # The story of most targets first; those without one last.
    for name, members in sorted(
        groups.items(), key=lambda pair: (pair[0][0] == "\0", -len(pair[1]), pair[0])
    ):
        rows.append(Entry(-1, name, len(members), name in opened))
        if name in opened:
            rows += [Entry(place, name) for place in members]
    return rows


def pace(data: CampaignData, now: datetime | None = None) -> str:
    """Return how fast a campaign that runs goes and how long it will take, "" where that is not known."""
    counted, campaign = data.statistics, data.state.campaign
    if not data.state.running or not counted.done:
        return ""
    since, came = (
        (data.since, data.recent) if data.recent and data.since else (campaign.started, counted.done)
    )
    try:
        began = datetime.fromisoformat(since)
        passed = ((now or datetime.now(began.tzinfo)) - began).total_seconds()
    except (ValueError, OverflowError, TypeError):
        return ""
    if passed <= 0:
        return ""
    left = counted.targets - sum(
        number for name, number in counted.standings.items() if name not in ("waiting", "running")
    )
    rate = came / passed
    return f"{rate * 60:.1f} a minute, about {_long(left / rate)} left" if left > 0 else ""


def _long(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
