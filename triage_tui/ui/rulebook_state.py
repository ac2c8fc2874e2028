"""What the sheet of a target's rules shows, read at once: in a thread, because files are hashed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import manifest, statistics
from triage_tui.rulebook.check.change_words import lines_of
from triage_tui.rulebook.check.rule_changes import compare_sets
from triage_tui.rulebook.generation_list import ListedGeneration, listed
from triage_tui.rulebook.layers import LayeredRule, layered
from triage_tui.rulebook.manifest import Generation
from triage_tui.rulebook.packs.imported import Kept, all_kept
from triage_tui.rulebook.places import SHARED, shared_directory, target_directory
from triage_tui.rulebook.statistics import RuleTotals
from triage_tui.sfemu import rules_dir

if TYPE_CHECKING:
    from triage_tui.sfemu.lookup import Looked


class RulebookState(msgspec.Struct, frozen=True):
    """The rules of one target: who wins, what was active when, what it did, and what could be proposed."""

    target: str
    layers: list[LayeredRule] = msgspec.field(default_factory=list)
    trouble: str = ""
    """Why the rules in force cannot be told."""
    generations: list[ListedGeneration] = msgspec.field(default_factory=list)
    shared: list[ListedGeneration] = msgspec.field(default_factory=list)
    totals: Mapping[str, RuleTotals] = msgspec.field(default_factory=dict)
    packs: list[Kept] = msgspec.field(default_factory=list)
    sfemu: Looked | None = None
    """What SFEmu finds in its rule directory, None for a target of ours."""

    def of(self, target: str) -> list[ListedGeneration]:
        """Return the generations of the target, or those that all share ("shared")."""
        return self.shared if target == SHARED else self.generations

    def generation(self, target: str, number: int) -> ListedGeneration | None:
        """Return one of them, None for 0 and for what is not there."""
        return next((one for one in self.of(target) if one.made.number == number), None)

    def active(self, target: str) -> int:
        """Return the number of the active one, 0 for none."""
        return next((one.made.number for one in self.of(target) if one.active), 0)


def read_rulebook(workspace: Path, target: str) -> RulebookState:
    """Read everything about the rules of a target; what cannot be read is told in `trouble`."""
    rulebook = workspace / "rulebook"
    rules: list[LayeredRule] = []
    totals: dict[str, RuleTotals] = {}
    trouble = ""
    try:
        rules = layered(rulebook, target)
        totals = statistics.totals(statistics.uses(rulebook, target))
    except TriageError as error:
        trouble = str(error)
    return RulebookState(
        target,
        rules,
        trouble,
        listed(target_directory(rulebook, target)),
        listed(shared_directory(rulebook)),
        totals,
        all_kept(rulebook),
        _looked_at(workspace, target),
    )


def _looked_at(workspace: Path, target: str) -> Looked | None:
    if workspace.name != rules_dir.HOME:
        return None
    from triage_tui.sfemu.lookup import looked_at

    return looked_at(workspace, target)


def differences(old: Generation | None, new: Generation | None) -> list[str]:
    """Return how two generations differ, by meaning first, as lines that are safe to show; None is no rule.

    Raises:
        TriageError: a file of one cannot be read.
    """
    lines: list[str] = []
    for change in compare_sets(_texts(old), _texts(new)):
        if change.kind != "same":
            lines += [*lines_of(change, text=True), ""]
    return lines


def _texts(made: Generation | None) -> dict[str, bytes]:
    return {name: manifest.read_file(made, name) for name in made.files} if made is not None else {}
