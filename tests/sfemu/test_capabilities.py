"""What doctor says of a rule directory: read from its text, never executed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.sfemu import rules_dir
from triage_tui.sfemu.running import commands
from triage_tui.sfemu.running.capabilities import capabilities
from triage_tui.sfemu.running.idle import repeated
from triage_tui.sfemu.running.opened import Opened

RULES = Path(__file__).with_name("rules")


def found_in(directory: Path) -> dict[str, tuple[str, str]]:
    rules = rules_dir.find(directory)
    assert rules is not None
    return {one.name: (one.grade, one.found) for one in capabilities(rules)}


def test_the_directory_of_the_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--sfemu", str(RULES)]) == 0
    printed = capsys.readouterr().out
    assert "limited  hook finish: used in finish.lua\n" in printed
    assert "ok       c_read_string: used in base/helpers.lua, entry.lua, finish.lua\n" in printed
    found = found_in(RULES)
    # All that SFEmu's emulator gives, and the three hooks.
    assert sum(name.startswith("c_") for name in found) == 27
    assert {"hook entry", "hook finish", "hook idle", "os.execute", "io.popen", "os.exit"} <= set(found)


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "rules"
    shutil.copytree(RULES, directory)
    (directory / "syscall/more.lua").write_text(
        "-- c_in_a_comment()\nlocal text = 'c_in_a_text()'\nlocal function c_own() end\nc_own()\n"
        "object.c_field()\nc_of_the_future(1)\n--[[ c_long() ]]\n"
        "if type(c_do_syscall) == 'function' then return package.loadlib end\n"
    )
    (directory / "cache").mkdir()
    (directory / "cache/recorded.lua").write_text("c_recorded()")
    with (directory / "config/env").open("a") as env:
        env.write(
            "\nOPENAI_API_KEY=secret\nSFEMU_AI_MCP_ENABLE=0\nSFEMU_RULES_OVERRIDE_DIR=/elsewhere:syscall\n"
        )
    found = found_in(directory)
    missing = {name for name, (grade, _) in found.items() if grade == "missing"}
    assert missing == {
        *("c_of_the_future", "package.loadlib", "setting OPENAI_API_KEY", "override directories"),
    }
    assert found["c_do_syscall"] == ("limited", "used in entry.lua, syscall/more.lua")
    assert main(["doctor", "--sfemu", str(directory)]) == 1
    assert "secret" not in capsys.readouterr().out
    assert main(["doctor", "--sfemu", str(tmp_path)]) != 0
    assert "is no rule directory of SFEmu" in capsys.readouterr().err


def test_running_one_needs_trust_in_so_many_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "-C", str(tmp_path), "--sfemu-rules", str(RULES), "/bin/true"]
    assert main(command) != 0
    said = capsys.readouterr().err
    assert "say --trust to run" in said
    assert "its Lua runs in the guest's cell" in said
    assert main(["run", "-C", str(tmp_path), "--trust", "/bin/true"]) != 0
    assert not (tmp_path / "ai_runs").exists()


def test_our_workspace_is_where_its_lua_cannot_make_another_one(tmp_path: Path) -> None:
    (tmp_path / "entry.lua").touch()
    for name in ("cache", "data/triage_tui"):
        (tmp_path / name).mkdir(parents=True)
    found = rules_dir.find(tmp_path)
    assert found is not None
    how = spec(tmp_path, tmp_path, "/bin/true")
    with pytest.raises(TriageError, match="move it to cache/triage_tui/"):
        Opened.of(found, by_name("arm"), how, idle_ms=0, keep=0, has_stack=False)


def test_plain_commands(tmp_path: Path) -> None:
    place = f"{tmp_path}/with space"
    assert commands.run(f"mkdir -p -- '{place}/x' >/dev/null 2>&1") == (0, b"")
    (tmp_path / "with space/f").write_text("text")
    assert commands.run(f"ln -f -- '{place}/f' '{place}/hard'") == (0, b"")
    assert (tmp_path / "with space/hard").stat().st_nlink == 2
    # The same file under both names: ln -f must not take it away.
    assert commands.run(f"ln -f -- '{place}/f' '{place}/hard'") == (1, b"")
    assert (tmp_path / "with space/hard").read_text() == "text"
    assert commands.run(f"ln -sf nowhere '{place}/soft'") == (0, b"")
    assert commands.run(f"test -e '{place}/soft'") == (1, b"")
    assert commands.run(f"test -L '{place}/soft'") == (0, b"")
    assert commands.run(f"cat '{place}/f'") == (0, b"text")
    assert commands.run(f'ls "{place}"') == (0, b"f\nhard\nsoft\nx\n")
    assert commands.run(f"rm -rf '{place}'") == (0, b"")
    assert not Path(place).exists()
    for other in (
        "ls | wc",
        "echo $HOME",
        "rm -rf /tmp/*",
        "mkdir a; mkdir b",
        "ifconfig eth0",
        "mkdir -m 700 a",
        "",
    ):
        assert commands.run(other) is None


def test_repeated_places() -> None:
    assert repeated([1, 2, 3]) is None
    assert repeated([9, 1, 2, 1, 2, 1, 2]) == (2, 3)
    assert repeated([5] * 4) == (1, 4)
    assert repeated(list(range(16)) * 3) == (16, 3)
    assert repeated(list(range(17)) * 3) is None
