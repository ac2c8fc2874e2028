"""Stories: runs of the same target that stopped for the same cause, folded into one row; score and order.

The target of a story is the place of the program and its arguments: another build in the same place is the
same target. Its cause is the signature that the diagnosis gave it, or the name of the cause in records
without one.

The score says which story to look at first, 0 to 100:

    score = 100 * severity * (0.4 + 0.2 * novelty + 0.2 * confidence + 0.2 * often)

- severity (0..1) multiplies, because nothing makes a healthy or mended program urgent: how far its newest run
  is from working. A fatal signal weighs most, then an exit, a loop, a wait; a failure that a rule got past
  still a little; one that is back although it was mended the most.
- novelty (0..1) is one by the number of stories with the same signature: what no other program shows is new,
  the tenth program without the same file is not.
- confidence (0..1) is that of the newest diagnosis: what is explained can be decided now.
- often (0..1) grows with the logarithm of the number of runs, and is 1 from 64 on: the second time tells
  more than the sixty-fifth.

0.4 is what a story of one run, of which nothing is known, is worth; the three others share the rest alike,
because none of them was found to matter more.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary

Story = str
"""Name of a story: 12 hexadecimal digits, the same for the same runs on every machine; the id of a run that
is a story of its own; "sfemu REASON"."""

SEVERITY = {
    "signal": 1.0,
    "emulator": 0.9,
    "exit": 0.8,
    "loop": 0.7,
    "sleep_loop": 0.6,
    "idle": 0.5,
    "time_limit": 0.4,
    "requested": 0.2,
    "syscall": 0.2,
}
"""How bad it is that a run stopped for a reason; 0.5 for any other."""
PASSED = 0.3
"""What is left of it where a rule got the program past the failure."""
OFTEN = 64
"""Runs from which a story is no more urgent for having been seen once more."""


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
    """Return the story of a run; one that is wrong, or not of this version, is a story of its own.

    Runs of SFEmu that were not taken in yet are of one story for each reason: more is not known of them.
    """
    if run.form == "sfemu" and run.problem is None:
        return f"sfemu {run.reason}"
    if run.problem is not None or run.form != "run":
        return run.run_id
    return run.story or story_name(run)


def story_name(run: RunSummary) -> Story:
    """Return the name of the story that a run is of by its cause and its target."""
    parts = (run.signature or run.cause, run.arch, run.rootfs, run.program, *run.argv[1:])
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


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


def severity(run: RunSummary) -> float:
    """Return how far a run is from working, 0..1."""
    if run.healthy or run.state == "resolved" or run.problem is not None or run.form != "run":
        return 0.0
    if run.reopened:
        return 1.0
    found = SEVERITY.get(run.reason, 0.5)
    return found * PASSED if run.state == "progressed" else found


def scores(stories: Mapping[Story, Sequence[RunSummary]]) -> dict[Story, int]:
    """Return the score of each story, 0..100, by the formula above."""
    alike = Counter(members[0].signature or members[0].cause for members in stories.values())
    found = {}
    for story, members in stories.items():
        newest = max(members, key=attrgetter("run_id"))
        often = min(1.0, math.log(len(members)) / math.log(OFTEN))
        weight = 0.4 + 0.2 / alike[newest.signature or newest.cause] + 0.2 * newest.confidence + 0.2 * often
        found[story] = round(100 * severity(newest) * weight)
    return found


def _by_score(runs: Sequence[RunSummary]) -> Callable[[RunSummary], Any]:
    """Return an order by score, the runs of a story together."""
    known = {run.run_id: story_of(run) for run in runs}
    stories = group(sorted(runs, key=attrgetter("run_id"), reverse=True), lambda run: known[run.run_id])
    found = scores(stories)
    # Of stories that count the same the one with the newest run is first.
    places = {story: (-found[story], place) for place, story in enumerate(stories)}
    return lambda run: places[known[run.run_id]]


ORDERS: dict[str, Callable[[RunSummary], Any] | None] = {
    "newest": None,
    "target": lambda run: (not run.program, run.name.lower(), run.argv),
    "cause": lambda run: (not run.cause, run.cause, -run.confidence),
    "state": lambda run: run.state,
    "least sure": lambda run: (not run.cause, run.confidence),
    "score": None,
}
"""Orders of the list by name; runs that are equal in it are newest first. The score depends on all runs."""


def ordered(runs: Sequence[RunSummary], order: str = "newest") -> list[RunSummary]:
    """Return runs that wait for a person first, then those of the same order newest first.

    What is no run comes last in every order.
    """
    found = sorted(runs, key=attrgetter("run_id"), reverse=True)
    if (key := _by_score(runs) if order == "score" else ORDERS[order]) is not None:
        found.sort(key=key)
    found.sort(key=lambda run: (not run.waiting) + 2 * (run.form == "misnamed"))
    return found
