"""The app shows runs of SFEmu as they appear, without a key, and takes them in beside its own work."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.sfemu.broken import truncated
from tests.sfemu.records import rules_directory, write_run
from tests.sfemu.scenes import deadloop_scene, exit_scene, mips_scene
from tests.sfemu.test_reading import fingerprint
from tests.ui.conftest import until
from tests.waiting import wait_until
from triage_tui.retry.following_sfemu import SfemuFollower
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.catalog import Catalog
from triage_tui.runs.stories import group
from triage_tui.sfemu.following import wanted
from triage_tui.ui.app import TriageApp


def test_runs_are_listed_at_once_and_new_ones_come_without_a_key(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    old = write_run(rules, exit_scene())
    home = Workspace.at(rules).root

    async def look() -> None:
        app = TriageApp(home)
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: (run := app.main.run_list.get(old.name)) and run.form == "run")
            new = write_run(rules, deadloop_scene(), number=9)
            await until(pilot, lambda: (run := app.main.run_list.get(new.name)) and run.cause)
            assert app.main.run_list.get(new.name).cause == "missing_interface"  # type: ignore[union-attr]
            broken = write_run(rules_directory(tmp_path / "others"), mips_scene(), number=10)
            truncated(broken)
            broken = broken.rename(new.parent / broken.name)
            await until(
                pilot, lambda: (run := app.main.run_list.get(broken.name)) and run.form == "unreadable"
            )

    asyncio.run(look())


def test_what_sfemu_goes_on_writing_is_taken_in_and_nothing_of_it_changed(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    home = Workspace.at(rules).root
    told: set[str] = set()
    follower = SfemuFollower(home, told.update)
    follower.start()
    try:
        log = home / "ai_runs" / source.name / "logs" / "sfemu-retry.log"
        wait_until(log.exists)
        with (source / "retry.log").open("a") as stream:
            stream.write("apply failed: x kind=fix\n")
        before = fingerprint(rules)
        wait_until(lambda: "apply failed: x" in log.read_text())
        assert fingerprint(rules) == before
    finally:
        follower.stop()
    assert told == {source.name}


def test_a_rule_directory_in_which_nothing_was_recorded_yet_is_followed(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    (rules / "cache" / "ai_runs").rmdir()
    home = Workspace.at(rules).root
    told: set[str] = set()
    follower = SfemuFollower(home, told.update)
    follower.start()
    try:
        first = write_run(rules, exit_scene())
        wait_until(lambda: first.name in told)
        shutil.rmtree(rules / "cache" / "ai_runs")
        again = write_run(rules, mips_scene(), number=5)
        wait_until(lambda: again.name in told)
    finally:
        follower.stop()


def test_the_newest_come_first_and_what_was_taken_in_is_left(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    sources = [write_run(rules, exit_scene(), number=number) for number in range(4)]
    workspace = Workspace.at(rules)
    workspace.load(sources[1].name)
    assert list(wanted(workspace.root, looked_at=1)) == [sources[3], sources[2], sources[0]]


def test_a_list_of_many_reads_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = rules_directory(tmp_path / "rules")
    names = [f"20260131_0200{number:02d}_{number:08d}" for number in range(60)]
    for name in names:
        (rules / "cache" / "ai_runs" / name).mkdir()
    looked_at: list[Path] = []
    monkeypatch.setattr("triage_tui.runs.catalog.read_summary", looked_at.append)
    found = Catalog(Workspace.at(rules).runs_dir).read()
    assert [run.run_id for run in found] == names[::-1]
    assert {run.form for run in found} == {"sfemu"}
    assert len(group(found)) == 1
    assert not looked_at
