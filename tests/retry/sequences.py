"""Random sequences of decisions on the rules of one target, with kills, held against a model.

After each decision another program begins, and must find exactly the state before it or after it: the bytes
of every active and proposed rule by SHA-256, which generation is active, logs that are whole, nothing left
over. Every approval that took place is rolled back, and must leave the bytes that were there before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from hypothesis import strategies as st

from tests.killing import NEVER, Kill, carried_out
from tests.retry.decisions import CALLS, FILES, TARGET, Found, check_nothing_left, found, text_of
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.pending import APPROVE_STEPS, EDIT_STEPS, MOVE_STEPS, ROLLBACK_STEPS, Step
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations

Kind = Literal["approve", "roll_back", "go", "edit", "reject", "drop"]
LONGEST = 8
"""Decisions of one sequence."""
_STEPS = sorted({*APPROVE_STEPS, *ROLLBACK_STEPS, *MOVE_STEPS, *EDIT_STEPS, "rejected", "dropped", "noted"})


class Decision(NamedTuple):
    """One decision: on which files, with which variant of their texts, and when it is killed."""

    kind: Kind
    files: tuple[int, ...]
    variant: int
    kill: Kill


kills = st.one_of(
    st.just(NEVER),
    st.sampled_from(_STEPS).map(lambda step: Kill(step=step)),
    st.integers(0, 80).map(lambda change: Kill(change=change)),
)
decisions = st.builds(
    Decision,
    kind=st.sampled_from(
        ["approve", "approve", "approve", "roll_back", "go", "go", "edit", "edit", "reject", "drop"]
    ),
    files=st.lists(st.integers(0, len(FILES) - 1), min_size=1, max_size=3, unique=True).map(tuple),
    variant=st.integers(0, 5),
    kill=kills,
)
approvals = decisions.map(lambda one: one._replace(kind="approve"))
sequences = st.builds(
    lambda first, others, last: [first, *others, last._replace(kill=NEVER)],
    approvals,
    st.lists(decisions, max_size=LONGEST - 2),
    approvals,
)
"""The last approval is never killed, so that in every sequence something is applied and rolled back."""


@dataclass
class Counted:
    """What was played."""

    sequences: int = 0
    decisions: int = 0
    killed: int = 0
    took_place_when_killed: int = 0
    identities: int = 0
    """Approvals that were rolled back, with the bytes from before found again."""


@dataclass
class Model:
    """What must be found: the contents of every generation, and which one was active before it."""

    proposed: list[bytes]
    contents: dict[int, dict[str, bytes]] = field(default_factory=lambda: {0: {}})
    parents: dict[int, int] = field(default_factory=dict)
    active: int = 0

    def approved(self, files: tuple[int, ...]) -> dict[str, bytes]:
        """Return the rules that are active once these files are approved."""
        more = {f"{CALLS[i]}@{CALLS[i]}-1.lua": self.proposed[i] for i in files}
        return {**self.contents[self.active], **more}


def play(root: Path, run_id: str, sequence: list[Decision], counted: Counted) -> None:
    """Play a sequence in a workspace that `workspace_at` made, then roll everything back.

    Raises:
        AssertionError: something else was found than the state before or after a decision.
    """
    model = Model([text_of(call) for call in CALLS])
    counted.sequences += 1
    for decision in sequence:
        _decide(root, run_id, decision, model, counted)
    while model.active:
        _roll_back_approval(root, run_id, NEVER, model, counted)
    assert found(root, run_id).active == {}
    check_nothing_left(root)


def _decide(root: Path, run_id: str, decision: Decision, model: Model, counted: Counted) -> None:
    before = found(root, run_id)
    _compare(before, model)
    ended, _ = carried_out(lambda step: _act(root, run_id, decision, step), decision.kill)
    counted.decisions += 1
    counted.killed += ended == "killed"
    after = found(root, run_id)
    check_nothing_left(root)
    if decision.kind == "approve":
        wanted = model.approved(decision.files)
        took_place = after.generation != before.generation
        if took_place:
            model.contents[after.generation] = wanted
            model.parents[after.generation] = model.active
            model.active = after.generation
    elif decision.kind == "roll_back":
        took_place = after.generation != before.generation
        if took_place:
            model.active = model.parents[model.active]
    elif decision.kind == "go":
        took_place = after.generation != before.generation
        if took_place:
            assert after.generation == _wanted(decision, model.contents)
            model.active = after.generation
    elif decision.kind == "edit":
        took_place = after.proposed != before.proposed
        if took_place:
            model.proposed[decision.files[0]] = text_of(CALLS[decision.files[0]], decision.variant)
    else:
        took_place = after.state != before.state
    _compare(after, model)
    assert after.state != "approved"
    if ended == "refused":
        assert after == before
    if ended == "killed":
        counted.took_place_when_killed += took_place
    if decision.kind == "approve" and ended == "done":
        assert took_place
    if decision.kind == "approve" and took_place and decision.variant % 2:
        _roll_back_approval(root, run_id, decision.kill, model, counted)


def _roll_back_approval(root: Path, run_id: str, kill: Kill, model: Model, counted: Counted) -> None:
    """Roll the active generation back, however often that is killed; the bytes from before must be back."""
    parent = model.parents[model.active]
    for attempt in (kill, NEVER):
        if found(root, run_id).generation != model.active:
            break
        ended, said = carried_out(lambda step: actions_of(root, step).rollback(run_id), attempt)
        assert ended != "refused", said
        counted.killed += ended == "killed"
        counted.decisions += 1
        found(root, run_id)
        check_nothing_left(root)
    model.active = parent
    _compare(found(root, run_id), model)
    counted.identities += 1


def _act(root: Path, run_id: str, decision: Decision, step: Step) -> None:
    ann = actions_of(root, step)
    names = [FILES[index] for index in decision.files]
    match decision.kind:
        case "approve":
            ann.approve(run_id, names)
        case "roll_back":
            ann.rollback(run_id)
        case "go":
            made = [one.number for one in generations.history(Workspace(root).rulebook_dir(TARGET))]
            ann.go_to_generation(TARGET, _wanted(decision, [0, *made]), "worked")
        case "edit":
            text = text_of(CALLS[decision.files[0]], decision.variant)
            ann.save_edit(run_id, names[0], text.decode())
        case "reject":
            ann.reject(run_id, "no")
        case "drop":
            ann.drop(run_id, names, "too broad")


def _wanted(decision: Decision, made: Iterable[int]) -> int:
    """Return the generation that a decision goes to, of those that there are."""
    numbers = sorted(made)
    return numbers[(decision.variant + len(decision.files)) % len(numbers)]


def actions_of(root: Path, step: Step) -> LocalActions:
    """Return the decisions of a program that begins now."""
    return LocalActions(Workspace.at(root), "ann", step)


def _compare(now: Found, model: Model) -> None:
    """Hold what is found against the model, byte for byte by SHA-256."""
    assert now.generation == model.active
    assert now.active == {name: _sha256(data) for name, data in model.contents[model.active].items()}
    assert list(now.proposed.values()) == [_sha256(data) for data in model.proposed]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
