"""Random sequences of rollouts with kills: what a rollout put somewhere is gone once it is stopped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.killing import NEVER, Kill, carried_out
from tests.retry.decisions import FILES, check_nothing_left, copied, hashes, memory_directory
from tests.retry.test_rollout import FIRST, SECOND, THIRD, workspace_with_targets
from triage_tui.retry import rollout as rolling
from triage_tui.retry.pending import Step
from triage_tui.retry.rollout import begin, promote, stop
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
    st.builds(Kill, step=st.sampled_from(rolling.ROLLOUT_STEPS)),
    st.builds(Kill, change=st.integers(0, 120)),
)
acts = st.builds(
    Act,
    kind=st.sampled_from(["begin", "promote", "promote", "promote", "stop", "roll_back"]),
    which=st.integers(0, 2),
    kill=kills,
)


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[Path, str]]:
    with memory_directory() as directory:
        yield directory / "template", workspace_with_targets(directory / "template")


def found_in(root: Path) -> dict[str, dict[str, str]]:
    """Begin a program, and look at the SHA-256 of every active rule, place by place."""
    Workspace.at(root)
    for name in PLACES:
        active = generations.current(root / "rulebook" / name)
        assert active is None or generations.verify(active) == []
    return {name: hashes(root / "rulebook" / name / "current") for name in PLACES}


def carry_out(root: Path, run_id: str, act: Act, step: Step) -> None:
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


@settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=st.lists(acts, min_size=3, max_size=9))
def test_stopping_every_rollout_leaves_none_of_their_rules(
    template: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, sequence: list[Act]
) -> None:
    monkeypatch.setattr(rolling, "check_named", lambda _w, rules, **_: {rule.name: [] for rule in rules})
    root = copied(template[0], template[0].parent / "played")
    first = found_in(root)
    try:
        rolled_back = False
        for act in [Act("begin", 0, NEVER), *sequence]:
            before = found_in(root)
            ended, _ = carried_out(partial(carry_out, root, template[1], act), act.kill)
            after = found_in(root)
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
        # A person may have rolled back to a generation that held them, or before their own rules.
        assert all(last[name].items() <= first[name].items() or rolled_back for name in PLACES)
        check_nothing_left(root)
    finally:
        shutil.rmtree(root)
