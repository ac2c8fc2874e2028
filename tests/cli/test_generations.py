"""Generations by command: list them, compare two, go to any; what is told of layers and statistics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.killing import Kill, carried_out
from tests.retry.decisions import CALLS, FILES, TARGET, check_nothing_left, hashes, text_of, workspace_at
from tests.runs.build import write_run
from triage_tui.cli.main import main
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.pending import MOVE_STEPS, Step
from triage_tui.retry.rules import proposed
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, patches, statistics
from triage_tui.rulebook.audit.check import check
from triage_tui.rulebook.audit.log import read_log
from triage_tui.runs.model import RuleHit


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first_error", "check_rule"):
        monkeypatch.setattr(proposed, name, lambda *_: None)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two runs of one target: generations 1 and 3 are of the first, 2 is of the second."""
    first = workspace_at(tmp_path)
    second = write_run(tmp_path / "ai_runs")
    (second / "rules_patch/fix/syscall").mkdir(parents=True)
    patches.write_rule(second, FILES[1], text_of(CALLS[1]))
    ann = LocalActions(Workspace(tmp_path), "ann")
    ann.approve(first, [FILES[0]])
    ann.approve(second.name, [FILES[1]])
    ann.approve(first, [FILES[2]])
    return Workspace(tmp_path)


def states(workspace: Workspace) -> list[str]:
    return [workspace.load(path.name).state for path in sorted(workspace.runs_dir.iterdir())]


