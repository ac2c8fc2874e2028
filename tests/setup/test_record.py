"""Recorded runs: real copies, marked, sound, and silent about the machine they were made on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.errors import TriageError
from triage_tui.runs.events import append_event, is_waiting, this_process
from triage_tui.runs.reader import load_run
from triage_tui.setup.record import record


def test_a_copy_is_marked_and_says_nothing_of_its_maker(tmp_path: Path) -> None:
    source = write_run(tmp_path / "ai_runs")
    (source / "start.json").write_text("{}")
    append_event(source, "captured", {"holder": this_process()}, actor=Path.home().name)
    append_event(source, "proposed", {}, actor="engine")
    place = record(source, tmp_path / "recorded")
    copy = load_run(place)
    assert copy.problems == []
    assert copy.snapshot.recorded is not None
    assert "recorded on 2026-01-31" in copy.snapshot.recorded
    assert copy.state == "proposed"
    assert [event.actor for event in copy.events] == ["person", "engine"]
    assert not is_waiting(copy.events)
    assert not (place / "start.json").exists()
    assert [call.seq for call in copy.trace()] == [call.seq for call in load_run(source).trace()]
    assert load_run(source).snapshot.recorded is None


def test_recording_again_replaces_the_copy(tmp_path: Path) -> None:
    source = write_run(tmp_path / "ai_runs")
    first = record(source, tmp_path / "recorded")
    (first / "stale").touch()
    assert record(source, tmp_path / "recorded") == first
    assert not (first / "stale").exists()
    assert os.listdir(tmp_path / "recorded") == [source.name]


def test_a_run_that_names_the_machine_is_refused(tmp_path: Path) -> None:
    source = write_run(tmp_path / "ai_runs")
    (source / "retry.log").write_text(f"started in {Path.home()}/firmware\n")
    with pytest.raises(TriageError, match=r"retry\.log .* names"):
        record(source, tmp_path / "recorded")
    assert os.listdir(tmp_path / "recorded") == []


def test_a_damaged_run_is_refused(tmp_path: Path) -> None:
    source = write_run(tmp_path / "ai_runs")
    with (source / "trace.jsonl").open("a") as trace:
        trace.write("{half")
    with pytest.raises(TriageError, match="not fit to be shown"):
        record(source, tmp_path / "recorded")
