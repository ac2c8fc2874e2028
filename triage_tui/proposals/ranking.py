"""In which order the proposals for one cause stand, and why one stands before the next.

Likelier causes come first. For one cause the proposals are compared by one thing after the other, and the
first in which they differ counts:

1. what acts stands before what only watches; what can be approved as it is, before what needs a person;
2. what it gives the program (`Gives`): the real thing before what is made up, that before a masked failure;
3. its carrier, the cheapest first: a rule for a call, the table of a plugin, a setting of a new start;
4. its risk;
5. for how many recorded calls it is;
6. how it is undone: at once, with the next start, by hand.

What is alike in all of that keeps the order of the knowledge base. A template can say `after` which others it
stands, and why, where all of this would lead astray.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

import msgspec

from triage_tui.proposals.template_form import After, Gives, Undone
from triage_tui.rulebook.kinds import Kind, kind_of
from triage_tui.runs.diagnosis_model import Proposal, Risk

CARRIERS: tuple[Kind, ...] = ("syscall", "plugin", "start")
"""The kinds of rule files, the cheapest first: one call, many calls, another start of the program."""

GIVES_WORDS: dict[Gives, str] = {
    "real": "gives the program the real thing",
    "made": "makes the thing up, but it is there",
    "answer": "makes up what the thing would answer",
    "refusal": "refuses as the real thing could",
    "success": "only says that it worked",
}
CARRIER_WORDS: dict[Kind, str] = {
    "syscall": "a rule for calls",
    "plugin": "a table of a plugin",
    "start": "a setting of the start",
}
UNDONE_WORDS: dict[Undone, str] = {
    "at_once": "at once",
    "next_start": "with the next start",
    "by_hand": "by hand",
}


class Candidate(msgspec.Struct, frozen=True):
    """One proposal, and what counts for its place.

    `calls` is the number of recorded calls that it is for, 0 for a setting of the start; `after` names the
    templates that it stands behind.
    """

    proposal: Proposal
    gives: Gives
    undone: Undone
    calls: int = 0
    after: Sequence[After] = ()

    @property
    def carrier(self) -> Kind:
        """Its dearest rule file; what a person does by hand is a new start."""
        return max((kind_of(name) for name in self.proposal.files), key=CARRIERS.index, default="start")

    @property
    def _class(self) -> tuple[bool, bool]:
        return self.proposal.observe_only, bool(self.proposal.needs_input)

    @property
    def key(self) -> tuple[bool, bool, int, int, int, int, int]:
        """What is compared, in that order; less is better."""
        return (
            *self._class,
            get_args(Gives).index(self.gives),
            CARRIERS.index(self.carrier),
            get_args(Risk).index(self.proposal.risk),
            self.calls,
            get_args(Undone).index(self.undone),
        )

    def stands_after(self, other: Candidate) -> str | None:
        """Return why its template wants it behind another one, None where it does not."""
        if self._class != other._class:
            return None
        return next((one.because for one in self.after if other.proposal.template in one.templates), None)


def rank(candidates: Sequence[Candidate]) -> list[Proposal]:
    """Return the proposals for one cause in their order; each but the last says why it is before the next."""
    left = sorted(candidates, key=lambda one: one.key)
    order: list[Candidate] = []
    while left:
        free = (one for one in left if all(one.stands_after(other) is None for other in left))
        # Templates that want to stand behind each other stand as if they said nothing.
        first = next(free, left[0])
        left.remove(first)
        order.append(first)
    for one, other in pairwise(order):
        one.proposal.ranked = f"before “{other.proposal.title}”: {_why(one, other)}"
    return [one.proposal for one in order]


def _why(one: Candidate, other: Candidate) -> str:
    """Return in words in what a candidate is better than the next."""
    if (because := other.stands_after(one)) is not None:
        return because
    mine, its = one.proposal, other.proposal
    place = next(
        (place for place, pair in enumerate(zip(one.key, other.key, strict=True)) if len({*pair}) > 1), -1
    )
    match place:
        case 0:
            return "it acts, and the other only watches"
        case 1:
            return "it can be approved as it is, and the other needs something of a person"
        case 2:
            return f"it {GIVES_WORDS[one.gives]}; the other {GIVES_WORDS[other.gives]}"
        case 3:
            return f"{CARRIER_WORDS[one.carrier]} costs less than {CARRIER_WORDS[other.carrier]}"
        case 4:
            return f"its risk is {mine.risk}, and that of the other {its.risk}"
        case 5:
            return f"it is for {one.calls} recorded calls, and the other for {other.calls}"
        case 6:
            return f"it is undone {UNDONE_WORDS[one.undone]}, and the other {UNDONE_WORDS[other.undone]}"
        case _:
            return "they are alike, and the knowledge base names it first"
