import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runs.build import write_run
from triage_tui.errors import Conflict
from triage_tui.runs.events import (
    EVENTS_FILE,
    append_event,
    derive_state,
    holder_alive,
    is_waiting,
    process_start,
    read_events,
    this_process,
)
from triage_tui.runs.listing import summarize


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return write_run(tmp_path / "ai_runs")


def hold(run_dir: Path, pid: int) -> None:
    append_event(run_dir, "captured", {"holder": {"pid": pid, "start": process_start(pid)}})


def test_state_follows_from_the_events(run_dir: Path) -> None:
    states = []
    for kind, payload in [
        ("captured", {}),
        ("diagnosed", {}),
        ("proposed", {}),
        ("approved", {}),
        ("activated", {}),
        ("retry_started", {}),
        ("retry_finished", {"verdict": "progressed"}),
        ("rolled_back", {}),
    ]:
        append_event(run_dir, kind, payload)
        states.append(derive_state(read_events(run_dir)[0]))
    assert states == [
        "captured", "diagnosed", "proposed", "approved", "applied", "retrying", "progressed", "rolled_back",
    ]  # fmt: skip


def test_an_edit_hides_no_active_rule_and_one_taken_back_no_rejection(run_dir: Path) -> None:
    edited: dict[str, object] = {"file": "a.lua", "before": "1", "sha256": "2"}
    undone: dict[str, object] = {"file": "a.lua", "before": "2", "sha256": "1"}
    states = []
    events: list[tuple[str, dict[str, Any]]] = [
        ("rejected", {}),
        ("edited", edited),
        ("edited", undone),
        ("edited", edited),
        ("activated", {}),
        ("edited", undone),
        ("retry_finished", {"verdict": "resolved"}),
        ("edited", {"file": ["no name"], "before": None, "sha256": None}),
    ]
    for kind, payload in events:
        append_event(run_dir, kind, payload)
        states.append(derive_state(read_events(run_dir)[0]))
    assert states == [
        "rejected", "proposed", "rejected", "proposed", "applied", "applied", "resolved", "resolved",
    ]  # fmt: skip


def test_an_invented_verdict_is_inconclusive(run_dir: Path) -> None:
    append_event(run_dir, "retry_finished", {"verdict": ["x"]})
    assert derive_state(read_events(run_dir)[0]) == "inconclusive"


def test_events_are_numbered_and_chained(run_dir: Path) -> None:
    for _ in range(3):
        append_event(run_dir, "diagnosed")
    events, problems = read_events(run_dir)
    assert [event.event_id for event in events] == [1, 2, 3]
    assert problems == []
    assert events[0].prev == ""
    assert len({event.prev for event in events}) == 3


def test_a_changed_line_shows(run_dir: Path) -> None:
    append_event(run_dir, "approved", actor="mallory")
    append_event(run_dir, "activated")
    path = run_dir / EVENTS_FILE
    path.write_bytes(path.read_bytes().replace(b"mallory", b"alice"))
    _, problems = read_events(run_dir)
    assert len(problems) == 1
    assert "log was changed" in problems[0]


def test_half_a_line_of_a_killed_writer_loses_nothing_else(run_dir: Path) -> None:
    append_event(run_dir, "captured")
    with open(run_dir / EVENTS_FILE, "ab") as stream:
        stream.write(b'{"event_id": 2, "kind"')
    append_event(run_dir, "diagnosed")
    events, problems = read_events(run_dir)
    assert [event.kind for event in events] == ["captured", "diagnosed"]
    assert any("damaged" in problem for problem in problems)
    assert not any("changed" in problem for problem in problems)


def test_the_second_decider_is_told(run_dir: Path) -> None:
    hold(run_dir, os.getpid())
    append_event(run_dir, "decision", {"action": "retry"}, expect_waiting=True)
    with pytest.raises(Conflict, match="somebody else decided first"):
        append_event(run_dir, "decision", {"action": "end"}, expect_waiting=True)
    assert [event.payload.get("action") for event in read_events(run_dir)[0]] == [None, "retry"]


def test_one_of_many_deciders_wins(run_dir: Path) -> None:
    hold(run_dir, os.getpid())
    code = (
        "import sys, pathlib\n"
        "from triage_tui.errors import Conflict\n"
        "from triage_tui.runs.events import append_event\n"
        "try: append_event(pathlib.Path(sys.argv[1]), 'decision', {}, expect_waiting=True)\n"
        "except Conflict: raise SystemExit(3)\n"
    )
    deciders = [subprocess.Popen([sys.executable, "-c", code, str(run_dir)]) for _ in range(6)]
    assert sorted(process.wait() for process in deciders) == [0, 3, 3, 3, 3, 3]


def test_an_event_in_the_wrong_state_is_refused(run_dir: Path) -> None:
    append_event(run_dir, "rejected")
    with pytest.raises(Conflict, match="is rejected by now"):
        append_event(run_dir, "activated", expect_state=["approved"])


def test_waiting_needs_a_living_holder(run_dir: Path) -> None:
    process = subprocess.Popen(["sleep", "60"])
    hold(run_dir, process.pid)
    assert holder_alive(read_events(run_dir)[0])
    process.kill()
    process.wait()
    events, _ = read_events(run_dir)
    assert is_waiting(events)
    assert not holder_alive(events)


def test_hostile_lines_are_passed_over(run_dir: Path) -> None:
    deep = b"[" * 100_000
    (run_dir / EVENTS_FILE).write_bytes(
        b"\xff\xfe\n" + deep + b"\n" + json.dumps({"event_id": "x"}).encode() + b"\n"
    )
    events, problems = read_events(run_dir)
    assert events == []
    assert len(problems) == 3


def test_the_log_is_not_followed_out_of_the_run(run_dir: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("keep")
    (run_dir / EVENTS_FILE).symlink_to(outside)
    with pytest.raises(Exception, match="cannot write the event log"):
        append_event(run_dir, "captured")
    assert outside.read_text() == "keep"


def test_a_retry_that_was_killed_leaves_the_run_to_a_person(run_dir: Path) -> None:
    append_event(run_dir, "retry_started", this_process())
    assert derive_state(read_events(run_dir)[0]) == "retrying"
    append_event(run_dir, "retry_started", {"pid": os.getpid(), "start": 1})
    assert derive_state(read_events(run_dir)[0]) == "needs_person"
    append_event(run_dir, "rejected", expect_state=["needs_person"])


def test_a_run_whose_supervisor_was_killed_before_it_explained_it_says_so(run_dir: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    hold(run_dir, gone.pid)
    assert summarize(run_dir).problem is None
    gone.communicate()
    summary = summarize(run_dir)
    assert summary.problem is not None
    assert "captured, but not explained" in summary.problem
    assert not summary.waiting
    append_event(run_dir, "diagnosed", {"cause": "missing_file"})
    assert summarize(run_dir).problem is None
