"""`triage-tui sfemu-ai` as SFEmu's external tool: every version's snapshot, its files, its exit statuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.sfemu import records, scenes
from tests.sfemu.loader import Loader
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.sfemu.answering import Answer, WriteFailed, write_answer


def _run(tmp_path: Path, scene: str, version: int, config: str = "") -> tuple[Path, Path]:
    rules = records.rules_directory(tmp_path / f"{scene}{version}", version, config)
    return rules, records.write_run(rules, scenes.SCENES[scene](), version)


def _ask(rules: Path, run_dir: Path) -> int:
    return main(
        ["sfemu-ai", str(run_dir / "snapshot.json"), str(run_dir / "rules_patch"), str(rules / "config/env")]
    )


@pytest.mark.parametrize("version", records.VERSIONS)
def test_every_version_is_answered_in_its_form(tmp_path: Path, version: int) -> None:
    rules, run_dir = _run(tmp_path, "sleep" if version == 6 else "exit", version)
    patch = run_dir / "rules_patch"
    before = {path: path.read_bytes() for path in (patch / "observe").rglob("*.lua")}
    assert _ask(rules, run_dir) == 0
    meta = json.loads((patch / "ai_result_meta.json").read_text())
    assert set(meta) == {"generated_at", "fix_files", "observe_files"}
    actions = json.loads((patch / "ai_actions.json").read_text())
    assert actions["mutations_applied"] == 0
    assert all(set(one) == {"tool", "ok", "args", "deny_reason"} for one in actions["actions"])
    assert (patch / "ai_actions_applied.txt").read_text() == "0\n"
    assert "What SFEmu is given" in (patch / "ai_explain.md").read_text()
    # What lay there to observe is SFEmu's own.
    assert before.items() <= {path: path.read_bytes() for path in (patch / "observe").rglob("*.lua")}.items()
    # It is in our workspace there, for review.
    assert (rules / records.records_name(version) / "triage_tui" / "ai_runs" / run_dir.name).is_dir()


def test_the_rule_that_the_policy_allows_runs_there(tmp_path: Path) -> None:
    rules, run_dir = _run(tmp_path, "sleep", 6)
    assert _ask(rules, run_dir) == 0
    written = run_dir / "rules_patch" / "fix" / "syscall" / "access.lua"
    assert f"on run {run_dir.name}".encode() in written.read_bytes().splitlines()[0]
    shutil.copy(written, rules / "syscall_override" / "access.lua")
    sfemu = Loader(rules)
    sfemu.text(scenes.LOG_PATH, b"/var/log/httpd.log\0")
    sfemu.text(scenes.NVRAM_PATH, b"/dev/other\0")
    # The file that the program waits for, and another one.
    answers = [sfemu.call("access", 33, address, 0) for address in (scenes.LOG_PATH, scenes.NVRAM_PATH)]
    assert answers[1] == (False, 0)
    assert not any("load:" in line or "run:" in line for line in sfemu.log)
    # A stricter list of the policy gives it nothing.
    rules, run_dir = _run(tmp_path / "strict", "sleep", 6, "SFEMU_TRIAGE_POLICY=assist\n")
    assert _ask(rules, run_dir) == 0
    assert not list((run_dir / "rules_patch" / "fix").rglob("*.lua"))
    left = (run_dir / "rules_patch" / "ai_explain.md").read_text()
    assert "the policy leaves it to a person" in left


def test_a_run_outside_of_a_rule_directory_leaves_nothing(tmp_path: Path) -> None:
    rules, run_dir = _run(tmp_path, "exit", 6)
    alone = tmp_path / "alone"
    shutil.copytree(run_dir, alone)
    shutil.rmtree(rules)
    (alone / "config").write_text("")
    assert (
        main(["sfemu-ai", str(alone / "snapshot.json"), str(alone / "rules_patch"), str(alone / "no")]) == 0
    )
    assert "nvram" in (alone / "rules_patch" / "ai_explain.md").read_text()
    assert not (alone / "cache").exists()


def test_the_model_is_asked_where_both_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the rule directory names is never called: a guest may have written it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("TRIAGE_TUI_MODEL", raising=False)
    config = "SFEMU_TRIAGE_MODEL=1\nOPENAI_API_KEY=k\nOPENAI_BASE_URL=http://192.0.2.1\nOPENAI_MODEL=m\n"
    rules, run_dir = _run(tmp_path, "error", 6, config)
    assert _ask(rules, run_dir) == 0
    told = capsys.readouterr().err
    assert "no model is set up" in told
    assert "the answer is our own diagnosis" in told


def test_exit_statuses_are_those_of_sfemus_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules, run_dir = _run(tmp_path, "exit", 6)
    with pytest.raises(SystemExit, match="2"):
        main(["sfemu-ai", str(run_dir / "snapshot.json")])
    for broken in (b"", b"[]", b"{", b'{"run_id": "x"}', b"[" * 100_000):
        (run_dir / "snapshot.json").write_bytes(broken)
        assert _ask(rules, run_dir) == 3
    assert main(["sfemu-ai", str(tmp_path / "nowhere"), str(tmp_path), str(tmp_path)]) == 3
    rules, run_dir = _run(tmp_path / "again", "exit", 6)
    shutil.rmtree(run_dir / "rules_patch" / "fix")
    (run_dir / "rules_patch" / "fix").symlink_to(tmp_path)
    assert _ask(rules, run_dir) == 6
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "is a link" in told
    assert not (tmp_path / "syscall").exists()


@pytest.mark.parametrize("name", ["../open", "..././open", "a/b", "", ".", "open.lua\0", "OPEN", "a" * 99])
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(WriteFailed, match="no name of a syscall"):
        write_answer(tmp_path / "patch", Answer("", fix={name: b""}))
    assert [path.name for path in tmp_path.rglob("*.lua")] == []


def test_links_in_the_place_of_files_are_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("keep")
    place = tmp_path / "patch" / "fix" / "syscall"
    place.mkdir(parents=True)
    for path in (place / "open.lua", tmp_path / "patch" / "ai_explain.md"):
        path.symlink_to(mine)
    write_answer(tmp_path / "patch", Answer("text", fix={"open": b"-- rule\n"}))
    assert mine.read_text() == "keep"
    assert (place / "open.lua").read_bytes() == b"-- rule\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(TriageError, match="cannot be written"):
        write_answer(tmp_path / "file", Answer("text"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WriteFailed, match="is a link"):
        write_answer(tmp_path / "link", Answer("text"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
