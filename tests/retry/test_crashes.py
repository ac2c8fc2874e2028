"""Every decision, killed at every step: the next program finds exactly the old or the new state."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.killing import Kill, carried_out
from tests.retry.decisions import (
    CALLS,
    FILES,
    TARGET,
    actions,
    check_nothing_left,
    copied,
    found,
    memory_directory,
    text_of,
    workspace_at,
)
from tests.runs.build import write_run
from triage_tui.errors import Conflict
from triage_tui.resources import recorded_runs
from triage_tui.retry import pending
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.inspecting.rediagnose import rediagnose
from triage_tui.retry.pending import APPROVE_STEPS, EDIT_STEPS, JUDGE_STEPS, MOVE_STEPS, ROLLBACK_STEPS, Step
from triage_tui.retry.pending_model import PENDING_DIR
from triage_tui.retry.record import PROPOSE_STEPS, explain
from triage_tui.retry.rounds.judged import keep_verdict
from triage_tui.retry.rules import proposed
from triage_tui.retry.settling import settle
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, statistics
from triage_tui.runs.events import EVENTS_FILE, this_process
from triage_tui.runs.model import RuleHit
from triage_tui.runs.verdict_model import Figures, Verdict

Decide = Callable[[Path, str, Step], object]


def prepared(root: Path) -> str:
    """A workspace with two generations behind it, an edit, and something dropped."""
    run_id = workspace_at(root)
    ann = actions(root)
    ann.approve(run_id, [FILES[0]])
    ann.save_edit(run_id, FILES[0], text_of(CALLS[0], 1).decode())
    ann.approve(run_id, list(FILES[:2]))
    ann.drop(run_id, [FILES[2]], "too broad")
    return run_id


def approve(root: Path, run_id: str, step: Step) -> object:
    return LocalActions(Workspace.at(root), "bob", step).approve(run_id, [FILES[2]])


def roll_back(root: Path, run_id: str, step: Step) -> object:
    return LocalActions(Workspace.at(root), "bob", step).rollback(run_id)


def go_back(root: Path, run_id: str, step: Step) -> object:
    return LocalActions(Workspace.at(root), "bob", step).go_to_generation(TARGET, 1, "worked")


def reject(root: Path, run_id: str, step: Step) -> object:
    return LocalActions(Workspace.at(root), "bob", step).reject(run_id, "no")


def edit(root: Path, run_id: str, step: Step) -> object:
    text = text_of(CALLS[2], 5).decode()
    return LocalActions(Workspace.at(root), "bob", step).save_edit(run_id, FILES[2], text)


def start_retry(root: Path, run_id: str, step: Step) -> object:
    run = Workspace.at(root).load(run_id)
    return pending.decided(root, run, "retry_started", this_process(), "bob", step)


DECISIONS: dict[str, tuple[Decide, tuple[str, ...]]] = {
    "approve": (approve, APPROVE_STEPS),
    "roll_back": (roll_back, ROLLBACK_STEPS),
    "go_back": (go_back, MOVE_STEPS),
    "edit": (edit, EDIT_STEPS),
    "reject": (reject, ("begun", "rejected", "noted", "ended")),
    "retry": (start_retry, ("begun", "retry_started", "noted", "ended")),
}


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a rule starts a process, before anything of a decision is on disk."""
    for check in ("first_error", "check_rule"):
        monkeypatch.setattr(proposed, check, lambda *_: None)


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[Path, str]]:
    with memory_directory() as directory:
        yield directory / "template", prepared(directory / "template")


@pytest.fixture
def place() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


@pytest.mark.parametrize("name", DECISIONS)
def test_a_kill_at_any_step_leaves_the_old_or_the_new_state(
    template: tuple[Path, str], place: Path, name: str
) -> None:
    decide, steps = DECISIONS[name]
    kept, run_id = template
    reached: list[str] = []
    whole = copied(kept, place / "whole")
    old = found(whole, run_id)
    decide(whole, run_id, reached.append)
    new = found(whole, run_id) if name != "retry" else None
    assert tuple(reached) == steps
    check_nothing_left(whole)
    sides = []
    for step in steps:
        root = copied(kept, place / step)
        ended, _ = carried_out(partial(decide, root, run_id), Kill(step=step))
        assert ended == "killed", step
        now = found(root, run_id)
        if new is None:
            # The process that retries is gone, and that is said.
            assert now.state in (old.state, "needs_person")
            sides.append(now.state == "needs_person")
        else:
            assert now in (old, new), step
            sides.append(now == new)
        check_nothing_left(root)
        # Decisions go on as if nothing had happened.
        actions(root).save_edit(run_id, FILES[0], text_of(CALLS[0], 7).decode())
        check_nothing_left(root)
    assert sides == sorted(sides)
    assert (sides[0], sides[-1]) == (False, True)


