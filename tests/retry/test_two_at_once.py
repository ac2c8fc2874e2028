"""Two people decide on one run in the same moment: one wins, the other is told, and nothing is lost."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.retry.decisions import FILES, check_nothing_left, copied, found, memory_directory, workspace_at
from tests.retry.decisions import text_of as rule
from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.pending import decided
from triage_tui.retry.rules import proposed
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import this_process
from triage_tui.runs.reader import Run

Deed = Callable[[LocalActions, str], str]

DEEDS: dict[str, Deed] = {
    "approve": lambda actions, run: actions.approve(run, [FILES[0]]),
    "approve another": lambda actions, run: actions.approve(run, [FILES[1]]),
    "reject": lambda actions, run: actions.reject(run, "too broad"),
    "edit": lambda actions, run: actions.save_edit(run, FILES[0], rule("openat", 3).decode()),
    "edit again": lambda actions, run: actions.save_edit(run, FILES[0], rule("openat", 4).decode()),
}


class Meeting(LocalActions):
    """Decisions that are carried out once the other one has looked at the run, too."""

    def __init__(self, root: Path, actor: str, met: threading.Barrier) -> None:
        super().__init__(Workspace.at(root), actor)
        self._met = met

    def _settled(self, run_id: str) -> Run:
        run = super()._settled(run_id)
        self._met.wait()
        return run


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[Path, str]]:
    with memory_directory() as directory:
        yield directory / "template", workspace_at(directory / "template")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("approve", "reject"),
        ("approve", "approve another"),
        ("approve", "edit"),
        ("edit", "edit again"),
        ("reject", "reject"),
        ("edit", "reject"),
    ],
)
def test_one_wins_and_the_other_is_told(
    template: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    # It starts a process, before anything is decided.
    monkeypatch.setattr(proposed, "check_rule", lambda *_: None)
    root, run_id = copied(template[0], template[0].parent / "w"), template[1]
    before = found(root, run_id)
    met = threading.Barrier(2, timeout=60)
    ended: dict[str, str] = {}

    def decide(actor: str, deed: str) -> None:
        try:
            DEEDS[deed](Meeting(root, actor, met), run_id)
            ended[actor] = "done"
        except Conflict as error:
            ended[actor] = str(error)

    people = [threading.Thread(target=decide, args=one) for one in (("ann", first), ("bob", second))]
    for person in people:
        person.start()
    for person in people:
        person.join()
    (winner,) = (actor for actor, how in ended.items() if how == "done")
    (loser,) = (actor for actor, how in ended.items() if how != "done")
    assert ended[loser].startswith(winner) or "is rejected by now" in ended[loser]
    assert "\n" not in ended[loser]
    after = found(root, run_id)
    kinds = {event.kind for event in Workspace.at(root).load(run_id).events if event.actor == loser}
    assert not kinds & {"approved", "activated", "rejected", "edited"}
    deed = first if winner == "ann" else second
    assert after.state == {"approve": "applied", "reject": "rejected", "edit": "proposed"}[deed.split()[0]]
    assert (after.proposed != before.proposed) == deed.startswith("edit")
    assert bool(after.active) == deed.startswith("approve")
    check_nothing_left(root)
    shutil.rmtree(root)


def test_nothing_is_rolled_back_while_a_retry_runs(template: tuple[Path, str]) -> None:
    root, run_id = copied(template[0], template[0].parent / "w"), template[1]
    ann, bob = (LocalActions(Workspace.at(root), actor) for actor in ("ann", "bob"))
    ann.approve(run_id, [FILES[0]])
    active = found(root, run_id).active
    decided(root, Workspace.at(root).load(run_id), "retry_started", this_process())
    with pytest.raises(Conflict, match="is being retried with these rules, so nothing was rolled back"):
        bob.rollback(run_id)
    with pytest.raises(Conflict, match="is retrying by now"):
        bob.approve(run_id, [FILES[1]])
    assert found(root, run_id).active == active
    shutil.rmtree(root)


@pytest.mark.parametrize("name", sorted(DEEDS))
def test_a_run_that_goes_meanwhile_is_one_sentence(template: tuple[Path, str], name: str) -> None:
    root, run_id = copied(template[0], template[0].parent / "w"), template[1]

    def removed(step: str) -> None:
        if step == "begun":
            shutil.rmtree(root / "ai_runs" / run_id)

    with pytest.raises(TriageError, match=r"nothing was decided: run .* cannot be opened") as told:
        DEEDS[name](LocalActions(Workspace.at(root), "ann", removed), run_id)
    assert "\n" not in str(told.value)
    assert not (root / "ai_runs" / run_id).exists()
    assert not list((root / "rulebook").glob("*/generations/*"))
    shutil.rmtree(root)
