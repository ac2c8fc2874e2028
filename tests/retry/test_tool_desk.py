"""The tools as a person asks them: fields that are typed, values that the run has, points that are noted."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.analyst.conftest import SECRET, make_run
from triage_tui.errors import Stopped, TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.inspecting.tool_desk import ToolDesk, arguments_of
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.reader import Run
from triage_tui.runs.suspicious_points import read_points


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path)


@pytest.fixture
def run(workspace: Workspace) -> Run:
    return make_run(workspace.runs_dir)


def test_fields_that_are_typed_become_what_a_tool_takes() -> None:
    typed = {"name": "openat", "failed": "true", "limit": "7", "pattern": " ", "pid": "x"}
    assert arguments_of("get_syscalls", typed) == {"name": "openat", "failed": True, "limit": 7, "pid": "x"}
    several = arguments_of("create_suspicious_point", {"evidence": "ev:reg/pc, ev:reg/sp,"})
    assert several == {"evidence": ["ev:reg/pc", "ev:reg/sp"]}


def test_a_question_is_answered_from_the_run(workspace: Workspace, run: Run) -> None:
    desk, cancel = ToolDesk(workspace, run), threading.Event()
    lines: list[str] = []
    answer = desk.ask("get_syscalls", {"name": "openat", "failed": "true"}, cancel, lines.append)
    assert [row["seq"] for row in answer.values["syscalls"]] == [3]
    assert "success" not in answer.values
    refused = desk.ask("get_syscalls", {"limit": "many"}, cancel, lines.append)
    assert "limit" in refused.values["error"]
    refused = desk.ask("get_file_content", {"file_path": "environment.json"}, cancel, lines.append)
    assert SECRET not in str(refused.values)
    written = desk.ask("create_suspicious_point", {"function_name": "f"}, cancel, lines.append)
    assert "only reading" in written.values["error"]
    cancel.set()
    with pytest.raises(Stopped):
        desk.ask("get_registers", {}, cancel, lines.append)


def test_values_are_offered_from_the_run(workspace: Workspace, run: Run) -> None:
    desk = ToolDesk(workspace, run)
    offered = desk.choices("get_syscalls", "")
    assert "openat" in [one.value for one in offered["name"]]
    assert [one.value for one in offered["failed"]] == ["true", "false"]
    files = [one.value for one in desk.choices("get_file_content", "")["file_path"]]
    assert {"snapshot.json", "/etc/x.conf"} <= set(files)
    point = desk.choices("create_suspicious_point", "")
    assert any(one.value.startswith("ev:syscall/3") for one in point["evidence"])
    assert "missing_file" in [one.value for one in point["cause"]]
    states = [one.value for one in desk.choices("update_suspicious_point", "")["state"]]
    assert states == ["confirmed", "open", "refuted"]


def test_a_point_is_noted_confirmed_and_not_changed_unseen(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace, actor="ada")
    fields = {"function_name": "main", "description": "it ends here", "evidence": "ev:syscall/3,ev:reg/zz"}
    said = actions.note_point(run.run_id, "create_suspicious_point", fields)
    assert said == "suspicious point sp1 at main was noted; marked, because they lead nowhere: ev:reg/zz"
    change = {"suspicious_point_id": "sp1", "state": "refuted", "expect_revision": "1"}
    said = actions.note_point(run.run_id, "update_suspicious_point", change)
    assert said == "suspicious point sp1 at main is dismissed"
    with pytest.raises(TriageError, match="revision 2"):
        actions.note_point(run.run_id, "update_suspicious_point", change)
    with pytest.raises(TriageError, match="notes nothing"):
        actions.note_point(run.run_id, "get_registers", {})
    [point] = read_points(run).points
    assert [one.actor for one in point.history] == ["ada", "ada"]
    assert [one.supported for one in point.evidence] == [True, False]