def judge(root: Path, run_id: str, step: Step) -> None:
    workspace = Workspace.at(root)
    run_dir = next(path for path in workspace.runs_dir.iterdir() if path.name != run_id)
    figures = Figures(run_id="r", reason="exit")
    verdict = Verdict(word="progressed", rung="passed", reasons=["r"], before=figures, after=figures)
    keep_verdict(workspace, workspace.load(run_id), workspace.load(run_dir.name), verdict, step)


def test_a_killed_judge_is_finished_by_the_next_program(template: tuple[Path, str], place: Path) -> None:
    kept, run_id = template
    kept = copied(kept, place / "kept")
    hit = RuleHit(rule="openat-1", hits=2, calls=3, matches=2, sha256="a" * 64)
    write_run(kept / "ai_runs", rule_hits=[hit], parent_run=run_id)
    reached: list[str] = []
    judge(copied(kept, place / "whole"), run_id, reached.append)
    assert tuple(reached) == JUDGE_STEPS
    states = []
    for step in JUDGE_STEPS:
        root = copied(kept, place / step)
        assert carried_out(partial(judge, root, run_id), Kill(step=step))[0] == "killed"
        states.append(found(root, run_id).state)
        check_nothing_left(root)
        counted = statistics.totals(statistics.uses(root / "rulebook"))
        figures = [(one.runs, one.helped, one.hits) for one in counted.values()]
        # Once, however it went on.
        assert figures == ([(1, 1, 2)] if states[-1] == "progressed" else []), step
    assert states == ["applied", *["progressed"] * (len(JUDGE_STEPS) - 1)]


def test_a_kill_before_a_change_of_the_disk_leaves_the_old_or_the_new_state(
    template: tuple[Path, str], place: Path
) -> None:
    kept, run_id = template
    old = found(copied(kept, place / "old"), run_id)
    whole = copied(kept, place / "whole")
    approve(whole, run_id, pending.no_step)
    new = found(whole, run_id)
    number, sides = 0, []
    while True:
        root = copied(kept, place / "killed")
        ended, _ = carried_out(partial(approve, root, run_id), Kill(change=number))
        now = found(root, run_id)
        assert now in (old, new), number
        check_nothing_left(root)
        shutil.rmtree(root)
        sides.append(now == new)
        if ended == "done":
            break
        number += 3  # `benchmarks.rule_safety` meets the others.
    assert number > 40
    assert sides == sorted(sides)


@pytest.mark.parametrize("name", ["approve", "roll_back", "go_back", "edit", "reject"])
def test_a_disk_without_room_leaves_the_old_state_and_says_so(
    template: tuple[Path, str], place: Path, name: str
) -> None:
    """RLIMIT_FSIZE fails the write that goes beyond it, wherever in a file that is."""
    decide, _ = DECISIONS[name]
    kept, run_id = template
    old = found(copied(kept, place / "old"), run_id)
    log = (kept / "ai_runs" / run_id / EVENTS_FILE).stat().st_size
    audit = (kept / "rulebook/.audit/log.jsonl").stat().st_size
    ends = set()
    for limit in (0, 40, 90, 300, 700, log + 20, log + 330, audit + 100, audit + 420, audit + 5000):

        def limited(at: Step, limit: int = limit, root: Path = place / f"{limit}") -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            decide(root, run_id, at)

        root = copied(kept, place / f"{limit}")
        ended, said = carried_out(limited)
        ends.add(ended)
        now = found(root, run_id)
        if ended == "refused":
            assert "File too large" in said or "No space left" in said
            assert now == old, (limit, said)
        else:
            assert now != old
        check_nothing_left(root)
    assert ends == {"done", "refused"}


