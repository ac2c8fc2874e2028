"""The knowledge base in force: read again when a file changed, and never made worse by a broken edit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.diagnosis.knowledge_base.writing import GOOD, write
from tests.diagnosis.recorded import load_case, run_of
from tests.e2e.commands import command, triage
from tests.waiting import wait_until
from triage_tui.diagnosis.knowledge_base.explaining import explain
from triage_tui.diagnosis.knowledge_base.in_force import KnowledgeInForce
from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import TriageError
from triage_tui.rule_places import user_directories
from triage_tui.telemetry.doctor import own_knowledge


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of a person's own entries, with one in it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TRIAGE_TUI_RULES", str(tmp_path / "rules"))
    write(tmp_path / "rules", GOOD)
    return tmp_path / "rules"


def test_a_change_is_taken_and_told_once(rules: Path) -> None:
    force = KnowledgeInForce()
    first = force.current()
    assert first is force.current()
    assert force.news() == []
    write(rules, GOOD | {"version": 2}, GOOD | {"id": "other"})
    second = force.current()
    assert {entry.version for entry in second.entries if entry.id == "mine"} == {2}
    assert second.sha256 != first.sha256
    (told,) = force.news()
    assert told.startswith("the knowledge base was read again: ")
    assert told.endswith("entries (other new, mine changed)")
    assert force.news() == []


def test_a_broken_edit_leaves_what_was_in_force_and_names_file_and_line(rules: Path) -> None:
    force = KnowledgeInForce()
    before = force.current()
    path = rules / "mine.yaml"
    path.write_text(path.read_text().replace("missing_file", "missing_fil"))
    assert force.current() is before
    (told,) = force.news()
    assert told.startswith(f"{path}:5, entry mine, key cause: unknown cause 'missing_fil'; did you mean")
    assert told.endswith("so the knowledge base of before stays in force")
    assert force.current() is before
    assert force.news() == []
    path.write_text("schema: 1\nentries: [")
    assert force.current() is before
    assert f"{path}:3: the file is no usable YAML" in force.news()[0]
    write(rules, GOOD)
    assert force.current().sha256 == before.sha256
    for name in rules.iterdir():
        name.unlink()
    rules.rmdir()
    assert any(entry.id == "mine" for entry in force.current().entries)
    assert "does not exist, so the knowledge base of before stays in force" in force.news()[-1]


def test_the_first_time_what_is_wrong_is_left_out_and_the_rest_goes_on(rules: Path) -> None:
    write(rules, GOOD | {"id": "broken", "version": "x"}, name="b.yaml")
    force = KnowledgeInForce()
    ids = {entry.id for entry in force.current().entries}
    assert "mine" in ids
    assert "broken" not in ids
    (told,) = force.news()
    assert told.startswith(f"left out of the knowledge base: {rules}/b.yaml:4, entry broken")


def test_the_usual_directory_is_read_where_it_is_there_and_the_named_ones_come_later(
    rules: Path, tmp_path: Path
) -> None:
    assert user_directories() == (str(rules),)
    usual = tmp_path / "config" / "triage-tui" / "rules"
    usual.mkdir(parents=True)
    write(usual, GOOD | {"version": 7}, GOOD | {"id": "usual"})
    assert user_directories() == (str(usual), str(rules))
    entries = {entry.id: entry for entry in KnowledgeInForce().current().entries}
    assert (entries["mine"].version, entries["usual"].version) == (1, 1)


def test_a_directory_that_is_not_there_is_refused_at_first(
    rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_TUI_RULES", str(rules / "none"))
    with pytest.raises(TriageError, match="does not exist"):
        KnowledgeInForce().current()


def test_watch_tells_of_the_edit_in_one_line(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "ai_runs").mkdir()
    write(rules, GOOD | {"cause": "nothing"}, name="other.yaml")
    err = tmp_path / "err"
    with err.open("wb") as stream:
        watching = subprocess.Popen(
            command(tmp_path, "watch"), stdout=subprocess.DEVNULL, stderr=stream, env=dict(os.environ)
        )
    try:
        wait_until(lambda: "left out of the knowledge base" in err.read_text())
        write(rules, GOOD | {"version": "two"})
        wait_until(
            lambda: "key version: needs a whole number, so the knowledge base of before" in err.read_text()
        )
        write(rules, GOOD | {"version": 2})
        wait_until(lambda: "entries (mine changed)" in err.read_text())
    finally:
        watching.terminate()
        watching.wait()


def test_a_run_is_diagnosed_although_an_entry_is_broken(rules: Path, tmp_path: Path) -> None:
    write(rules, GOOD | {"cause": "nothing"})
    run_of(load_case("applet-cat-missing"), tmp_path / "ai_runs").dir.rename(
        tmp_path / "ai_runs" / "20260101_000000_00000001"
    )
    done = triage(tmp_path, "kb", "explain", "last")
    assert done.returncode == 0
    assert done.stdout.startswith("missing-file (missing_file)")
    (told,) = done.stderr.splitlines()
    assert told.startswith(f"left out: {rules}/mine.yaml:")


def test_the_doctor_tells_of_a_persons_own_files(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = own_knowledge()
    assert (check.grade, check.found) == ("ok", "1 entry of your own")
    write(rules, GOOD | {"cause": "nothing"})
    (check,) = own_knowledge()
    assert (check.grade, check.mend) == ("limited", "triage-tui kb lint")
    assert f"{rules}/mine.yaml:5, entry mine, key cause: unknown cause 'nothing'" in check.found
    monkeypatch.delenv("TRIAGE_TUI_RULES")
    assert own_knowledge() == []


def test_what_a_person_switched_off_is_told_where_it_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write(tmp_path / "own", GOOD | {"id": "missing-file", "status": "disabled"})
    monkeypatch.setenv("TRIAGE_TUI_RULES", str(own.parent))
    base = KnowledgeInForce().current()
    run = run_of(load_case("applet-cat-missing"), tmp_path)
    assert diagnose(run, base).kb_problems == [f"switched off by {own}: missing-file"]
    with pytest.raises(TriageError, match=f"missing-file is switched off by {own}:3"):
        explain(run, base, "missing-file")
