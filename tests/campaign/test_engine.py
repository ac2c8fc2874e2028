"""Whatever happens to workers, disk and scheduler: no target is lost without a word, none taken in twice."""

import errno
import os
import threading
from pathlib import Path

import pytest

from tests.campaign.build import FakeCluster, begun, carried, played, target
from triage_tui.campaign import engine, taking_in
from triage_tui.campaign.beginning import begin, changed_roots, go_on, overlapping
from triage_tui.campaign.cluster import Done
from triage_tui.campaign.left_over import WORK
from triage_tui.campaign.model import Options, Outcome
from triage_tui.campaign.order import Answer, Order
from triage_tui.campaign.record import held, read_campaign
from triage_tui.campaign.roots import hash_root
from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import read_events
from triage_tui.runs.listing import list_runs


def plays(order: Order) -> Answer:
    return played(order, Path(order.place))


def test_runs_land_in_the_workspace_and_say_where_they_belong(tmp_path: Path) -> None:
    directory = begun(tmp_path, 3)
    told = carried(directory, FakeCluster(plays))
    assert told.ended is not None
    assert told.ended.how == "done"
    state = read_campaign(directory)
    assert state.counts() == {"finished": 3}
    assert state.campaign.finished
    runs = [run for one in state.targets if (outcome := state.outcome(one.target)) for run in outcome.runs]
    assert sorted(runs) == sorted(run.run_id for run in list_runs(tmp_path / "ai_runs"))
    assert len({run.rsplit("_")[-1] for run in runs}) == 3, "numbers do not come twice"
    event = next(e for e in read_events(tmp_path / "ai_runs" / runs[0])[0] if e.kind == "campaign")
    assert event.payload["campaign"] == directory.name
    assert [one.worker for one in told.events("started")] == ["w1"] * 3
    assert list((directory / WORK).iterdir()) == []
    assert carried(directory, FakeCluster(plays)).progress == [], "a finished campaign is not played again"


def test_one_bad_target_never_stops_the_rest(tmp_path: Path) -> None:
    def worker(order: Order) -> Answer | bytes | Done:
        match order.target.name:
            case "httpd0":
                return Answer(target=order.target.target, kind="refused", error="no such program")
            case "httpd1":
                return Answer(target=order.target.target, kind="died", error="killed by signal 9")
            case "httpd2":
                return b"\xc1 no message pack \x1b[2J"
            case "httpd3":
                return Answer(target=target(9).target, kind="finished")
            case "httpd4":
                return Done(order.target.target, error="worker after worker died", killed=True)
            case _:
                return plays(order)

    directory = begun(tmp_path, 6)
    cluster = FakeCluster(worker)
    told = carried(directory, cluster)
    assert read_campaign(directory).counts() == {"refused": 1, "lost": 4, "finished": 1}
    lost = {one.target: one for one in told.events("lost")}
    assert lost[target(1).target].error == "killed by signal 9; it was tried 3 times"
    assert "cannot be read" in lost[target(2).target].error
    assert "another target" in lost[target(3).target].error
    assert lost[target(4).target].attempt == 1, "Dask tried it often enough"
    assert sum(order.target.name == "httpd1" for order in cluster.orders) == engine.MAX_ATTEMPTS
    assert list((directory / WORK).iterdir()) == [], "nothing is left of what was not played"
    # A second start tries what was refused and lost once more, and nothing else.
    again = FakeCluster(plays)
    carried(directory, again)
    assert sorted(order.target.name for order in again.orders) == [f"httpd{n}" for n in range(5)]
    assert read_campaign(directory).counts() == {"finished": 6}


@pytest.mark.parametrize("left", ["../../evil", "ai_runs/notes", "ai_runs/20260131_020000_00000001"])
def test_what_is_no_run_is_not_taken_in(tmp_path: Path, left: str) -> None:
    (tmp_path / "elsewhere").mkdir()

    def worker(order: Order) -> Answer:
        answer = plays(order)
        if left.startswith(".."):
            answer.outcome = Outcome(runs=[left])
        elif left.endswith("notes"):
            (Path(order.place) / left).mkdir()
        else:
            (Path(order.place) / left).symlink_to(tmp_path / "elsewhere")
        return answer

    directory = begun(tmp_path, 1)
    told = carried(directory, FakeCluster(worker))
    if left.startswith(".."):
        outcome = read_campaign(directory).outcome(target(0).target)
        assert outcome is not None
        assert all(run[0] == "2" for run in outcome.runs)
    else:
        assert "where runs are expected" in told.events("lost")[0].error
        assert list_runs(tmp_path / "ai_runs") == []


