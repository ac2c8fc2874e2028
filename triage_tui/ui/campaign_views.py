"""The views of the campaign screen as rows: which there are, what each shows, and where the cursor is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from triage_tui.ui.campaign_data import (
    ORDERS,
    CampaignData,
    Entry,
    arranged,
    fitting,
    heading_of,
    ordered,
    passing,
)
from triage_tui.ui.campaign_rows import (
    NO_CAUSE,
    What,
    compared_row,
    compared_summary,
    gain_rows,
    rule_head,
    rule_row,
    story_head,
    story_row,
    target_head,
    target_row,
)
from triage_tui.ui.rows import ListRows, MadeRows, Row, Rows

if TYPE_CHECKING:
    from triage_tui.campaign.report import TargetLine

VIEWS = (
    ("targets", "Targets"),
    ("stories", "Stories"),
    ("rules", "Rules"),
    ("next", "Next"),
    ("compared", "Compared"),
)
"""The views in the order of their keys: name, title."""
_HEADS = {"targets": target_head, "stories": story_head, "rules": rule_head}


class Step(NamedTuple):
    """Where somebody was before something was opened, to come back to."""

    view: str
    what: What | None
    only: frozenset[str] | None
    title: str


class CampaignPlace:
    """How somebody looks at campaigns; kept while the sheet is closed."""

    def __init__(self) -> None:
        self.campaign = ""
        self.view = "targets"
        self.filter = ""
        self.order = next(iter(ORDERS))
        self.folded = False
        """Whether targets stand below the causes for which they stopped."""
        self.opened: frozenset[str] = frozenset()
        """The stories whose targets are shown while they are folded."""
        self.what: What | None = None
        """What the cursor is on."""
        self.only: frozenset[str] | None = None
        """The targets that are shown: those behind what was opened, None for all."""
        self.title = ""
        """What these have in common."""
        self.trail: list[Step] = []
        self.compare = ""
        """The campaign that somebody chose to hold it against."""
        self._passed: tuple[CampaignData, str, frozenset[str] | None, Sequence[int]] | None = None

    def shown(self, data: CampaignData) -> Sequence[int]:
        """Return the places of the targets that pass the filter, and lie behind what was opened."""
        known = self._passed
        if known is None or known[0] is not data or known[1:3] != (self.filter, self.only):
            found = passing(data, self.filter)
            if self.only is not None:
                among = {data.places[name] for name in self.only if name in data.places}
                found = [one for one in found if one in among]
            known = self._passed = (data, self.filter, self.only, found)
        return known[3]

    def look_at(self, campaign: str) -> None:
        """Go to another campaign: what was opened in the one before is not there."""
        if campaign != self.campaign:
            self.campaign, self.compare = campaign, ""
            self.what, self.only, self.title, self.trail = None, None, "", []

    def turn_to(self, view: str) -> None:
        """Go to another view."""
        if view != self.view:
            self.view, self.what = view, None
            if view != "targets":
                self.only, self.title, self.trail = None, "", []

    def drill(self, what: What, targets: Sequence[str], title: str) -> None:
        """Show the targets behind a story, a rule or a step."""
        self.trail.append(Step(self.view, what, self.only, self.title))
        self.view, self.what, self.filter, self.folded = "targets", None, "", False
        self.only, self.title = frozenset(targets), title

    def return_(self) -> None:
        """Go back to where that was opened."""
        self.view, self.what, self.only, self.title = self.trail.pop()
        self.filter = ""


class HeadedRows(Rows):
    """Rows of which those at the top are laid out whole, and the others made when they are drawn."""

    def __init__(self, head: Callable[[int], list[Row]], made: MadeRows) -> None:
        self._head, self._made = ListRows(head), made

    def layout(self, width: int) -> None:
        """Lay out both."""
        self._head.layout(width)
        self._made.layout(width)

    def __len__(self) -> int:
        return len(self._head) + len(self._made)

    def row(self, index: int) -> Row:
        """Return a row of the one or the other."""
        top = len(self._head)
        return self._head.row(index) if index < top else self._made.row(index - top)


def columns(view: str, width: int) -> str:
    """Return the names of the columns of a view, "" for one without."""
    return _HEADS[view](width) if view in _HEADS else ""


def rows_of(data: CampaignData, place: CampaignPlace, width: int) -> tuple[Rows, int]:
    """Return the rows of the view that is chosen, `width` cells wide, and the row of the cursor."""
    match place.view:
        case "stories":
            fits = fitting(data, place.filter)
            stories = [
                one for one in data.statistics.stories if fits(one.targets, one.key or NO_CAUSE, one.headline)
            ]
            made = MadeRows(len(stories), lambda index, width: story_row(stories[index], width))
            return made, _at(place, [one.key for one in stories])
        case "rules":
            fits = fitting(data, place.filter)
            rules = [
                (number, one)
                for number, one in enumerate(data.statistics.rules)
                if fits(one.tried, one.title, one.template)
            ]
            made = MadeRows(
                len(rules), lambda index, width: rule_row(rules[index][1], width, rules[index][0])
            )
            return made, _at(place, [one.title for _, one in rules])
        case "next":
            return _next_rows(data, place, width)
        case "compared":
            return _compared_rows(data, place, width)
        case _:
            return _target_rows(data, place)


def behind(data: CampaignData, place: CampaignPlace, what: What) -> Sequence[str]:
    """Return the targets behind a row."""
    match what.kind:
        case "story" if place.view == "targets":
            shown = (data.lines[one] for one in place.shown(data))
            return [line.target for line in shown if heading_of(line) == what.key]
        case "story":
            return next((one.targets for one in data.statistics.stories if one.key == what.key), [])
        case "rule":
            return data.statistics.rules[what.place].tried
        case "gain":
            return data.gains[what.place].targets
        case _:
            return [what.key]


def last_run(line: TargetLine) -> str:
    """Return the last run of a target, "" where it has none."""
    return line.runs[-1] if line.runs else ""


def _target_rows(data: CampaignData, place: CampaignPlace) -> tuple[Rows, int]:
    what, chosen = place.what, ordered(data, place.shown(data), place.order)
    kept = data.places.get(what.key, -1) if what is not None and what.kind == "target" else -1
    if not place.folded:
        # Of ten thousand only those that are seen are made.
        made = MadeRows(len(chosen), lambda index, width: target_row(data, Entry(chosen[index]), width))
        return made, chosen.index(kept) if kept in chosen else 0
    entries = arranged(data, chosen, place.opened)
    made = MadeRows(len(entries), lambda index, width: target_row(data, entries[index], width))
    if what is None:
        return made, 0
    return made, next((n for n, one in enumerate(entries) if _is_it(one, what, kept)), 0)


def _is_it(entry: Entry, what: What, kept: int) -> bool:
    if entry.place >= 0:
        return entry.place == kept
    return what.kind == "story" and entry.heading == what.key


def _next_rows(data: CampaignData, place: CampaignPlace, width: int) -> tuple[Rows, int]:
    fits = fitting(data, place.filter)
    steps = [(number, one) for number, one in enumerate(data.gains) if fits(one.targets, one.says, *one.how)]
    rows = ListRows(lambda width: gain_rows(data, steps, width))
    if place.what is None:
        return rows, 0
    rows.layout(width)
    key = place.what.key
    return rows, rows.find(lambda row: isinstance(row.target, What) and row.target.key == key) or 0


def _compared_rows(data: CampaignData, place: CampaignPlace, width: int) -> tuple[Rows, int]:
    found = data.comparison
    if found is None:
        return Rows(), 0
    fits = fitting(data, place.filter)
    changed = [
        (number, one)
        for number, one in enumerate(found.targets)
        if one.change != "same" and fits((one.after,), one.name, one.group, one.change, one.was, one.now)
    ]
    made = MadeRows(
        len(changed), lambda index, width: compared_row(changed[index][1], width, changed[index][0])
    )
    none = bool(place.filter) and not changed
    rows = HeadedRows(lambda width: compared_summary(found, width, none_passes=none), made)
    keys = [one.after or one.before for _, one in changed]
    if place.what is None or place.what.key not in keys:
        return rows, 0
    rows.layout(width)
    return rows, len(rows) - len(made) + keys.index(place.what.key)


def _at(place: CampaignPlace, keys: Sequence[str]) -> int:
    return keys.index(place.what.key) if place.what is not None and place.what.key in keys else 0
