"""`triage-tui audit` after decisions that were made by command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.retry.test_actions import FILE, run, workspace
from triage_tui.cli.main import main
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.runs.reader import Run

__all__ = ["run", "workspace"]


@pytest.fixture
def decided(workspace: Workspace, run: Run) -> Workspace:
    """A workspace in which two people decided everything that can be decided without a guest."""
    ann, bob = LocalActions(workspace, "ann"), LocalActions(workspace, "bob")
    text = (run.dir / "rules_patch" / FILE).read_text()
    ann.save_edit(run.run_id, FILE, text + "-- edited\n")
    ann.approve(run.run_id, [FILE])
    bob.rollback(run.run_id)
    bob.drop(run.run_id, [f"{FILE}:1"], "too broad\x1b[2J")
    bob.reject(run.run_id, "not here")
    bob.reconsider(run.run_id)
    return workspace


def test_every_decision_is_there_once(
    decided: Workspace, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "-C", str(decided.root), "show", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["kind"], one["actor"]) for one in told if one["kind"] != "proposed"] == [
        ("edited", "ann"),
        ("approved", "ann"),
        ("activated", "ann"),
        ("rolled_back", "bob"),
        ("dropped", "bob"),
        ("rejected", "bob"),
        ("reconsidered", "bob"),
    ]
    assert {one["run"] for one in told} == {run.run_id}
    assert {one["target"] for one in told} == {"x-1"}
    by_kind = {one["kind"]: one for one in told}
    assert by_kind["rejected"]["says"] == "not here"
    assert (by_kind["rolled_back"]["before"], by_kind["rolled_back"]["after"]) == (1, 0)
    (edited,) = by_kind["edited"]["rules"].values()
    assert by_kind["approved"]["rules"] == {FILE: edited}
    assert list(by_kind["activated"]["rules"].values()) == [edited]
    assert LocalActions(decided, "ann").approve(run.run_id, [FILE])
    assert main(["audit", "verify", "-C", str(decided.root)]) == 0


def test_the_log_is_read_by_people(decided: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["-C", str(decided.root)]
    assert main(["audit", *where, "show", "--actor", "bob", "-n", "3"]) == 0
    out = capsys.readouterr().out
    assert "dropped, by bob, run " in out
    assert "too broad\\x1b[2J" in out
    assert "ann" not in out
    assert main(["audit", *where, "show", "--rule", "fix-openat-1"]) == 0
    out = capsys.readouterr().out
    assert "rules activated, by ann, generation none -> 1" in out
    assert main(["audit", *where, "show", "--actor", "nobody"]) == 0
    assert "No decision is chosen by these words." in capsys.readouterr().out


def test_verify_says_what_is_wrong_and_ends_with_1(
    decided: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["-C", str(decided.root)]
    assert main(["audit", "verify", *where]) == 0
    out = capsys.readouterr().out
    assert "The audit log is whole: " in out
    head = out.split("SHA-256 ")[1].split(";")[0]
    assert main(["audit", "verify", *where, "--head", head[:16]]) == 0
    assert main(["audit", "verify", *where, "--head", "0" * 64]) == 1
    assert main(["audit", "verify", *where, "--head", "xyz"]) == 2
    path = audit_log.log_path(decided.rulebook)
    path.write_bytes(path.read_bytes().replace(b'"bob"', b'"ann"', 1))
    capsys.readouterr()
    assert main(["audit", "verify", "--json", *where]) == 1
    assert "was changed after it was written" in json.loads(capsys.readouterr().out)["problems"][0]


def test_a_workspace_without_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "-C", str(tmp_path), "show"]) == 0
    assert capsys.readouterr().out == "Nothing was decided yet.\n"
    assert main(["audit", "-C", str(tmp_path), "verify"]) == 0
    assert "whole: 0 lines" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
