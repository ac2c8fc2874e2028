"""Rollouts: stage by stage by written criteria, stopped where a retry goes worse, whole after every kill."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.killing import Kill, carried_out
from tests.retry.decisions import FILES, check_nothing_left, copied, memory_directory, text_of, workspace_at
from tests.runs.build import write_run
from triage_tui.cli.main import main
from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.rounds.policy import Limits
from triage_tui.retry.rules.expiry import expire
from triage_tui.retry.sharing import observing
from triage_tui.retry.sharing import rollout as rolling
from triage_tui.retry.sharing.retried_runs import newest_runs
from triage_tui.retry.sharing.rollout import begin, promote, stop
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, statistics
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.check import check
from triage_tui.rulebook.audit.log import read_log
from triage_tui.rulebook.check.replay import Replay
from triage_tui.rulebook.layers import in_force
from triage_tui.rulebook.rollouts import record
from triage_tui.rulebook.rollouts.criteria import CRITERIA_FILE, Criteria, StageCriteria, criteria
from triage_tui.rulebook.rollouts.observed import observed_entry
from triage_tui.rulebook.rollouts.record import Observed, Rollout
from triage_tui.rulebook.rollouts.standing import standing
from triage_tui.rulebook.rollouts.vouching import vouched
from triage_tui.rulebook.statistics import RuleUse, RunUse
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.model import RuleHit
from triage_tui.runs.writer import START_FILE

RULE = "syscall/openat@openat-1.lua"
FIRST, SECOND, THIRD = "x-1", "y-2", "z-3"
OTHER = "syscall/read@other.lua"

Rootfs = Callable[[str], Path]


def workspace_with_targets(root: Path) -> str:
    """A workspace with a run of the first target, and two more targets that have a rule each."""
    run_id = workspace_at(root)
    for target in (SECOND, THIRD):
        text = text_of("read").replace(b"read-1", b"other")
        generations.activate(root / "rulebook" / target, add={OTHER: text}, actor="ann", reason="r")
    return run_id


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # It starts the rule host, before anything of the decision is on disk.
    monkeypatch.setattr(rolling, "check_named", lambda _w, rules, **_: {rule.name: [] for rule in rules})
    with memory_directory() as place:
        yield place / "w"


def begun(root: Path, **more: object) -> tuple[Workspace, str]:
    run_id = workspace_with_targets(root)
    workspace = Workspace(root)
    begin(workspace, f"{run_id}:{FILES[0]}", group=[SECOND, THIRD], actor="ann", **more)  # type: ignore[arg-type]
    return workspace, run_id


def acts_in(root: Path) -> list[str]:
    """The directories of the rulebook in which the rule is active; every other rule must be as it was."""
    found = []
    for name in (FIRST, SECOND, THIRD, "shared"):
        active = generations.current(root / "rulebook" / name)
        files = dict(active.files) if active is not None else {}
        assert active is None or generations.verify(active) == []
        assert (OTHER in files) == (name in (SECOND, THIRD))
        if RULE in files:
            found.append(name)
    return found


def count(workspace: Workspace, found: Rollout, target: str, run: str, **more: object) -> None:
    """Count a judged retry in which the rule acted."""
    rule = {
        "rule": "openat-1",
        "sha256": found.sha256,
        "fresh": True,
        "calls": 2,
        "matches": 1,
        "hits": 1,
        **more,
    }
    verdict = rule.pop("verdict", "progressed")
    use = RunUse(run=run, wall="2099-01-01T00:00:00+00:00", verdict=str(verdict))
    use.rules = [msgspec.convert(rule, RuleUse)]
    statistics.count(workspace.rulebook, target, use)


def observe(workspace: Workspace, run: str, **more: object) -> Observed:
    """Keep an observation of the first target, with its line in the audit log."""
    now = record.read(workspace.rulebook, "openat-1")
    change = hashlib.sha256(run.encode()).hexdigest()[:16]
    seen = msgspec.convert({"run": run, "target": FIRST, "change": change, **more}, Observed)
    audit_log.append(workspace.rulebook, observed_entry(now, seen, observing.ROLLOUT_ACTOR))
    now.observed = [*now.observed, seen]
    record.write(workspace.rulebook, now)
    return seen


def kinds(workspace: Workspace) -> list[str]:
    return [line.entry.kind for line in read_log(workspace.rulebook)[0] if line.entry is not None]


# Stage by stage


def test_each_stage_needs_what_is_written_and_acts_where_it_says(root: Path) -> None:
    workspace, _ = begun(root)
    assert acts_in(root) == []
    with pytest.raises(TriageError, match="stays at 'observe': 0 of 1 runs at whose calls it was tried"):
        promote(workspace, "openat-1")
    observe(workspace, "r", calls=3, matched=1)
    now = record.read(workspace.rulebook, "openat-1")
    assert promote(workspace, "openat-1", actor="bob").stage == "one"
    assert acts_in(root) == [FIRST]

    with pytest.raises(TriageError, match="stays at 'one': 0 of 1 judged runs in which it acted"):
        promote(workspace, "openat-1")
    count(workspace, now, FIRST, "r1", verdict="sideways")
    with pytest.raises(TriageError, match="0 of 1 retries that got further"):
        promote(workspace, "openat-1")
    count(workspace, now, FIRST, "r2")
    promote(workspace, "openat-1")
    assert acts_in(root) == [FIRST, SECOND, THIRD]

    # What counted before does not count again.
    shifted = record.read(workspace.rulebook, "openat-1")
    shifted.since = "2099-01-02T00:00:00+00:00"
    assert standing(workspace.rulebook, shifted).runs == 0
    count(workspace, now, SECOND, "r3")
    promote(workspace, "openat-1")
    assert acts_in(root) == [FIRST, SECOND, THIRD, "shared"]
    assert promote(workspace, "openat-1").state == "done"
    assert [kind for kind in kinds(workspace) if kind not in ("activated", "proposed")] == [
        "rollout_started", "observed", "promoted", "promoted", "promoted", "rollout_done",
    ]  # fmt: skip
    assert check(workspace.rulebook, workspace.runs_dir).problems == []
    stop(workspace, "openat-1", "a newer one is better")
    assert acts_in(root) == []
    check_nothing_left(root)


def test_a_person_may_go_on_without_the_criteria_and_the_log_says_why(root: Path) -> None:
    workspace, _ = begun(root)
    promote(workspace, "openat-1", anyway="the device is here for a day", actor="ann")
    last = [line.entry for line in read_log(workspace.rulebook)[0] if line.entry is not None][-2]
    assert (last.kind, last.actor) == ("promoted", "ann")
    assert last.says.endswith("0 of 1 calls at which it would have acted: the device is here for a day")


def test_what_was_active_before_stays_when_a_rollout_stops(root: Path) -> None:
    run_id = workspace_with_targets(root)
    workspace = Workspace(root)
    generations.activate(root / "rulebook" / FIRST, add={RULE: text_of("openat")}, actor="ann", reason="r")
    now = begin(workspace, f"{run_id}:{FILES[0]}", stage="one", group=[SECOND])
    promote(workspace, "openat-1", anyway="try")
    assert acts_in(root) == [FIRST, SECOND]
    assert vouched(workspace.rulebook) == {(now.sha256, FIRST), (now.sha256, SECOND)}
    stop(workspace, "openat-1", "no")
    assert acts_in(root) == [FIRST]


def test_where_somebody_took_the_rule_back_a_rollout_does_not_put_it_again(root: Path) -> None:
    workspace, run_id = begun(root, stage="one", auto=True)
    now = promote(workspace, "openat-1", anyway="try")
    generations.rollback(root / "rulebook" / THIRD, 1, actor="ann", reason="it hurts my program")
    for target, run in ((FIRST, "r1"), (SECOND, "r2")):
        count(workspace, now, target, run)
    told: list[str] = []
    rolling.after_run(workspace, workspace.load(run_id), told.append)
    assert (told, acts_in(root)) == ([], [FIRST, SECOND])
    gone = "it does not act for target z-3 any more: it was rolled back, replaced or set aside"
    first, second = standing(workspace.rulebook, now).lacking
    assert (first, second.startswith("target z-3 took it back, and the shared rules would")) == (gone, True)
    with pytest.raises(TriageError, match=gone):
        promote(workspace, "openat-1")
    # The shared rules do not bring it back either.
    again = r"z-3 took it back, and .* own, rulebook/own/z-3/syscall/openat@openat-1.lua, switches it off"
    with pytest.raises(TriageError, match=again):
        promote(workspace, "openat-1", anyway="z-3 is old", actor="bob")
    assert acts_in(root) == [FIRST, SECOND]
    own = root / "rulebook/own/z-3" / RULE
    own.parent.mkdir(parents=True)
    own.write_bytes(b"function do_syscall() return 0, 0 end\n")
    after = promote(workspace, "openat-1", anyway="z-3 is old", actor="bob")
    acting = in_force(workspace.rulebook, THIRD)
    assert [rule.place for rule in acting if rule.name == RULE] == [f"own/z-3/{RULE}"]
    assert standing(workspace.rulebook, after).gone == []
    own.unlink()
    (told_so,) = standing(workspace.rulebook, after).gone
    assert told_so.startswith("target z-3 took it back, and the shared rules act there all the same")
    assert (after.left, acts_in(root)) == ([THIRD], [FIRST, SECOND, "shared"])
    generations.rollback(root / "rulebook/shared", 0, actor="ann", reason="not for all")
    count(workspace, after, FIRST, "r3")
    assert any("for all targets any more" in text for text in standing(workspace.rulebook, after).lacking)
    rolling.after_run(workspace, workspace.load(run_id), told.append)
    assert acts_in(root) == [FIRST, SECOND]
    stop(workspace, "openat-1", "no")
    assert acts_in(root) == []
    check_nothing_left(root)


@pytest.mark.parametrize(
    ("counted", "says"),
    [
        ({"verdict": "regressed"}, "1 retry went worse by it (r9)"),
        ({"errors": 1}, "it failed 1 time, and 0 are allowed"),
        ({"state": "disabled"}, "it failed 1 time, and 0 are allowed"),
        ({"time_us": 900_000}, "a call waits 225000 us for it, more than 50000"),
    ],
)
def test_what_is_beyond_what_is_allowed_stops_it_by_itself(
    root: Path, counted: dict[str, object], says: str
) -> None:
    workspace, run_id = begun(root, stage="one")
    now = promote(workspace, "openat-1", anyway="try")
    assert acts_in(root) == [FIRST, SECOND, THIRD]
    count(workspace, now, FIRST, "r8")
    count(workspace, now, FIRST, "r9", **counted)
    told: list[str] = []
    rolling.after_run(workspace, workspace.load(run_id), told.append)
    assert told == [f"rollout openat-1 is stopped, its rule acts nowhere by it: {says}"]
    assert acts_in(root) == []
    moved = record.read(workspace.rulebook, "openat-1").moves[-1]
    assert (moved.kind, moved.actor, moved.why) == ("stopped", "policy:rollout", says)
    with pytest.raises(Conflict, match="is stopped, so it does not go on"):
        promote(workspace, "openat-1", anyway="again")
    # A regression in which the rule did nothing is none of its own.
    again = begin(workspace, f"{run_id}:{FILES[0]}", stage="one")
    assert again.id == "openat-1-2"
    later = {"verdict": "regressed", "wall": "2099-01-03T00:00:00+00:00"}
    count(workspace, again, FIRST, "r10", **{**later, "hits": 0, "matches": 0})
    count(workspace, again, FIRST, "r11", **{**later, "fresh": False})
    again.since = "2099-01-02T00:00:00+00:00"
    assert standing(workspace.rulebook, again).breaches == []


def test_a_rule_for_too_many_calls_is_stopped_while_it_is_observed(root: Path) -> None:
    workspace, run_id = begun(root)
    observe(workspace, "r", calls=10, matched=9)
    told: list[str] = []
    rolling.after_run(workspace, workspace.load(run_id), told.append)
    assert "it is for 82% of the calls, more than 50%" in told[0]


def test_refusals_are_one_sentence_and_change_nothing(root: Path) -> None:
    workspace, run_id = begun(root)
    rule = f"{run_id}:{FILES[0]}"
    other = text_of("openat", 3)
    generations.activate(root / "rulebook" / THIRD, add={RULE: other}, actor="ann", reason="r")
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: begin(workspace, rule), "rollout openat-1 of this rule is under way"),
        (lambda: begin(workspace, f"{run_id}:{FILES[1]}", group=["nobody"]), "nobody"),
        (lambda: begin(workspace, f"{run_id}:{FILES[1]}", group=["shared"]), "no member of a group"),
        (lambda: promote(workspace, "../x"), "there is no rollout"),
        (lambda: stop(workspace, "none", ""), "there is no rollout none"),
    ]
    before = (root / "rulebook/.rollout/openat-1.json").read_bytes()
    promoted = promote(workspace, "openat-1", anyway="try")
    with pytest.raises(Conflict, match=r"openat@openat-1.lua is another rule in generation 2 of z-3"):
        promote(workspace, promoted.id, anyway="try")
    assert record.read(workspace.rulebook, "openat-1").stage == "one"
    for act, says in refused:
        with pytest.raises(TriageError, match=says):
            act()
    assert (root / "rulebook/.rollout/openat-1.json").read_bytes() != before
    assert record.rollout_ids(workspace.rulebook) == ["openat-1"]


def test_a_damaged_place_does_not_keep_the_rule_active_in_the_others(root: Path) -> None:
    workspace, _ = begun(root, stage="one")
    promote(workspace, "openat-1", anyway="try")
    manifest = root / "rulebook" / FIRST / "current/manifest.json"
    whole = manifest.read_bytes()
    manifest.chmod(0o644)
    manifest.write_bytes(b"{")
    with pytest.raises(TriageError, match=r"rollout openat-1 is stopped, but not everywhere: .*is damaged"):
        stop(workspace, "openat-1", "no")
    for name in (SECOND, THIRD):
        active = generations.current(root / "rulebook" / name)
        assert active is not None
        assert list(active.files) == [OTHER]
    # Once it is mended the next program goes on.
    manifest.write_bytes(whole)
    Workspace.at(root)
    assert acts_in(root) == []
    check_nothing_left(root)


def test_statistics_that_cannot_be_read_are_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun(root, stage="one")
    statistics_file = statistics.statistics_path(root / "rulebook", FIRST)
    statistics_file.parent.mkdir()
    os.mkfifo(statistics_file)
    assert main(["rollout", "list", "-C", str(root)]) == 1
    assert "rollout openat-1 cannot be shown" in capsys.readouterr().err
    assert main(["rollout", "show", "-C", str(root), "openat-1"]) == 2
    assert "No rollout" not in capsys.readouterr().out


# Crashes


def start(root: Path, run_id: str, step: Step) -> object:
    return begin(Workspace.at(root), f"{run_id}:{FILES[1]}", stage="one", step=step)


def go_on(root: Path, run_id: str, step: Step) -> object:
    return promote(Workspace.at(root), "openat-1", anyway="try", step=step)


def give_up(root: Path, run_id: str, step: Step) -> object:
    return stop(Workspace.at(root), "openat-1", "no", step=step)


def state_of(root: Path) -> tuple[object, ...]:
    """What the next program finds."""
    workspace = Workspace.at(root)
    ids = record.rollout_ids(workspace.rulebook)
    found = [record.read(workspace.rulebook, one) for one in ids]
    texts = sorted(path.name for path in (workspace.rulebook / ".rollout").glob("*.lua"))
    ioctl = generations.current(root / "rulebook" / FIRST)
    return (
        tuple((one.id, one.stage, one.state, tuple(one.placed)) for one in found),
        tuple(texts),
        tuple(acts_in(root)),
        tuple(sorted(ioctl.files)) if ioctl is not None else (),
    )


def before_and_after(
    root: Path, decide: Callable[[Path, str, Step], object], step: Step = no_step
) -> tuple[Path, str, tuple[object, ...], tuple[object, ...]]:
    """A workspace before a decision, its run, and what the next program finds before and after it."""
    kept = root.parent / "kept"
    _, run_id = begun(kept, stage="one")
    if decide is give_up:
        go_on(kept, run_id, no_step)
    whole = copied(kept, root.parent / "whole")
    decide(whole, run_id, step)
    old, new = state_of(kept), state_of(whole)
    assert old != new
    return kept, run_id, old, new


@pytest.mark.parametrize("decide", [start, go_on, give_up])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_stage(
    root: Path, decide: Callable[[Path, str, Step], object]
) -> None:
    reached: list[str] = []
    kept, run_id, old, new = before_and_after(root, decide, reached.append)
    assert list(dict.fromkeys(reached)) == list(rolling.ROLLOUT_STEPS)
    sides = []
    for step in rolling.ROLLOUT_STEPS:
        killed = copied(kept, root.parent / step)
        ended, _ = carried_out(partial(decide, killed, run_id), Kill(step=step))
        assert ended == "killed"
        now = state_of(killed)
        assert now in (old, new), step
        sides.append(now == new)
        check_nothing_left(killed)
    assert sides == [False, *[True] * (len(rolling.ROLLOUT_STEPS) - 1)]


@pytest.mark.parametrize("decide", [start, go_on, give_up])
def test_a_kill_before_a_change_of_the_disk_leaves_the_old_or_the_new_stage(
    root: Path, decide: Callable[[Path, str, Step], object]
) -> None:
    kept, run_id, old, new = before_and_after(root, decide)
    number, sides, ended = 0, [], ""
    while ended != "done":
        killed = copied(kept, root.parent / "killed")
        ended, _ = carried_out(partial(decide, killed, run_id), Kill(change=number))
        now = state_of(killed)
        assert now in (old, new), number
        check_nothing_left(killed)
        sides.append(now == new)
        shutil.rmtree(killed)
        number += 7
    assert sides == sorted(sides)
    assert number > 60


@pytest.mark.parametrize(
    "change", [{"stage": "all"}, {"state": "done"}, {"sha256": "0" * 64}, {"change": "0" * 16}, {"moves": []}]
)
def test_the_audit_tells_of_a_rollout_that_somebody_changed(root: Path, change: dict[str, object]) -> None:
    workspace, _ = begun(root, stage="one")
    stop(workspace, "openat-1", "no")
    assert check(workspace.rulebook, workspace.runs_dir).problems == []
    path = root / "rulebook/.rollout/openat-1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert vouched(workspace.rulebook) == set()
    (problem,) = check(workspace.rulebook, workspace.runs_dir).problems
    assert "rollout openat-1" in problem


def problems_of(workspace: Workspace) -> list[str]:
    return check(workspace.rulebook, workspace.runs_dir).problems


def test_the_audit_tells_of_a_rollout_that_somebody_removed(root: Path) -> None:
    workspace, run_id = begun(root)
    stop(workspace, "openat-1", "no")
    for suffix in (".json", ".lua"):
        (root / f"rulebook/.rollout/openat-1{suffix}").unlink()
    (problem,) = problems_of(workspace)
    assert re.fullmatch(
        r"rollout openat-1, of line \d+, is not in the rulebook: its file was removed", problem
    )
    # Beginning it anew does not hide that there was another.
    begin(workspace, f"{run_id}:{FILES[0]}", stage="one", actor="ann")
    (problem,) = problems_of(workspace)
    assert "rollout openat-1 has 1 steps, but the audit log tells of 3" in problem


def test_the_audit_tells_of_a_rule_that_a_rollout_keeps_and_somebody_changed(root: Path) -> None:
    workspace, _ = begun(root)
    text = root / "rulebook/.rollout/openat-1.lua"
    text.chmod(0o644)
    text.write_bytes(text.read_bytes() + b"-- more\n")
    assert problems_of(workspace) == ["the rule of rollout openat-1 was changed after it began: stop it"]


@pytest.mark.parametrize(
    ("forge", "told"),
    [
        (lambda seen: [*seen, {**seen[0], "run": "made-up", "change": "0" * 16}], "made up"),
        (lambda seen: [*seen, {**seen[0], "run": "made-up"}], "changed"),
        (lambda seen: [{**seen[0], "failed": "", "matched": 1}], "changed"),
        (lambda seen: [], "removed"),
    ],
)
def test_the_audit_and_a_promotion_tell_of_observations_that_were_not_made(
    root: Path, forge: Callable[[list[dict[str, object]]], object], told: str
) -> None:
    workspace, _ = begun(root)
    observe(workspace, "r", calls=9, matched=2)
    assert problems_of(workspace) == []
    path = root / "rulebook/.rollout/openat-1.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "observed": forge(data["observed"])}))
    assert any(problem.endswith(f"it was {told}") for problem in problems_of(workspace))
    with pytest.raises(TriageError, match=f"stays at 'observe'.*it was {told}"):
        promote(workspace, "openat-1")


def test_a_kill_while_a_run_is_observed_leaves_all_of_it_or_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It starts the rule host, before anything is on disk.
    monkeypatch.setattr(observing, "replay", lambda run, *_, **__: Replay(run, "arm", "openat", 3, []))
    kept = root.parent / "kept"
    _, run_id = begun(kept)

    def look(place: Path, _step: Step) -> None:
        workspace = Workspace.at(place)
        rolling.after_run(workspace, workspace.load(run_id), lambda _text: None)

    number, sides, ended = 0, [], ""
    while ended != "done":
        killed = copied(kept, root.parent / "killed")
        ended, _ = carried_out(partial(look, killed), Kill(change=number))
        workspace = Workspace.at(killed)
        sides.append(len(record.read(workspace.rulebook, "openat-1").observed))
        assert problems_of(workspace) == [], number
        check_nothing_left(killed)
        shutil.rmtree(killed)
        number += 1
    assert (sides[0], sides[-1]) == (0, 1)
    assert sides == sorted(sides)


def test_of_two_that_decide_one_wins_and_the_other_is_told(root: Path) -> None:
    workspace, _ = begun(root, stage="one")

    def between(step: str) -> None:
        if step == "begun":
            stop(Workspace(root), "openat-1", "no", actor="ann")

    with pytest.raises(Conflict, match="somebody else changed rollout openat-1"):
        promote(workspace, "openat-1", anyway="try", step=between)
    assert (acts_in(root), record.read(workspace.rulebook, "openat-1").state) == ([], "stopped")
    check_nothing_left(root)


@pytest.mark.parametrize(
    "change",
    [
        {"placed": ["../.."]},
        {"placed": [".audit"]},
        {"file": "../../x.lua"},
        {"id": "other"},
        {"stage": "everywhere"},
        {"sha256": "0" * 64, "stage": "group", "placed": [SECOND]},
    ],
)
def test_a_planted_rollout_does_nothing(root: Path, change: dict[str, object]) -> None:
    workspace, run_id = begun(root)
    path = root / "rulebook/.rollout/openat-1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    told: list[str] = []
    rolling.after_run(workspace, workspace.load(run_id), told.append)
    with pytest.raises(TriageError):
        promote(workspace, "openat-1", anyway="try")
    assert acts_in(root) == []
    assert not (root.parent / "x.lua").exists()


def test_criteria_of_ones_own_replace_the_shipped_and_mistakes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert criteria() == Criteria(observe=StageCriteria(share=0.5))
    own = tmp_path / CRITERIA_FILE
    own.parent.mkdir()
    monkeypatch.setenv("TRIAGE_TUI_RULES", str(tmp_path))
    own.write_text("schema: 1\none: {runs: 5, helped: 2}\n")
    assert (criteria().one.runs, criteria().one.helped) == (5, 2)
    for text in (
        "schema: 2\n",
        "schema: 1\none: {run: 5}\n",
        "one: [",
        "schema: 1\nall: {share: 2.0}\n",
        "\0",
    ):
        own.write_text(text)
        with pytest.raises(TriageError, match=r"criteria.yaml has a mistake"):
            criteria()


def test_a_retry_is_made_of_the_run_that_had_the_same_other_rules(root: Path) -> None:
    workspace, _ = begun(root, stage="one")
    sha256 = record.read(workspace.rulebook, "openat-1").sha256
    made = {}
    for name, had in (("failed", []), ("well by another", ["f" * 64]), ("with it", [sha256])):
        hits = [RuleHit(rule="r", hits=1, sha256=one) for one in had]
        directory = write_run(root / "ai_runs", rule_hits=hits)
        (directory / START_FILE).write_text("{}")
        made[name] = directory.name
    (found,) = newest_runs(workspace, [FIRST], sha256)
    assert found.run_id == made["failed"]


def test_a_run_that_another_rule_made_well_is_not_what_a_rule_is_tried_at(root: Path) -> None:
    workspace, _ = begun(root, stage="one")
    sha256 = record.read(workspace.rulebook, "openat-1").sha256
    other = text_of("ioctl")
    files = {"syscall/ioctl@ioctl-1.lua": other}
    generations.activate(root / "rulebook" / FIRST, add=files, actor="ann", reason="r")
    made = {}
    hits = RuleHit(rule="ioctl-1", hits=1, sha256=hashlib.sha256(other).hexdigest())
    for name, more in (("failed", []), ("well by another", [hits])):
        directory = write_run(root / "ai_runs", rule_hits=more)
        found = Diagnosis(run_id=directory.name, scene="exit", headline="", healthy=bool(more))
        (directory / "diagnosis.json").write_bytes(msgspec.json.encode(found))
        (directory / START_FILE).write_text("{}")
        made[name] = directory.name
    (chosen,) = newest_runs(workspace, [FIRST], sha256)
    assert chosen.run_id == made["failed"]


def test_help_that_may_be_that_of_another_new_rule_does_not_count(root: Path) -> None:
    workspace, _ = begun(root, stage="one")
    now = record.read(workspace.rulebook, "openat-1")
    rules = [RuleUse(rule=one, sha256=one, fresh=True, matches=1, hits=1) for one in (now.sha256, "b" * 64)]
    use = RunUse(run="r1", wall="2099-01-01T00:00:00+00:00", verdict="resolved", rules=rules)
    statistics.count(workspace.rulebook, FIRST, use)
    found = standing(workspace.rulebook, now)
    assert (found.runs, found.helped) == (1, 0)
    rules[1].fresh = False
    statistics.count(workspace.rulebook, FIRST, use)
    assert standing(workspace.rulebook, now).helped == 1


def test_a_program_that_gets_further_and_crashes_there_is_no_help(root: Path) -> None:
    workspace, _ = begun(root, stage="one")
    now = record.read(workspace.rulebook, "openat-1")
    rules = [RuleUse(rule="openat-1", sha256=now.sha256, fresh=True, matches=1, hits=1)]
    use = RunUse(run="r1", wall="2099-01-01T00:00:00+00:00", verdict="progressed", died=True, rules=rules)
    statistics.count(workspace.rulebook, FIRST, use)
    found = standing(workspace.rulebook, now)
    assert (found.runs, found.helped, found.hurt, found.hurt_in) == (1, 0, 1, ["r1"])
    assert found.breaches == ["1 retry crashed by it (r1)"]


# Real programs

CONFIG = "/etc/app.conf"


def start_of(rootfs: Path) -> Start:
    program = next(path for path in ("/bin/busybox", "/usr/bin/busybox") if (rootfs / path[1:]).is_file())
    return Start(program=program, argv=["busybox", "cat", CONFIG], rootfs=str(rootfs), probing=False)


def once(workspace: Workspace, start: Start, told: list[str], again: str = "", found: str = "") -> str:
    """Run a program once, or again from the run that the rollout `found` names for it."""
    parent = None
    if found:
        sha256 = record.read(workspace.rulebook, found).sha256
        (parent,) = newest_runs(workspace, [again], sha256)
    limits = Limits(rounds=1)
    course = run_rounds(workspace, start, limits=limits, parent=parent, hold=False, narrate=told.append)
    return course.rounds[0].run.snapshot.target.target_id


def test_real_programs_of_two_byte_orders_come_through_every_stage(tmp_path: Path, rootfs: Rootfs) -> None:
    workspace, told = Workspace(tmp_path), list[str]()
    little, big = start_of(rootfs("busybox-mipsel")), start_of(rootfs("busybox-s390x"))
    first, second = once(workspace, little, told), once(workspace, big, told)
    run = next(path for path in sorted(workspace.runs_dir.iterdir()))
    (file,) = (path.name for path in (run / "rules_patch/fix/syscall").iterdir())
    rule = f"{run.name}:fix/syscall/{file}"
    now = begin(workspace, rule, group=[workspace.load("last").run_id], auto=True)
    assert (now.target, now.group) == (first, [second])
    once(workspace, little, told, first, now.id)
    assert f"rollout {now.id} goes on: acts for one target" in told
    once(workspace, little, told, first, now.id)
    assert f"rollout {now.id} goes on: acts for a group of 2 targets" in told
    # That it was born from another program is no reason to set it aside: a rollout brought it there.
    assert expire(workspace, big, told.append) is None
    once(workspace, little, told, first, now.id)
    once(workspace, big, told, second, now.id)
    assert told[-1] == f"rollout {now.id} goes on: acts for all targets"
    assert sum("verdict: progressed" in line for line in told) == 3
    assert check(workspace.rulebook, workspace.runs_dir).problems == []


def test_a_real_program_that_gets_worse_stops_the_rollout(tmp_path: Path, rootfs: Rootfs) -> None:
    workspace, told = Workspace(tmp_path / "w"), list[str]()
    fw = tmp_path / "fw"
    shutil.copytree(rootfs("busybox-armhf"), fw, symlinks=True)
    (fw / "etc").mkdir(exist_ok=True)
    (fw / CONFIG[1:]).write_text("mode=router\n")
    target = once(workspace, start_of(fw), told)
    bad = tmp_path / "openat@refuse.lua"
    bad.write_text(
        "-- triage-rule: 1\n-- id: refuse\n-- match: openat path=/etc/app.conf\n-- hit-limit: 4\n"
        "-- effect: it fails\n-- risk: low\n-- inverse: roll back\n\n"
        "function do_syscall(num, a1, a2)\n  local text, rc = c_read_string(a2, 64)\n"
        f"  if rc ~= 0 or text ~= {CONFIG!r} then\n    return 0, 0\n  end\n  return 1, -13\nend\n"
    )
    begin(workspace, str(bad), target="last", stage="one")
    once(workspace, start_of(fw), told, target, "refuse")
    assert any(
        line.startswith("verdict: regressed (") and "the program was well before" in line for line in told
    )
    assert told[-1].startswith("rollout refuse is stopped, its rule acts nowhere by it: 1 retry went worse")
    active = generations.current(workspace.rulebook_dir(target))
    assert active is not None
    assert dict(active.files) == {}
