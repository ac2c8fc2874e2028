"""Stories: runs of the same target that stopped for the same cause, folded into one row; and their order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary

Story = tuple[str, ...]
"""What the runs of one story have in common."""


class Entry(NamedTuple):
    """One row of the list of runs."""

    run: RunSummary
    folded: int = 0
    """Runs of the same story that are not shown."""
    size: int = 1
    """Runs of the story."""
    inside: bool = False
    """Whether it stands below another run of its story."""


def story_of(run: RunSummary) -> Story:
    """Return the story of a run; one that is wrong, or not of this version, is a story of its own."""
    if run.problem is not None or run.form != "run":
        return (run.run_id,)
    target = (run.target_id,) if run.target_id else (run.program, *run.argv[1:])
    return (run.cause, *target)


def group(
    runs: Iterable[RunSummary], story: Callable[[RunSummary], Story] = story_of
) -> dict[Story, list[RunSummary]]:
    """Return the runs of each story in the order of the list; `story` tells the story of a run."""
    stories: dict[Story, list[RunSummary]] = {}
    for run in runs:
        stories.setdefault(story(run), []).append(run)
    return stories


def fold(stories: Mapping[Story, list[RunSummary]], opened: Collection[Story]) -> list[Entry]:
    """Return the rows for the runs of stories; stories that are not `opened` take one row.

    Each story stands where its first run does. A run that waits for a person is never folded away.
    """
    rows: list[Entry] = []
    for name, members in stories.items():
        if len(members) == 1:
            rows.append(Entry(members[0]))
            continue
        first, *others = members
        shown = others if name in opened else [run for run in others if run.waiting]
        rows.append(Entry(first, len(others) - len(shown), len(members)))
        rows += [Entry(run, 0, len(members), True) for run in shown]
    return rows


ORDERS: dict[str, Callable[[RunSummary], Any] | None] = {
    "newest": None,
    "target": lambda run: (not run.program, run.name.lower(), run.argv),
    "cause": lambda run: (not run.cause, run.cause, -run.confidence),
    "state": lambda run: run.state,
    "least sure": lambda run: (not run.cause, run.confidence),
}
"""Orders of the list by name; runs that are equal in it are newest first."""


def ordered(runs: Sequence[RunSummary], order: str = "newest") -> list[RunSummary]:
    """Return runs that wait for a person first, then those of the same order newest first.

    What is no run comes last in every order.
    """
    found = sorted(runs, key=attrgetter("run_id"), reverse=True)
    if (key := ORDERS[order]) is not None:
        found.sort(key=key)
    found.sort(key=lambda run: (not run.waiting) + 2 * (run.form == "misnamed"))
    return found
