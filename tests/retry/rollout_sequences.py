"""Random sequences of rollouts with kills: what they put somewhere is gone once every one is stopped."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from tests.killing import NEVER, Kill, carried_out
from tests.retry.decisions import FILES, check_nothing_left, hashes
from tests.retry.sequences import Counted
from tests.retry.test_rollout import FIRST, SECOND, THIRD
from triage_tui.retry.pending import Step
from triage_tui.retry.sharing import rollout as rolling
from triage_tui.retry.sharing.rollout import begin, promote, stop
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.rulebook.rollouts import record

PLACES = (FIRST, SECOND, THIRD, "shared")


class Act(NamedTuple):
    """One decision: on which of the rules or places, and when it is killed."""

    kind: str
    which: int
    kill: Kill


kills = st.one_of(
    st.just(NEVER),
    st.sampled_from(rolling.ROLLOUT_STEPS).map(lambda step: Kill(step=step)),
    st.integers(0, 120).map(lambda change: Kill(change=change)),
)
acts = st.builds(
    Act,
    kind=st.sampled_from(["begin", "promote", "promote", "promote", "stop", "roll_back"]),
    which=st.integers(0, 2),
    kill=kills,
)
rollout_sequences = st.lists(acts, min_size=3, max_size=9)


def found_in(root: Path) -> dict[str, dict[str, str]]:
    """Begin a program, and look at the SHA-256 of every active rule, place by place."""
    Workspace.at(root)
    for name in PLACES:
        active = generations.current(root / "rulebook" / name)
        assert active is None or generations.verify(active) == []
    return {name: hashes(root / "rulebook" / name / "current") for name in PLACES}


def carry_out(root: Path, run_id: str, act: Act, step: Step) -> None:
    """Decide."""
    workspace = Workspace.at(root)
    ids = record.rollout_ids(workspace.rulebook)
    name = ids[act.which % len(ids)] if ids else "none"
    match act.kind:
        case "begin":
            rule = f"{run_id}:{FILES[act.which]}"
            begin(workspace, rule, stage="one", group=[SECOND, THIRD], step=step)
        case "promote":
            promote(workspace, name, anyway="try", step=step)
        case "stop":
            stop(workspace, name, "no", step=step)
        case _:
            generations.rollback(root / "rulebook" / PLACES[act.which], actor="ann", step=step)


def play_rollouts(root: Path, run_id: str, sequence: list[Act], counted: Counted) -> None:
    """Play a sequence in a workspace that `workspace_with_targets` made, then stop every rollout.

    Raises:
        AssertionError: something is left of one, or a decision was refused and did something.
    """
    first = found_in(root)
    rolled_back = False
    counted.sequences += 1
    for act in [Act("begin", 0, NEVER), *sequence]:
        before = found_in(root)
        ended, _ = carried_out(partial(carry_out, root, run_id, act), act.kill)
        after = found_in(root)
        counted.decisions += 1
        counted.killed += ended == "killed"
        counted.took_place_when_killed += ended == "killed" and after != before
        rolled_back |= act.kind == "roll_back" and after != before
        if ended == "refused":
            assert after == before
        if act.kind != "roll_back" or ended != "killed":
            check_nothing_left(root)
    for one in record.rollout_ids(root / "rulebook"):
        if record.read(root / "rulebook", one).state != "stopped":
            stop(Workspace.at(root), one, "no")
    last = found_in(root)
    if not rolled_back:
        assert last == first
        counted.identities += 1
    # A person may have rolled back to a generation that held them, or before their own rules.
    assert all(last[name].items() <= first[name].items() or rolled_back for name in PLACES)
    check_nothing_left(root)
