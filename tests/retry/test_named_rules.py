"""Rules by name: files, what a run proposes, what is active, an older generation, and what names nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.retry.test_actions import FILE, TEXT
from tests.runs.build import write_run
from triage_tui.errors import TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.rules.named_rules import named, one
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import append_event


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run whose proposal was approved twice, the second time with another text; only read."""
    workspace = Workspace(tmp_path_factory.mktemp("named"))
    run_dir = write_run(workspace.runs_dir)
    rule = run_dir / "rules_patch" / FILE
    rule.parent.mkdir(parents=True)
    rule.write_bytes(TEXT)
    append_event(run_dir, "captured", {})
    actions = LocalActions(workspace)
    actions.approve(run_dir.name, [FILE])
    actions.save_edit(run_dir.name, FILE, TEXT.decode() + "-- more\n")
    actions.approve(run_dir.name, [FILE])
    return workspace


def test_rules_are_found_by_every_form_of_name(workspace: Workspace) -> None:
    (proposed,) = named(workspace, ["last"])
    assert proposed.source == TEXT + b"-- more\n"
    assert (proposed.syscall, proposed.target_id, proposed.path) == ("openat", "x-1", None)
    assert named(workspace, [f"last:{FILE}"]) == [proposed]
    (active,) = named(workspace, [])
    assert active.source == proposed.source
    assert named(workspace, ["active:x"]) == named(workspace, ["x-1@2"]) == [active]
    assert one(workspace, "x@1").source == TEXT
    rules = workspace.root / "rulebook" / "x-1" / "generations" / "0001"
    (file,) = named(workspace, [str(rules)])
    assert file.path is not None
    assert named(workspace, [str(file.path), str(rules)]) == [file]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing", "names no rule"),
        ("", "names no rule"),
        ("a\0b", "names no rule"),
        ("last:fix/syscall/no.lua", "no.lua"),
        ("last:../../x.lua", "no rule file of a run"),
        ("active:y", "no targets"),
        ("x@9", "no generation 9"),
        ("./missing.lua", "missing.lua"),
        ("/proc/self/mem", "cannot read /proc/self/mem"),
        ("/dev/zero", "not a regular file"),
    ],
)
def test_what_names_no_rule_is_told(workspace: Workspace, name: str, told: str) -> None:
    with pytest.raises(TriageError, match=told):
        named(workspace, [name])


def test_a_directory_without_rules_and_several_rules_for_one_are_told(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TriageError, match="no rule"):
        named(workspace, [str(tmp_path / "empty")])
    with pytest.raises(TriageError, match="names 3 rules, not one"):
        one(workspace, str(workspace.root))


def test_what_goes_away_while_a_directory_is_walked_stops_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "many"
    for name in ("gone", "kept"):
        (place / name).mkdir(parents=True)
        (place / name / "openat.lua").write_bytes(TEXT)
    scandir = os.scandir

    def first_gone(path: str) -> Any:
        if path == str(place / "gone"):
            shutil.rmtree(path, ignore_errors=True)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", first_gone)
    assert [rule.path for rule in named(workspace, [str(place)])] == [place / "kept" / "openat.lua"]