def test_a_full_disk_leaves_the_old_state_and_says_so(tmp_path: Path) -> None:
    """On a real small file system, with room for nothing, one page, two pages, and so on."""
    # A guest needs such a name space too; root may do without one of its own for users.
    command = ["unshare", "--map-root-user", "--mount"]
    if os.geteuid() == 0 and subprocess.run([*command, "true"], capture_output=True).returncode:
        command.remove("--map-root-user")
    script = [sys.executable, "-m", "tests.retry.full_disk", str(tmp_path)]
    done = subprocess.run([*command, *script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert min(told["ends"]["refused"], told["ends"]["done"]) > 3


def test_of_two_programs_that_decide_one_wins_and_the_other_is_told(
    template: tuple[Path, str], place: Path
) -> None:
    root, run_id = copied(template[0], place / "w"), template[1]
    ann, bob = actions(root, "ann"), actions(root, "bob")
    # Bob's program looked before, and acts after Ann's.
    bob_looked = Workspace.at(root).load(run_id)

    def between(name: str) -> None:
        if name == "begun" and not told:
            told.append(name)
            ann.approve(run_id, [FILES[2]])

    told: list[str] = []
    with pytest.raises(Conflict, match=r"ann approved rules of run .* in this very moment"):
        LocalActions(Workspace.at(root), "bob", between).approve(bob_looked.run_id, [FILES[2]])
    assert found(root, run_id).state == "applied"
    assert found(root, run_id).generation == 3
    with pytest.raises(Conflict, match="active already"):
        bob.approve(run_id, [FILES[2]])
    check_nothing_left(root)


def test_a_decision_under_way_is_left_alone(template: tuple[Path, str], place: Path) -> None:
    root, run_id = copied(template[0], place / "w"), template[1]
    old = found(root, run_id)
    seen: list[object] = []

    def look(name: str) -> None:
        if name == "approved":
            # Another program begins while this one has approved, and not yet activated.
            seen.append(carried_out(lambda _at: settle(root)))
            seen.append(Workspace.at(root).load(run_id).state)

    LocalActions(Workspace.at(root), "ann", look).approve(run_id, [FILES[2]])
    assert seen == [("done", ""), "approved"]
    assert found(root, run_id).generation == old.generation + 1
    check_nothing_left(root)


@pytest.mark.parametrize(
    "planted",
    [
        b"",
        b"{",
        b"[" * 10000,
        b'{"kind":"approve","change":"0000000000000001","run":"../../x","target":"../..","actor":"a"}',
        b'{"kind":"edit","change":"0000000000000001","run":"%s","target":"x-1","actor":"a","file":"../../x",'
        b'"sha256":"00"}',
        b'{"kind":"approve","change":"0000000000000009","run":"%s","target":"x-1","actor":"a"}',
    ],
)
def test_planted_decisions_do_nothing(template: tuple[Path, str], place: Path, planted: bytes) -> None:
    root, run_id = copied(template[0], place / "w"), template[1]
    old = found(root, run_id)
    directory = root / "rulebook" / PENDING_DIR
    (directory / "0000000000000001.json").write_bytes(planted.replace(b"%s", run_id.encode()))
    (directory / "link.json").symlink_to(place / "elsewhere")
    os.mkfifo(directory / "fifo.json")
    assert found(root, run_id) == old
    assert not (place / "elsewhere").exists()
    assert sorted(path.name for path in place.iterdir()) == ["w"]


def test_a_kill_while_rules_are_proposed_is_made_good_by_diagnosing_again(place: Path) -> None:
    recorded = next(
        path
        for path in recorded_runs()
        if (path / "rules_patch").is_dir() and (path / "events.jsonl").is_file()
    )
    plain = place / "plain" / "ai_runs" / recorded.name
    shutil.copytree(
        recorded, plain, ignore=shutil.ignore_patterns("events.jsonl", "rules_patch", "diagnosis.*")
    )
    whole = copied(place / "plain", place / "whole") / "ai_runs" / recorded.name
    reached: list[str] = []
    run = explain(whole, reached.append)
    assert tuple(reached) == PROPOSE_STEPS
    assert run.state == "proposed"
    for step in PROPOSE_STEPS:
        killed = copied(place / "plain", place / step) / "ai_runs" / recorded.name
        ended, _ = carried_out(partial(explain, killed), Kill(step=step))
        assert ended == "killed"
        after = rediagnose(killed, None)
        assert after.state == "proposed"
        assert after.patch_files() == run.patch_files()
        for name in run.patch_files():
            assert (killed / "rules_patch" / name).read_bytes() == (whole / "rules_patch" / name).read_bytes()
    assert generations.current(place / "plain" / "rulebook" / TARGET) is None
