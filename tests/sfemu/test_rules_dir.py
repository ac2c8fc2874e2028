"""What is a rule directory of SFEmu, and what lies where in it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.sfemu import records
from tests.sfemu.scenes import exit_scene
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.listing import list_runs
from triage_tui.sfemu.rules_dir import find, is_on, read_settings


def rules_directory(root: Path, records: str = "cache") -> Path:
    (root / records / "ai_runs").mkdir(parents=True)
    (root / "entry.lua").write_text("function entry() return false, 0 end\n")
    return root


@pytest.mark.parametrize("place", ["cache", "data"])
def test_commands_work_beside_its_records(tmp_path: Path, place: str) -> None:
    root = rules_directory(tmp_path / "rules", place)
    for named in (root, root / place, root / place / "ai_runs"):
        assert Workspace.at(named).root == root / place / "triage_tui"
    assert sorted(path.name for path in (root / place).iterdir()) == ["ai_runs", "triage_tui"]


def test_one_that_cannot_be_written_is_read_into_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = records.rules_directory(tmp_path / "rules")
    source = records.write_run(rules, exit_scene())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    make = Path.mkdir

    def refuse(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.is_relative_to(rules):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        make(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert main(["list", "-C", str(rules)]) == 0
    (home,) = (tmp_path / "user" / "triage-tui" / "sfemu").glob("*/cache/triage_tui")
    assert (
        f"{rules} cannot be written: what is read of it here is kept in {home}\n" in capsys.readouterr().err
    )
    run = Workspace.at(rules).load(source.name)
    assert (run.dir, run.snapshot.rules_dir) == (home / "ai_runs" / source.name, f"{rules}/")
    # The place itself, which a command may name, is the same workspace.
    assert [one.form for one in list_runs(Workspace.at(home).runs_dir)] == ["run"]
    assert not (rules / "cache" / "triage_tui").exists()
    monkeypatch.undo()
    assert Workspace.at(rules).root == rules / "cache" / "triage_tui"


def test_both_generations_of_records_are_known_and_the_newer_one_holds_ours(tmp_path: Path) -> None:
    root = rules_directory(tmp_path)
    (root / "data" / "ai_runs").mkdir(parents=True)
    (root / "data" / "stable_rules").mkdir()
    found = find(root)
    assert found is not None
    assert found.runs_dirs == [root / "cache" / "ai_runs", root / "data" / "ai_runs"]
    assert found.stable_dirs == [root / "data" / "stable_rules"]
    assert found.home == root / "cache" / "triage_tui"


def test_without_the_entry_script_its_records_are_enough(tmp_path: Path) -> None:
    (tmp_path / "data" / "ai_runs").mkdir(parents=True)
    assert find(tmp_path) is not None


def test_a_workspace_of_ours_is_none(tmp_path: Path) -> None:
    (tmp_path / "ai_runs").mkdir()
    assert find(tmp_path) is None
    (tmp_path / "entry.lua").touch()
    (tmp_path / "rulebook").mkdir()
    assert find(tmp_path) is None
    assert Workspace.at(tmp_path).root == tmp_path


def test_override_directories_come_in_their_order_and_stay_inside(tmp_path: Path) -> None:
    root = rules_directory(tmp_path / "rules")
    found = find(root)
    assert found is not None
    assert found.override_dirs == [root / "syscall_override_user", root / "syscall_override"]
    (root / "config").mkdir()
    (root / "config" / "env").write_text(
        'SFEMU_RULES_OVERRIDE_DIR="mine:../other:/etc/rules:syscall_override"\n'
    )
    found = find(root)
    assert found is not None
    assert found.override_dirs == [root / "mine", root / "syscall_override"]
    assert found.foreign_overrides == [tmp_path / "other", Path("/etc/rules")]


def test_settings_are_read_as_it_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(
        b"\xef\xbb\xbf# comment\n; comment\nexport OPENAI_MODEL = 'gpt-4o # mini'\n"
        b'A=1 # why\nB="x\nA=2\nno line\n=3\n1C=4\nD=\xff\nexport\tE="y" # of all of it\n'
    )
    assert read_settings(path) == {
        "OPENAI_MODEL": "gpt-4o # mini",
        "A": "2",
        "B": '"x',
        "D": "\\xff",
        "E": '"y"',
    }
    assert read_settings(tmp_path / "none") == {}
    assert read_settings(tmp_path) == {}
    assert [is_on(word, True) for word in ("on", "NO", "maybe", None)] == [True, False, True, True]


def test_a_setting_with_a_zero_byte_is_none(tmp_path: Path) -> None:
    root = rules_directory(tmp_path / "rules")
    (root / "config").mkdir()
    (root / "config" / "env").write_bytes(b"SFEMU_RULES_OVERRIDE_DIR=a\0b:c\nA=1\n")
    found = find(root)
    assert found is not None
    assert found.settings == {"A": "1"}
    assert main(["rules", "published", "-C", str(root)]) == 0


def test_a_link_in_place_of_the_records_is_not_followed(tmp_path: Path) -> None:
    root = rules_directory(tmp_path / "rules")
    (tmp_path / "elsewhere").mkdir()
    (root / "cache" / "triage_tui").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TriageError, match="reached by a link"):
        Workspace.at(root)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_link_in_place_of_the_runs_is_named_where_no_run_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = rules_directory(tmp_path / "rules")
    assert main(["list", "-C", str(rules)]) == 0
    assert f"no runs in {rules}/cache/ai_runs\n" in capsys.readouterr().err
    (rules / "cache" / "ai_runs").rename(tmp_path / "large")
    (rules / "cache" / "ai_runs").symlink_to(tmp_path / "large")
    assert main(["list", "-C", str(rules)]) == 0
    assert "cache/ai_runs (a link, which is not followed" in capsys.readouterr().err
