"""What the campaign screen shows, reckoned in a thread; the targets that pass its filter, in its order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
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


class CampaignData(NamedTuple):
    """A campaign as it stands; nothing in it changes any more."""

    state: CampaignState
    lines: Sequence[TargetLine]
    places: Mapping[str, int]
    """Target -> its place among the lines."""
    haystacks: Sequence[str]
    """For each line the text that words of a filter are looked for in, small letters."""
    statistics: Statistics
    gains: Sequence[Gain]
    unknown: Sequence[str]
    comparison: Comparison | None = None

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
    found, haystacks = _lines(state, known)
    counted = count(state)
    return CampaignData(
        state=state,
        lines=found,
        places={line.target: place for place, line in enumerate(found)},
        haystacks=haystacks,
        statistics=counted,
        gains=gains(state, counted),
        unknown=[*unknown(state, counted), *state.problems],
        comparison=compare(before, state) if before is not None else None,
    )


def _lines(state: CampaignState, known: CampaignData | None) -> tuple[list[TargetLine], list[str]]:
    if known is None or known.state.targets is not state.targets or known.state.running != state.running:
        found = lines(state)
        return found, [_haystack(line) for line in found]
    found, haystacks = list(known.lines), list(known.haystacks)
    last, then = state.last, known.state.last
    for place, target in enumerate(state.targets):
        if last.get(target.target) is not then.get(target.target):
            found[place] = line_of(state, target)
            haystacks[place] = _haystack(found[place])
    return found, haystacks


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


def passing(data: CampaignData, text: str) -> list[int]:
    """Return the places of the targets that pass a filter: words and `key:value`, `-` or `!` negates."""
    found: Sequence[int] = range(len(data.lines))
    for word in text.lower().split():
        negated = word[0] in "-!" and not word.startswith("--")
        term = word[1:] if negated else word
        key, colon, value = term.partition(":")
        if colon and key in KEYS:
            if value:
                told = KEYS[key]
                found = [
                    place for place in found if told(data.lines[place]).lower().startswith(value) != negated
                ]
        elif term:
            found = [place for place in found if (term in data.haystacks[place]) != negated]
    return list(found)


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
    "name": lambda line: (line.group.lower(), line.name.lower(), line.origin),
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


def arranged(
    data: CampaignData, places: Sequence[int], order: str, folded: bool, opened: frozenset[str]
) -> list[Entry]:
    """Return the rows for targets in an order; `folded` puts them below the headings of their stories."""
    key = ORDERS[order]
    chosen = sorted(places, key=lambda place: key(data.lines[place])) if key is not None else list(places)
    if not folded:
        return [Entry(place) for place in chosen]
    groups: dict[str, list[int]] = {}
    for place in chosen:
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
    try:
        began = datetime.fromisoformat(campaign.started)
        passed = ((now or datetime.now(began.tzinfo)) - began).total_seconds()
    except (ValueError, OverflowError, TypeError):
        return ""
    if passed <= 0:
        return ""
    left = counted.targets - sum(
        number for name, number in counted.standings.items() if name not in ("waiting", "running")
    )
    rate = counted.done / passed
    return f"{rate * 60:.1f} a minute, about {_long(left / rate)} left" if left > 0 else ""


def _long(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
