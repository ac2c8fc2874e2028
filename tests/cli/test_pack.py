"""Rules of one workspace reach another as a signed file, and a person approves them there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.retry.decisions import (
    CALLS,
    FILES,
    TARGET,
    actions,
    check_nothing_left,
    copied,
    text_of,
    workspace_at,
)
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.retry.rounds.policy import choose
from triage_tui.retry.rules.proposed import best_proposal
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, str]:
    """Two workspaces with the same run; in the second the person has proposals of his own for one call."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    run_id = workspace_at(tmp_path / "one")
    theirs = copied(tmp_path / "one", tmp_path / "two")
    run_dir = theirs / "ai_runs" / run_id
    for name in FILES:
        (run_dir / "rules_patch" / name).unlink()
    (run_dir / "diagnosis.json").unlink()
    evidence = f"-- evidence: binary={'0' * 64} errno=ENOENT"
    born = text_of("openat").decode().replace("-- match", f"-- run: {run_id}\n{evidence}\n-- match")
    actions(tmp_path / "one").save_edit(run_id, FILES[0], born)
    actions(tmp_path / "one").approve(run_id, list(FILES[:2]))
    return tmp_path / "one", theirs, run_id


def say(*words: str) -> int:
    return main(list(words))


def test_rules_go_from_one_workspace_to_another(
    places: tuple[Path, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, theirs, run_id = places
    pack = tmp_path / "x.rulepack"
    export = ("pack", "export", "-C", str(mine), "last", "--name", "x", "-o", str(pack))
    assert say(*export) == 2
    assert "make one with `triage-tui pack key new`" in capsys.readouterr().err
    assert say("pack", "key", "new") == 0
    assert say(*export) == 0
    first = pack.read_bytes(), pack.with_name("x.rulepack.minisig").read_bytes()
    assert say(*export) == 2
    assert "is there already" in capsys.readouterr().err
    assert say(*export, "--force") == 0
    assert (pack.read_bytes(), pack.with_name("x.rulepack.minisig").read_bytes()) == first
    capsys.readouterr()
    assert say("pack", "verify", "--json", str(pack)) == 0
    told = json.loads(capsys.readouterr().out)
    known = {rule["id"]: rule["conditions"] for rule in told["manifest"]["rules"]}
    assert (known["ioctl-1"]["arch"], known["ioctl-1"]["errnos"]) == ("", [])
    assert (known["openat-1"]["arch"], known["openat-1"]["errnos"]) == ("mipsel", ["ENOENT"])
    there = ("-C", str(theirs))
    assert say("pack", "import", *there, str(pack), "--run", "last") == 0
    assert "none is active; 2 rules of pack x proposed on run" in capsys.readouterr().out
    run = Workspace.at(theirs).load(run_id)
    assert run.diagnosis is not None
    offered = [one for one in run.diagnosis.proposals if one.source == "pack"]
    assert [one.id for one in offered] == ["pack-x-ioctl-1", "pack-x-openat-1"]
    # No policy takes them, only a person who names one.
    assert choose(run, {one.id for one in run.diagnosis.proposals if one.source == "kb"}) is None
    with pytest.raises(TriageError):
        best_proposal(run, {one.id for one in run.diagnosis.proposals if one.source == "kb"})
    assert say("show", *there, "last", "--section", "patch") == 0
    shown = capsys.readouterr().out
    assert shown.count("from a pack (proposed-by in its header): a person must name it") == 2
    assert say("approve", *there, "last", "pack-x-openat-1", "pack-x-ioctl-1") == 0
    active = (theirs / "rulebook" / TARGET / "current/syscall/openat@openat-1.lua").read_text()
    assert "\n-- proposed-by: pack x " in active
    # What another program did is no evidence here, by which the rule would be set aside at once.
    assert "-- evidence" not in active
    assert "2 rules active" in capsys.readouterr().out
    assert say("pack", "propose", *there, "x", "last") == 3
    assert say("pack", "list", *there) == 0
    assert "x  2 rules, signed by" in capsys.readouterr().out
    assert say("audit", "show", *there, "--json") == 0
    kinds = [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()]
    assert kinds[0] == "imported"
    assert kinds[-2:] == ["approved", "activated"]
    check_nothing_left(theirs)
    check_nothing_left(mine)


def test_rules_of_the_run_itself_are_not_replaced(
    places: tuple[Path, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, _, _ = places
    pack = tmp_path / "x.rulepack"
    assert say("pack", "export", "-C", str(mine), "last", "--name", "x", "-o", str(pack), "--unsigned") == 0
    fresh = tmp_path / "three"
    run_id = workspace_at(fresh)
    assert say("pack", "import", "-C", str(fresh), str(pack)) == 2
    assert "has no signature beside it" in capsys.readouterr().err
    assert say("pack", "import", "-C", str(fresh), str(pack), "--unsigned", "--run", "last") == 3
    told = capsys.readouterr().err
    assert "pack x is kept" in told
    assert "of its own, which that of a pack does not replace" in told
    for name, call in zip(FILES, CALLS, strict=True):
        assert call.encode() in patches.read_rule(fresh / "ai_runs" / run_id, name)
    for place in (".", "/dev/null", str(tmp_path / "missing/x"), "/proc/x"):
        export = ("pack", "export", "-C", str(mine), "last", "--unsigned", "--force", "-o", place)
        assert say("pack", "import", "-C", str(fresh), place) == 2
        assert place == "." or "/missing/" in place or say(*export) == 2
        assert "internal error" not in capsys.readouterr().err
    assert Path("/dev/null").is_char_device()
    assert say("pack", "key", "trust") == 2
    assert say("pack", "verify", str(tmp_path / "missing")) == 2
    assert say("pack", "verify", str(pack), "--unsigned") == 0