def test_a_worker_says_nothing_of_runs_and_programs_of_others(tmp_path: Path) -> None:
    other = begun(tmp_path, 1)
    carried(other, FakeCluster(plays))
    ((stranger,),) = [one.runs for one in [read_campaign(other).outcome(target(0).target)] if one]

    def worker(order: Order) -> Answer:
        answer = plays(order)
        assert answer.outcome is not None
        answer.outcome.runs.append(stranger)
        answer.outcome.headline = "x" * 5_000_000
        answer.emulators = {str(number): "qemu" for number in range(1000)}
        return answer

    directory = begun(tmp_path, 1)
    carried(directory, FakeCluster(worker))
    state = read_campaign(directory)
    outcome = state.outcome(target(0).target)
    assert outcome is not None
    assert len(outcome.runs) == 1
    assert stranger not in outcome.runs
    assert len(outcome.headline) == taking_in.MAX_TEXT
    assert len(state.campaign.emulators) < 100

    place = tmp_path / "place"
    answer = played(Order(campaign="c", target=target(3), options=Options(), first=900), place)
    assert answer.outcome is not None
    with pytest.raises(TriageError, match="runs of another program"):
        taking_in.take_in(
            Workspace(tmp_path), directory, place, target(3), answer.outcome, print, program="y-1"
        )


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = begun(tmp_path, 3)
    real, calls = os.rename, 0

    def rename(source: Path, goal: Path) -> None:
        nonlocal calls
        calls += goal.parent == tmp_path / "ai_runs"
        if calls == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, goal)

    monkeypatch.setattr(os, "rename", rename)
    told = carried(directory, FakeCluster(plays))
    assert told.ended is not None
    assert told.ended.how == "disk"
    assert "is full: make room, and say the same command again" in told.ended.says
    assert read_campaign(directory).counts()["finished"] == 1
    monkeypatch.undo()
    again = FakeCluster(plays)
    told = carried(directory, again)
    assert again.orders == [], "what was played is taken in without being played again"
    assert read_campaign(directory).counts() == {"finished": 3}
    assert len(list_runs(tmp_path / "ai_runs")) == 3


def test_runs_may_lie_on_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = begun(tmp_path, 2)
    real, full = os.rename, True

    def rename(source: Path, goal: Path) -> None:
        if Path(goal).parent == tmp_path / "ai_runs" != Path(source).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        if full and Path(goal).parent == tmp_path / "ai_runs":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, goal)

    monkeypatch.setattr(os, "rename", rename)
    told = carried(directory, FakeCluster(plays))
    assert told.ended is not None
    assert told.ended.how == "disk"
    assert list((tmp_path / "ai_runs").iterdir()) == [], "nothing is left by half"
    full = False
    again = FakeCluster(plays)
    carried(directory, again)
    assert len(again.orders) == 0
    assert read_campaign(directory).counts() == {"finished": 2}
    assert len(list_runs(tmp_path / "ai_runs")) == 2
    assert not list((directory / WORK).iterdir())


