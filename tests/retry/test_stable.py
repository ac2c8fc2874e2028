"""Stable sets: what a target needs to be well, its tests, and the watch for what it mended."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.strict import validator
from triage_tui.cli.main import main
from triage_tui.resources import recorded_runs
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.sharing.recurrence import reopen
from triage_tui.retry.sharing.stable import kept_set
from triage_tui.retry.sharing.stable import well as well_in_words
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.rulebook.packs.format import PackManifest, StableSet, packed, read_pack, rules_digest
from triage_tui.runs.listing import summarize
from triage_tui.runs.reader import Run, load_run

FAILS, WELL = (path.name for path in recorded_runs()[4:6])
"""xl2tpd lacks its directory and exits; with a rule that makes it, it listens."""
RULE = "syscall/mknodat@fix-mknodat-e64b880b.lua"
IDLE = "syscall/openat@fix-openat-23dda4a1.lua"
LOST = "missing_dir mknod(/var/run/xl2tpd) ENOENT"


def change(run_dir: Path, edit: Callable[[dict[str, Any]], None]) -> Run:
    """Change the snapshot of a run."""
    path = run_dir / "snapshot.json"
    snapshot = json.loads(path.read_text())
    edit(snapshot)
    path.write_text(json.dumps(snapshot))
    return load_run(run_dir)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The failure, the retry that is well, and two active rules of which one did something."""
    found = Workspace(tmp_path / "ws")
    for place in recorded_runs()[4:6]:
        shutil.copytree(place, found.runs_dir / place.name)
    patch = found.runs_dir / FAILS / "rules_patch/fix"
    rules = {name: (patch / name).read_bytes() for name in (RULE, IDLE)}
    target = load_run(found.runs_dir / FAILS).snapshot.target.target_id
    made = generations.activate(
        found.rulebook_dir(target), add=rules, actor="t", reason="t", run=FAILS, expect=0
    )

    def with_rules(snapshot: dict[str, Any]) -> None:
        snapshot["engine"] |= {"rule_pack_sha256": made.digest, "generation": made.number}
        snapshot["rule_hits"][0]["sha256"] = hashlib.sha256(rules[RULE]).hexdigest()
        snapshot["rule_hits"].append(
            {"rule": "x", "hits": 0, "sha256": hashlib.sha256(rules[IDLE]).hexdigest()}
        )

    change(found.runs_dir / WELL, with_rules)
    return found


def say(workspace: Workspace, *words: str) -> int:
    return main(["stable", "-C", str(workspace.root), *words])


def export(workspace: Workspace, *words: str) -> int:
    return say(workspace, "export", "last", "--unsigned", "-o", str(workspace.root), *words)


