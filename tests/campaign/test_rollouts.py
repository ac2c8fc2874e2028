"""Campaigns move rollouts: their runs are observations and verdicts, and at their end the criteria decide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.campaign.states import on_disk, run_id, state_of, target
from tests.retry.decisions import FILES, check_nothing_left, memory_directory, workspace_at
from tests.runs.build import failed_open, write_run
from triage_tui.campaign.model import CampaignState, Outcome
from triage_tui.campaign.rollouts import after_campaign, group_of
from triage_tui.errors import TriageError
from triage_tui.retry.sharing import observing
from triage_tui.retry.sharing import rollout as rolling
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import statistics
from triage_tui.rulebook.audit.check import check
from triage_tui.rulebook.audit.log import read_log
from triage_tui.rulebook.check.replay import Outcome as Tried
from triage_tui.rulebook.check.replay import Replay
from triage_tui.rulebook.rollouts import record
from triage_tui.rulebook.rollouts.standing import standing
from triage_tui.rulebook.rollouts.vouching import believe, vouched
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.model import RuleHit, Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter

FIRST, SECOND = "x-1", "y-2"
TRIED = Tried(seq=1, about="/etc/x.conf", was=-2, was_errno="ENOENT", acts=True)
CAUSE = "missing_file open(/etc/x.conf) ENOENT"


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Both start the rule host.
    monkeypatch.setattr(rolling, "check_named", lambda _w, rules, **_: {rule.name: [] for rule in rules})
    monkeypatch.setattr(observing, "replay", lambda run, *_, **__: Replay(run, "arm", "openat", 3, [TRIED]))
    with memory_directory() as place:
        yield place / "w"


def ran(root: Path, number: int, who: str, *, healthy: bool = False, rootfs: str = "/r", **more: Any) -> str:
    """Record a run of a target as a campaign leaves it; the number is that of its id."""
    writer = RunWriter(root / "ai_runs", f"20990131_020000_{number:08d}")
    directory = write_run(root / "ai_runs", writer=writer, **more)
    diagnosis = Diagnosis(run_id=directory.name, scene="s", headline="h", healthy=healthy)
    (directory / "diagnosis.json").write_bytes(msgspec.json.encode(diagnosis))
    snapshot = json.loads((directory / "snapshot.json").read_text())
    snapshot["target"] |= {"target_id": who, "program": f"/sbin/{who}", "rootfs": rootfs}
    snapshot["created_at"] = "2099-01-31T02:00:00+00:00"
    (directory / "snapshot.json").write_text(json.dumps(snapshot))
    run = load_run(directory)
    statistics.count(root / "rulebook", who, statistics.use_of(run))
    return directory.name


def helped(sha256: str) -> dict[str, Any]:
    """What a run has in which the rule acted, and that got further than one that ended at its first call."""
    opens = Syscall(
        seq=1, name="openat", arguments=["AT_FDCWD", '"/etc/x.conf"', "O_RDONLY"], ret=3,
        path="/etc/x.conf", rule="openat-1",
    )  # fmt: skip
    reads = Syscall(seq=2, name="read", arguments=["3", '""', "1024"], ret=0)
    binds = Syscall(seq=3, name="socket", arguments=["AF_INET", "SOCK_STREAM", "0"], ret=4)
    hit = RuleHit(rule="openat-1", hits=1, matches=1, calls=2, syscall="openat", sha256=sha256)
    return {"calls": [opens, reads, binds, failed_open(4, "/etc/y.conf")], "rule_hits": [hit]}


def campaign(root: Path, runs: dict[str, str], **more: str) -> CampaignState:
    """Write a campaign with these runs: target -> its run; `more` holds the cause of each, else the same."""
    targets = [target(number, name=name, group="fw") for number, name in enumerate(runs)]
    outcomes = {
        number: Outcome(runs=[run], word="diagnosed", cause="missing_file", signature=more.get(name, CAUSE))
        for number, (name, run) in enumerate(runs.items())
    }
    return on_disk(root, state_of(targets, outcomes))


def begun(root: Path) -> tuple[Workspace, CampaignState]:
    """A rollout whose group is that of a first campaign."""
    proposed = workspace_at(root)
    workspace = Workspace(root)
    runs = {FIRST: ran(root, 1, FIRST), SECOND: ran(root, 2, SECOND), "z-3": ran(root, 3, "z-3")}
    state = campaign(root, runs, **{"z-3": "missing_peer x"})
    group, note = group_of(workspace, "last", FIRST, "fw")
    assert (group, note) == ([runs[SECOND]], "")
    found = rolling.begin(workspace, f"{proposed}:{FILES[0]}", group=group, auto=True, actor="ann")
    assert (found.target, found.group) == (FIRST, [SECOND])
    return workspace, state


def says(workspace: Workspace) -> list[str]:
    return [line.entry.says for line in read_log(workspace.rulebook)[0] if line.entry is not None]


def test_campaign_after_campaign_brings_a_rule_on_and_harm_stops_it(root: Path) -> None:
    workspace, first = begun(root)
    told: list[str] = []
    after_campaign(workspace, first.dir, told.append)
    now = record.read(workspace.rulebook, "openat-1")
    assert [one.target for one in now.observed] == [FIRST, SECOND]
    assert (told, now.stage) == (["rollout openat-1 goes on: acts for one target"], "one")
    # What counts already does not count twice; and the stage that began since has nothing yet.
    after_campaign(workspace, first.dir, told.append)
    assert (len(told), len(record.read(workspace.rulebook, "openat-1").observed)) == (1, 2)

    hit = helped(now.sha256)
    well = ran(root, 12, SECOND, healthy=True)
    second = campaign(root, {FIRST: ran(root, 11, FIRST, **hit), SECOND: well})
    after_campaign(workspace, second.dir, told.append)
    now = record.read(workspace.rulebook, "openat-1")
    assert (told[1:], now.stage) == (["rollout openat-1 goes on: acts for a group of 2 targets"], "group")
    assert now.moves[-1].actor == "policy:rollout"
    by = f"its criteria are met, by campaign {second.campaign.id}: 1 run of 1 target, helped 1, hurt 0"
    assert now.moves[-1].why == by
    use = next(use for use in statistics.uses(workspace.rulebook, FIRST) if use.verdict)
    assert (use.run, use.before, use.verdict) == (
        "20990131_020000_00000011", "20990131_020000_00000001", "progressed",
    )  # fmt: skip

    # One gets further; the other was well without the rule.
    hurt = ran(root, 22, SECOND, rule_hits=hit["rule_hits"])
    third = campaign(root, {FIRST: ran(root, 21, FIRST, **hit), SECOND: hurt})
    after_campaign(workspace, third.dir, told.append)
    now = record.read(workspace.rulebook, "openat-1")
    assert now.state == "stopped"
    assert now.moves[-1].why.startswith(f"1 retry went worse by it ({hurt}), by campaign {third.campaign.id}")
    assert told[-1].startswith("rollout openat-1 is stopped, its rule acts nowhere by it: 1 retry went worse")
    assert any("by campaign" in line and "stopped" in line for line in says(workspace))
    assert check(workspace.rulebook, workspace.runs_dir).problems == []
    check_nothing_left(root)


def test_what_two_campaigns_observe_at_a_time_is_kept_of_both(root: Path) -> None:
    workspace, first = begun(root)
    seen = record.read(workspace.rulebook, "openat-1")
    # Both read the rollout before the other one kept anything.
    for name in [*first.outcome(target(0).target).runs, ran(root, 41, SECOND)]:  # type: ignore[union-attr]
        observing.observe(workspace, seen, load_run(root / "ai_runs" / name))
    now = record.read(workspace.rulebook, "openat-1")
    assert [one.target for one in now.observed] == [FIRST, SECOND]
    # It may go on meanwhile, for one that read it earlier as well; and only once.
    told: list[str] = []
    rolling.go_by_criteria(workspace, seen, told.append)
    rolling.go_by_criteria(workspace, seen, told.append)
    assert told == ["rollout openat-1 goes on: acts for one target"]
    assert len(record.read(workspace.rulebook, "openat-1").observed) == 2
    assert check(workspace.rulebook, workspace.runs_dir).problems == []


def test_a_run_that_cannot_be_read_says_nothing_of_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, first = begun(root)

    def refusing(run: str, *_: object, **__: object) -> Replay:
        if run.endswith("1"):
            raise TriageError("its calls cannot be read")
        return Replay(run, "arm", "openat", 3, [TRIED])

    monkeypatch.setattr(observing, "replay", refusing)
    told: list[str] = []
    after_campaign(workspace, first.dir, told.append)
    assert [one.target for one in record.read(workspace.rulebook, "openat-1").observed] == [SECOND]
    assert told == [
        "rollout openat-1, run 20990131_020000_00000001: its calls cannot be read",
        "rollout openat-1 goes on: acts for one target",
    ]


def test_without_a_run_to_judge_against_nothing_is_concluded(root: Path) -> None:
    """The same program in another root is another one: its run from before says nothing of this one."""
    workspace, _ = begun(root)
    rolling.promote(workspace, "openat-1", anyway="try")
    now = record.read(workspace.rulebook, "openat-1")
    state = campaign(root, {FIRST: ran(root, 11, FIRST, rootfs="/other", **helped(now.sha256))})
    told: list[str] = []
    after_campaign(workspace, state.dir, told.append)
    now = record.read(workspace.rulebook, "openat-1")
    stands = standing(workspace.rulebook, now)
    assert (told, now.stage) == ([], "one")
    # That it acted in a run that was not judged counts for nothing.
    assert (stands.runs, stands.targets, stands.matches, stands.helped) == (0, 0, 0, 0)


def test_of_two_rules_that_are_new_at_once_neither_helped_and_harm_stops_both(root: Path) -> None:
    workspace, _ = begun(root)
    rolling.promote(workspace, "openat-1", anyway="try")
    now = record.read(workspace.rulebook, "openat-1")
    other = RuleHit(rule="other", hits=1, syscall="read", sha256="b" * 64)
    hit = helped(now.sha256)
    hit["rule_hits"] = [*hit["rule_hits"], other]
    told: list[str] = []
    state = campaign(root, {FIRST: ran(root, 11, FIRST, **hit)})
    after_campaign(workspace, state.dir, told.append)
    stands = standing(workspace.rulebook, record.read(workspace.rulebook, "openat-1"))
    assert (told, stands.runs, stands.helped, stands.hurt) == ([], 1, 0, 0)

    ran(root, 20, FIRST, healthy=True, rootfs="/new")
    state = campaign(root, {FIRST: ran(root, 21, FIRST, rootfs="/new", rule_hits=hit["rule_hits"])})
    after_campaign(workspace, state.dir, told.append)
    assert record.read(workspace.rulebook, "openat-1").state == "stopped"
    assert "1 retry went worse by it, or by another rule that was new as well" in told[-1]


def test_a_group_of_a_campaign_is_refused_in_a_sentence(root: Path) -> None:
    workspace, _ = begun(root)
    with pytest.raises(TriageError, match="has no group 'nope' with runs: it has fw"):
        group_of(workspace, "last", FIRST, "nope")
    with pytest.raises(TriageError, match="the first target has no run in campaign"):
        group_of(workspace, "last", "other")
    with pytest.raises(TriageError, match="there is no campaign"):
        group_of(workspace, run_id(9), FIRST)
    unknown = Outcome(runs=[ran(root, 31, FIRST)], word="not diagnosed")
    on_disk(root, state_of([target(0)], {0: unknown}))
    with pytest.raises(TriageError, match="knows no cause for which the first target stopped"):
        group_of(workspace, "last", FIRST)


def test_a_process_that_plays_one_target_believes_the_rollouts_of_the_campaign(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage_tui.rulebook.rollouts.vouching._told", set())
    workspace, _ = begun(root)
    rolling.promote(workspace, "openat-1", anyway="try")
    sha256 = record.read(workspace.rulebook, "openat-1").sha256
    assert (sha256, SECOND) in vouched(workspace.rulebook)
    # Elsewhere there are only the rules.
    alone = root.parent / "alone" / "rulebook"
    (alone / SECOND / "generations").mkdir(parents=True)
    assert not vouched(alone)
    believe([sha256])
    assert vouched(alone) == {(sha256, SECOND)}