def test_a_process_killed_while_it_took_a_target_in_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step: before the runs are moved, after that, and before it is written down."""
    for step in ("take_in_rules", "_count", "drop"):
        workspace = tmp_path / step
        directory = begun(workspace, 1)

        def killed(*_: object) -> None:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(taking_in, step, killed)
            with pytest.raises(SystemExit):
                carried(directory, FakeCluster(plays))
        again = FakeCluster(plays)
        carried(directory, again)
        assert again.orders == [], step
        assert read_campaign(directory).counts() == {"finished": 1}
        (run,) = list_runs(workspace / "ai_runs")
        events = read_events(workspace / "ai_runs" / run.run_id)[0]
        assert [event.kind for event in events].count("campaign") == 1
        assert not list((directory / WORK).iterdir())


def test_limits_and_a_person_end_it_and_the_next_start_goes_on(tmp_path: Path) -> None:
    directory = begun(tmp_path, 3, Options(disk_bytes=1))
    told = carried(directory, FakeCluster(plays, slots=1))
    assert told.ended is not None
    assert told.ended.how == "limit"
    assert "the limit of 1 bytes for the runs" in told.ended.says
    assert "2 targets left" in told.ended.says
    directory = begun(tmp_path, 3, Options(total_s=1e-9))
    assert carried(directory, FakeCluster(plays)).ended is not None
    assert read_campaign(directory).counts() == {"waiting": 3}

    directory, cancel = begun(tmp_path, 3), threading.Event()

    def stops(order: Order) -> Answer:
        cancel.set()
        return plays(order)

    told = carried(directory, FakeCluster(stops, slots=1), cancel)
    assert told.ended is not None
    assert told.ended.says == "a person stopped it, 2 targets left; the same command goes on with them"
    carried(directory, FakeCluster(plays))
    assert read_campaign(directory).counts() == {"finished": 3}


def test_a_lost_scheduler_is_waited_for_and_costs_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = begun(tmp_path, 2)
    lost = 0

    def worker(order: Order) -> Answer | Done:
        nonlocal lost
        lost += 1
        if lost <= 2:
            cluster.lost = 3
            return Done(order.target.target, error="gone", lost=True)
        return plays(order)

    cluster = FakeCluster(worker)
    monkeypatch.setattr("triage_tui.campaign.cluster._TICK_S", 0.001)
    told = carried(directory, cluster)
    assert "the scheduler is back" in told.said
    assert [order.attempt for order in cluster.orders] == [1] * 4
    assert read_campaign(directory).counts() == {"finished": 2}

    monkeypatch.setattr("triage_tui.campaign.cluster.LOST_S", 0.0)
    directory = begun(tmp_path, 2)
    cluster = FakeCluster(lambda order: Done(order.target.target, lost=True))
    cluster.lost = 1 << 30
    told = carried(directory, cluster)
    assert told.ended is not None
    assert (
        told.ended.says == "the scheduler is gone, 2 targets left: start it, and say the same command again"
    )


def test_a_worker_of_another_version_gets_no_more(tmp_path: Path) -> None:
    said = 0

    def worker(order: Order) -> Answer:
        nonlocal said
        said += 1
        if said == 1:
            return Answer(target=order.target.target, kind="version", error="it has 9.9", worker="tcp://w")
        return plays(order)

    directory = begun(tmp_path, 1)
    cluster = FakeCluster(worker)
    told = carried(directory, cluster)
    assert cluster.avoided == ["tcp://w"]
    assert told.said == ["tcp://w gets no more targets: it has 9.9"]
    assert read_campaign(directory).counts() == {"finished": 1}


def test_two_processes_never_work_on_one_campaign(tmp_path: Path) -> None:
    directory = begun(tmp_path, 1)
    with held(directory), pytest.raises(Conflict):
        carried(directory, FakeCluster(plays))


def test_a_campaign_goes_on_with_what_it_began_with(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    first, other = target(0, str(root)), target(1, str(tmp_path / "gone"))
    first.root_hash, other.root_hash = hash_root(root).sha256, "0" * 64
    workspace = Workspace(tmp_path)
    directory = begin(workspace, [first, other, target(2)], Options(rounds=3), [])
    quiet, cancel = (lambda _: None), threading.Event()
    assert list(changed_roots(directory, quiet, cancel)) == [other.root]
    (root / "bin" / "x").touch()
    changed = changed_roots(directory, quiet, cancel)
    assert changed[str(root)].endswith("was changed since the campaign began: begin another one")
    assert "cannot be read" in changed[other.root]
    told = carried(directory, cluster := FakeCluster(plays), changed=changed)
    assert [order.target.name for order in cluster.orders] == ["httpd2"]
    assert {one.error for one in told.events("refused")} == set(changed.values())

    directory = begin(workspace, [first, other, target(2)], Options(rounds=3), [])
    assert overlapping(workspace, [other, target(5)]) == (directory.name, 1)
    with held(directory):
        assert overlapping(workspace, [other]) == ("", 0), "one that is at work was not cut short"
        with pytest.raises(Conflict):
            go_on(directory, Options(rounds=9))
    assert go_on(directory, Options()) == ""
    assert go_on(directory, Options(rounds=9, workers=7)) == "--rounds 3"
    assert read_campaign(directory).campaign.options == Options(rounds=3, workers=7)