def test_what_was_needed_is_exported_with_its_failure_as_a_test(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(workspace, "--json", "--description", "for rooms without a directory") == 0
    told = json.loads(capsys.readouterr().out)
    validator("stable-export").validate(told)
    assert (told["rules"], told["cases"], told["tests"]) == (1, 2, 1)
    assert told["mends"] == [LOST]
    assert told["left_out"] == [f"{IDLE}: did nothing in the run that proves this set"]
    assert (told["proof"], told["proved"]) == (WELL, "resolved (listens)")
    assert export(workspace) == 2
    assert "there is a stable set xl2tpd already" in capsys.readouterr().err
    first = (workspace.root / "xl2tpd.rulepack").read_bytes()
    # What it says does not depend on when it is exported.
    assert export(workspace, "--force", "--description", "for rooms without a directory") == 0
    assert (workspace.root / "xl2tpd.rulepack").read_bytes() == first
    assert say(workspace, "list") == 0
    assert say(workspace, "show", "xl2tpd") == 0
    shown = capsys.readouterr().out
    for text in (LOST, "for rooms without a directory", "the directory appears in the copy", "ENOENT", WELL):
        assert text in shown
    assert say(workspace, "test", str(workspace.root / "xl2tpd.rulepack")) == 0
    assert capsys.readouterr().out.count("ok     ") == 3
    for action in ("show", "test"):
        assert say(workspace, action, "xl2tpd", "--json") == 0
        for line in capsys.readouterr().out.splitlines():
            validator(f"stable-{action}").validate(json.loads(line))
    # It is a rule pack: another workspace takes it, and a person decides there.
    there = Workspace(tmp_path / "there")
    shutil.copytree(recorded_runs()[4], there.runs_dir / FAILS)
    file = str(workspace.root / "xl2tpd.rulepack")
    assert main(["pack", "import", "-C", str(there.root), file, "--unsigned", "--run", "last"]) == 3
    assert "pack xl2tpd is kept: 1 rule" in capsys.readouterr().err
    assert say(workspace, "drop", "xl2tpd") == 0
    assert say(workspace, "show", "xl2tpd") == 2


def test_a_test_that_does_not_hold_any_more_is_said(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(workspace) == 0
    pack = kept_set(workspace.rulebook, "xl2tpd").pack
    assert pack is not None
    assert pack.manifest.stable is not None
    (test,) = pack.manifest.stable.tests
    (seq,) = test.acts
    test.acts = [seq, 9999]
    file = tmp_path / "x.rulepack"
    file.write_bytes(packed(pack.manifest, pack.rules, pack.cases))
    capsys.readouterr()
    assert say(workspace, "test", str(file)) == 1
    assert f"acts at calls {seq}, {seq}, 9999 expected" in capsys.readouterr().out


def test_only_what_is_well_and_needed_is_stable(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing_did(snapshot: dict[str, Any]) -> None:
        snapshot["rule_hits"] = []

    def other_rules(snapshot: dict[str, Any]) -> None:
        snapshot["engine"]["rule_pack_sha256"] = "0" * 64

    well = workspace.runs_dir / WELL
    verdict = (well / "verdict.json").read_text()
    (well / "verdict.json").write_text(verdict.replace('"resolved"', '"sideways"', 1))
    assert export(workspace) == 2
    told = capsys.readouterr().err
    assert f"run {WELL}, the newest judged with the active rules, is not well (sideways: " in told
    # Sideways from a run that was well is as well as that one; but not where the judge doubts it.
    again = workspace.runs_dir / "20261122_000000_00000002"
    shutil.copytree(well, again)
    told = json.loads(verdict) | {"word": "sideways"}
    told["before"]["run_id"] = WELL
    for doubted, says in ((True, ""), (False, f"well as before ({told['rung']})")):
        (again / "verdict.json").write_text(json.dumps(told | {"doubted": doubted}))
        assert well_in_words(load_run(again)) == says
    (well / "verdict.json").write_text(verdict)
    assert export(workspace, "--name", "again") == 0
    shutil.rmtree(again)
    shutil.rmtree(workspace.rulebook / ".stable")
    (workspace.root / "again.rulepack").unlink()
    (well / "verdict.json").write_text(verdict.replace('"resolved"', '"sideways"', 1))
    capsys.readouterr()
    # A later run that nobody judged does not outweigh that, and one that is ill outweighs all.
    later = workspace.runs_dir / "20261122_000000_00000001"
    shutil.copytree(well, later)
    (later / "verdict.json").unlink()
    assert export(workspace) == 2
    assert f"run {WELL}, the newest judged with" in capsys.readouterr().err
    (well / "verdict.json").write_text(verdict)
    shutil.copy(workspace.runs_dir / FAILS / "diagnosis.json", later)
    assert export(workspace) == 2
    assert (
        f"run {later.name}, the newest with the active rules, is not well (missing_"
        in capsys.readouterr().err
    )
    shutil.rmtree(later)
    change(well, nothing_did)
    assert export(workspace) == 2
    assert "none of the 2 active rules did anything in it" in capsys.readouterr().err
    change(well, other_rules)
    assert export(workspace) == 2
    assert "no run was made with generation 1 yet" in capsys.readouterr().err
    assert export(workspace, "--name", "../x") == 2
    assert not list(workspace.rulebook.glob(".stable/*"))
    assert say(workspace, "list") == 0


def test_a_mended_failure_that_is_back_reopens_its_story(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(workspace) == 0
    again = workspace.runs_dir / "20261122_000000_00000001"
    shutil.copytree(workspace.runs_dir / FAILS, again)

    def another_build(snapshot: dict[str, Any]) -> None:
        snapshot["target"] |= {"target_id": "another", "program_sha256": "0" * 64}

    diagnosed = json.loads((again / "diagnosis.json").read_text())
    diagnosed["hypotheses"][0]["signature"] = LOST
    (again / "diagnosis.json").write_text(json.dumps(diagnosed))
    assert "its rules are not active for this target" in reopen(workspace, load_run(again))
    run = change(again, another_build)
    assert run.snapshot.target.target_id == "another"
    assert reopen(workspace, run).startswith(f"reopened: {LOST} is back, which the stable set xl2tpd mended")
    assert summarize(again).reopened == "xl2tpd"
    capsys.readouterr()
    assert main(["list", "-C", str(workspace.root)]) == 0
    assert ", reopened" in capsys.readouterr().out
    assert main(["show", "-C", str(workspace.root), again.name]) == 0
    assert "reopened: missing_dir" in capsys.readouterr().out
    assert say(workspace, "list") == 1
    assert f"reopened by {again.name}" in capsys.readouterr().out


def test_another_failure_program_or_a_run_that_is_well_reopens_nothing(workspace: Workspace) -> None:
    assert export(workspace) == 0
    again = workspace.runs_dir / "20261122_000000_00000001"
    shutil.copytree(workspace.runs_dir / FAILS, again)

    def elsewhere(snapshot: dict[str, Any]) -> None:
        snapshot["target"] |= {"target_id": "another", "argv": ["/usr/sbin/xl2tpd", "-d"]}

    run = load_run(again)
    assert run.diagnosis is not None
    run.diagnosis.hypotheses[0].signature = "missing_dir mknod(/var/run/other) ENOENT"
    assert reopen(workspace, run) == ""
    assert reopen(workspace, load_run(workspace.runs_dir / WELL)) == ""
    run = change(again, elsewhere)
    assert run.diagnosis is not None
    run.diagnosis.hypotheses[0].signature = LOST
    assert reopen(workspace, run) == ""
    assert summarize(again).reopened == ""


def test_a_damaged_set_is_told_and_hides_no_other(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(workspace) == 0
    directory = workspace.rulebook / ".stable"
    (directory / "a.rulepack").write_bytes(b"PK")
    shutil.copy(directory / "xl2tpd.rulepack", directory / "b.rulepack")
    (directory / "c.rulepack").symlink_to("/etc/passwd")
    capsys.readouterr()
    assert say(workspace, "list", "--json") == 1
    found = {one["name"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
    for one in found.values():
        validator("stable-list").validate(one)
    assert "is no rule pack" in found["a"]["problem"]
    assert found["b"]["problem"] == "stable set b is another pack"
    assert found["c"]["problem"]
    assert found["xl2tpd"]["mends"] == [LOST]


def test_a_pack_without_tests_is_written_as_before(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "plain.rulepack"
    words = ("pack", "export", "-C", str(workspace.root), "last", "--unsigned", "-o", str(file))
    assert main(list(words)) == 0
    pack = read_pack(file.read_bytes(), "x")
    assert (pack.manifest.schema_version, pack.manifest.stable, pack.cases) == (1, None, {})
    assert b'"stable"' not in file.read_bytes()
    assert say(workspace, "test", str(file)) == 2


def test_it_is_said_while_the_program_runs(rootfs: Callable[[str], Path], tmp_path: Path) -> None:
    root = str(rootfs("busybox-armhf"))
    argv = ["busybox", "cat", "/missing"]
    stable = StableSet(
        program="/bin/busybox", argv=argv, arch="arm", rootfs=root, proof=WELL, proved="", since="",
        mends=["missing_file open(/missing) ENOENT"], cases=[], tests=[],
    )  # fmt: skip
    manifest = PackManifest(
        name="cat", description="", engine_version="", rule_header_version=1, rules_sha256=rules_digest([]),
        count=0, architectures=[], target="of an older build", generation=1, generation_digest="", rules=[],
        schema_version=2, stable=stable,
    )  # fmt: skip
    workspace = Workspace(tmp_path / "ws")
    kept = workspace.rulebook / ".stable/cat.rulepack"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(packed(manifest, {}))
    start = Start(program="/bin/busybox", argv=argv, rootfs=root, env={})
    told: list[str] = []
    run = run_rounds(workspace, start, hold=False, narrate=told.append).rounds[0].run
    (line,) = (line for line in told if line.startswith("reopened: "))
    assert "missing_file open(/missing) ENOENT is back, which the stable set cat mended" in line
    found = summarize(run.dir)
    assert found.reopened == "cat"
    assert found.signature == stable.mends[0]