def test_any_generation_is_gone_to_and_every_run_that_it_is_about_is_told(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["-C", str(workspace.root)]
    place = workspace.rulebook_dir(TARGET)
    bytes_of = {number: hashes(place / f"generations/000{number}") for number in (1, 2, 3)}
    assert states(workspace) == ["applied", "applied"]
    assert main(["rollback", TARGET, "--to", "1", "--reason", "worked", *at]) == 0
    assert "generation 1 is active for target x-1, byte for byte; before it was 3" in capsys.readouterr().out
    assert hashes(place / "current") == bytes_of[1]
    assert states(workspace) == ["rolled_back", "rolled_back"]
    entry = read_log(workspace.rulebook)[0][-1].entry
    assert entry is not None
    assert (entry.kind, entry.before, entry.after, entry.says) == ("rolled_back", 3, 1, "worked")

    assert main(["rollback", "last", "--to", "2", *at]) == 0
    assert states(workspace) == ["rolled_back", "applied"]
    assert main(["rollback", "last", "--to", "3", *at]) == 0
    assert hashes(place / "current") == bytes_of[3]
    assert states(workspace) == ["applied", "applied"]
    # What an approval made is taken back to what was active before that approval.
    assert main(["rollback", sorted(path.name for path in workspace.runs_dir.iterdir())[0], *at]) == 0
    assert hashes(place / "current") == bytes_of[2]
    assert main(["rollback", TARGET, "--to", "0", *at]) == 0
    assert generations.current(place) is None
    assert check(workspace.rulebook, workspace.runs_dir).whole


@pytest.mark.parametrize("step", MOVE_STEPS)
def test_every_run_is_told_of_a_move_whose_program_was_killed(workspace: Workspace, step: str) -> None:
    def go(at: Step) -> None:
        LocalActions(workspace, "bob", at).go_to_generation(TARGET, 1)

    assert carried_out(go, Kill(step=step))[0] == "killed"
    # Another program begins.
    active = generations.current(Workspace.at(workspace.root).rulebook_dir(TARGET))
    assert active is not None
    assert (active.number, states(workspace)) in (
        (3, ["applied", "applied"]),
        (1, ["rolled_back", "rolled_back"]),
    )
    check_nothing_left(workspace.root)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x-1", "--to", "3"], "generation 3 is active already"),
        (["x-1", "--to", "7"], "there is no generation 7"),
        (["x-1", "--to", "-1"], "there is no generation -1"),
        (["y", "--to", "1"], "no target with rules has an id"),
        (["shared", "--to", "1"], "no rule was ever active"),
    ],
)
def test_what_cannot_be_gone_to_is_one_sentence(
    workspace: Workspace, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollback", *arguments, "-C", str(workspace.root)]) != 0
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    active = generations.current(workspace.rulebook_dir(TARGET))
    assert active is not None
    assert active.number == 3


def test_generations_are_listed_with_who_when_and_why(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["-C", str(workspace.root)]
    assert main(["rules", "generations", "x", "--json", *at]) == 0
    found = json.loads(capsys.readouterr().out)["generations"]
    assert [(one["number"], one["active"], one["actor"]) for one in found] == [
        (1, False, "ann"),
        (2, False, "ann"),
        (3, True, "ann"),
    ]
    assert [one["added"] for one in found] == [[f"syscall/{call}@{call}-1.lua"] for call in CALLS]
    assert found[1]["run"] == max(path.name for path in workspace.runs_dir.iterdir())
    assert main(["rules", "generations", "last", *at]) == 0
    text = capsys.readouterr().out
    assert "*  3" in text
    assert "+1 ~0 -0" in text
    assert main(["rules", "diff", "x-1@1", "x-1@3", *at]) == 1
    assert "2 differ" in capsys.readouterr().err
    assert main(["rules", "diff", "x-1@0", "x-1@1", *at]) == 1
    assert "openat-1: added" in capsys.readouterr().out
    path = workspace.rulebook_dir(TARGET) / "generations/0002" / "syscall/ioctl@ioctl-1.lua"
    path.chmod(0o644)
    path.write_bytes(b"")
    assert main(["rules", "generations", "x", *at]) == 1
    assert "DAMAGED" in capsys.readouterr().out
    path = path.parent.parent / "manifest.json"
    path.chmod(0o644)
    whole = path.read_bytes()
    path.write_bytes(b"{")
    assert main(["rules", "generations", "x", "--json", *at]) == 1
    found = json.loads(capsys.readouterr().out)["generations"]
    assert [(one["number"], "is damaged" in one["problem"]) for one in found] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert main(["rules", "diff", "x-1@1", "x-1@2", *at]) == 2
    assert f"{path} is damaged" in capsys.readouterr().err
    problems = check(workspace.rulebook, workspace.runs_dir).problems
    assert any(f"{path} is damaged" in told for told in problems)
    assert not any("is not in the rulebook" in told for told in problems)
    pointer = workspace.rulebook_dir(TARGET) / "current"
    pointer.unlink()
    path.write_bytes(whole)
    (path.parent / "syscall/ioctl@ioctl-1.lua").write_bytes(text_of(CALLS[1]))
    pointer.symlink_to("../../../../tmp")
    assert main(["rules", "generations", "x", *at]) == 1
    told, said = capsys.readouterr()
    assert "DAMAGED" not in told
    assert "which generation is active cannot be told: " in said
    assert "move it away first" in said


def test_layers_and_statistics_are_printed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["-C", str(workspace.root)]
    own = workspace.rulebook / "own" / TARGET / "syscall/read@read-1.lua"
    own.parent.mkdir(parents=True)
    own.write_bytes(text_of("read", 4))
    assert main(["rules", "layers", "last", *at]) == 0
    text, said = capsys.readouterr()
    assert "hidden by own/x-1/syscall/read@read-1.lua" in text
    assert "3 rules of 4 act for target x-1" in said
    assert main(["rules", "stats", *at]) == 1
    hit = RuleHit(
        rule="read-1", hits=1, calls=2, matches=1, time_total_us=90, sha256="a" * 64, syscall="read"
    )
    run = workspace.load(write_run(workspace.runs_dir, rule_hits=[hit]).name)
    statistics.count(workspace.rulebook, TARGET, statistics.use_of(run))
    capsys.readouterr()
    assert main(["rules", "stats", "read", "--runs", "--target", "x", *at]) == 0
    text = capsys.readouterr().out
    assert f"{run.run_id}  first run: asked 2 times, 1 match, 1 hit" in text
    assert text.splitlines()[1].split()[:10] == [
        *("read-1", "aaaaaaaa", "1", "0", "0", "2", "1", "1", "0", "45")
    ]
    assert main(["rules", "stats", "--json", "nothing", *at]) == 1
