"""A copy of a workspace's rules in which a trial runs: nothing that is done there acts anywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, layers
from triage_tui.rulebook.places import own_directories

ACTOR = "trial"
_WHY = "a trial, in a copy that is thrown away"


def scratch(workspace: Workspace, target_id: str, rules: Mapping[str, bytes], place: Path) -> Workspace:
    """Make `place` a workspace without runs, in which exactly `rules` are active for a target.

    A person's own files and what is shared by all targets act there as they do in `workspace`.

    Raises:
        TriageError: the rules cannot be read, one is none or is not filled in, or `place` cannot be written.
    """
    copy = Workspace(place)
    shared: dict[str, bytes] = {}
    for_target, for_all = own_directories(copy.rulebook, target_id)
    for one in layers.layered(workspace.rulebook, target_id):
        if one.layer == "shared":
            shared[one.name] = one.source
        elif one.layer == "own" and not one.problem:
            path = (for_all if one.for_all else for_target) / one.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.source)
    if shared:
        generations.activate(copy.shared_dir, add=shared, actor=ACTOR, reason=_WHY)
    if rules:
        generations.activate(copy.rulebook_dir(target_id), add=rules, actor=ACTOR, reason=_WHY)
    return copy
