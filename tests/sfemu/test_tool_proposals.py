"""Runs of ours in the hands of a tool that was written for SFEmu: it reads strictly, we take with care."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path

import pytest

from tests.sfemu import external_tool
from triage_tui.cli.main import main
from triage_tui.errors import Stopped, TriageError
from triage_tui.resources import recorded_runs
from triage_tui.retry.sharing.tool_proposals import ask_tool, read_written
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.model import Register, Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.redaction import Redaction
from triage_tui.sfemu.tool_snapshot import encode, write_tool_run

TOOL = f"'{sys.executable}' '{Path(external_tool.__file__)}'"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for run_dir in recorded_runs():
        shutil.copytree(run_dir, tmp_path / "ai_runs" / run_dir.name)
    return Workspace(tmp_path)


def _ask(workspace: Workspace, run_id: str, command: str, seconds: float = 60) -> list[str]:
    told: list[str] = []
    told.append(
        ask_tool(workspace, run_id, command, seconds=seconds, cancel=threading.Event(), tell=told.append)
    )
    return told


def test_every_recorded_run_is_in_the_form_of_sfemu(workspace: Workspace, tmp_path: Path) -> None:
    for run_dir in recorded_runs():
        run = load_run(run_dir)
        asked = write_tool_run(run, tmp_path / run_dir.name, Redaction.of(run))
        raw = asked.snapshot.read_bytes()
        external_tool.check(json.loads(raw), str(asked.snapshot.parent))
        assert raw.isascii()


def test_high_pointers_are_negative_and_what_is_empty_is_a_list(tmp_path: Path) -> None:
    run = load_run(recorded_runs()[0])
    high = 0xBEFFFD60
    run.snapshot.recent_syscalls[-1].args = [high, 1]
    run.snapshot.trigger.args = [high, 1]
    run.snapshot.recent_syscalls[-2] = Syscall(
        seq=32, name="openat", num=4288, arguments=["AT_FDCWD", '"/x"', "0x10", "0644", "-3"], ret=-2
    )
    asked = write_tool_run(run, tmp_path / "rules", Redaction.of(run))
    told = json.loads(asked.snapshot.read_bytes())
    assert told["trigger"]["args"] == [high - (1 << 32), 1, 0, 0, 0, 0, 0, 0]
    assert told["recent_syscalls"][-1]["args"][0] == high - (1 << 32)
    # The number that is not known is that of the record's memory of the call, or 0.
    kept = next(one for one in told["memory"] if one["tag"].startswith("last_err_arg2_"))
    assert told["recent_syscalls"][-2]["args"] == [-100, kept["addr"], 16, 0, -3, 0, 0, 0]
    assert (
        encode({"a": {}, "b": None, "c": "é", "d": b"\xff\n"})
        == '{"a":[],"c":"\\u00c3\\u00a9","d":"\\u00ff\\n"}'
    )


def test_what_a_tool_writes_is_proposed_for_review(workspace: Workspace) -> None:
    run_id = recorded_runs()[3].name
    told = _ask(workspace, run_id, TOOL)
    assert told[0] == f"read {run_id} strictly"
    assert told[-1].startswith(f"2 rules of external_tool.py proposed on run {run_id}")
    run = workspace.load(run_id)
    assert run.diagnosis is not None
    fix, observe = [one for one in run.diagnosis.proposals if one.source == "sfemu"]
    # The link and the odd name of the tool are no rules.
    assert [fix.risk, fix.observe_only, observe.observe_only] == ["high", False, True]
    assert fix.files[0].startswith("fix/syscall/ioctl@tool-")
    assert "\x1b" not in fix.intent
    assert "c_log('fix ioctl')" in run.text_file(f"rules_patch/{fix.files[0]}")
    assert run.events[-1].kind == "proposed"
    # The best proposal is ours as before: of a tool's a person has to name each.
    assert next(one for one in run.diagnosis.proposals if one.source == "kb") is run.diagnosis.proposals[0]
    with pytest.raises(TriageError, match="already"):
        _ask(workspace, run_id, TOOL)
    assert main(["sfemu", "ask", "-C", str(workspace.root), run_id, TOOL]) == 3
    assert main(["sfemu", "ask", "-C", str(workspace.root), run_id, TOOL, "--timeout", "0"]) == 2


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("exit 4;", r"its model did not answer .*--env"),
        ("/nonexistent/tool", "the shell does not find it"),
        ("true", "wrote no rule"),
        ("kill -9 $$;", "the tool ended with -9"),
    ],
)
def test_a_tool_that_fails_proposes_nothing(workspace: Workspace, command: str, why: str) -> None:
    run_id = recorded_runs()[0].name
    before = workspace.load(run_id).patch_files()
    with pytest.raises(TriageError, match=why):
        _ask(workspace, run_id, command)
    assert workspace.load(run_id).patch_files() == before


def test_a_tool_without_end_is_stopped(workspace: Workspace, tmp_path: Path) -> None:
    run_id = recorded_runs()[0].name
    with pytest.raises(TriageError, match="did not end within"):
        _ask(workspace, run_id, "sleep 1000;", seconds=0.1)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Stopped):
        ask_tool(workspace, run_id, "sleep 1000;", seconds=60, cancel=cancel, tell=lambda line: None)


def test_a_tool_is_given_the_settings_that_are_named(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, env = recorded_runs()[0].name, tmp_path / "env"
    command = ["sfemu", "ask", "-C", str(workspace.root), run_id, 'show() { cat "$3"; exit 4; }; show']
    assert main([*command, "--env", str(env)]) == 2
    env.write_text("OPENAI_MODEL=mine\n")
    assert main([*command, "--env", str(env)]) == 2
    assert "tool: OPENAI_MODEL=mine\n" in capsys.readouterr().err
    assert main(command) == 2
    assert "OPENAI_MODEL" not in capsys.readouterr().err


def test_what_a_tool_leaves_behind_ends_with_it(workspace: Workspace, tmp_path: Path) -> None:
    run_id, mark = recorded_runs()[0].name, tmp_path / "pid"
    # In a session of its own, without its parent, and holding nothing of ours open.
    left = f"setsid sh -c 'echo $$ > {mark}; exec sleep 1000' < /dev/null > /dev/null 2>&1 &"
    wait = f"until test -s {mark}; do sleep 0.01; done;"
    for command, seconds in ((f"( {left} ); {wait} true", 60.0), (f"( {left} ); {wait} sleep 1000;", 2.0)):
        mark.unlink(missing_ok=True)
        with pytest.raises(TriageError, match=r"wrote no rule|did not end within"):
            _ask(workspace, run_id, command, seconds)
        assert not Path(f"/proc/{int(mark.read_text())}").exists()


def test_an_idle_run_and_every_register_have_the_numbers_of_sfemu(tmp_path: Path) -> None:
    run = load_run(recorded_runs()[0])
    run.snapshot.reason = "idle"
    run.snapshot.recent_syscalls[-1].ret = 0
    run.snapshot.trigger.seq = run.snapshot.recent_syscalls[-1].seq
    run.snapshot.regs.append(Register(num=-1, name="extra", value=7, size=4, feature="emulator"))
    asked = write_tool_run(run, tmp_path / "rules", Redaction.of(run))
    told = json.loads(asked.snapshot.read_bytes())
    external_tool.check(told, str(asked.snapshot.parent))
    assert told["trigger"]["seq"] == run.snapshot.trigger.seq * 100_000 + 1
    assert told["recent_syscalls"][-1]["ret"] == 0
    assert told["regs"][-1]["num"] == max(one.num for one in run.snapshot.regs) + 1


def test_rules_are_taken_as_sfemu_takes_them(tmp_path: Path) -> None:
    texts = {"fix/syscall/open.lua": b"1", "syscall/open.lua": b"2", "syscall/read.lua": b"3"}
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "ioctl.lua").write_text("4")
    patch = tmp_path / "patch"
    for name, data in texts.items():
        path = patch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (patch / "observe").mkdir()
    (patch / "observe" / "syscall").symlink_to(outside)
    (patch / "fix" / "syscall" / "huge.lua").write_bytes(b"-" * (1 << 20))
    written, left_out = read_written(patch)
    found = {(one.purpose, one.syscall): one.source for one in written}
    assert found == {("fix", "open"): b"1", ("fix", "read"): b"3"}
    assert left_out == [
        "fix/syscall/huge.lua is no file of at most 256 KiB",
        "observe/syscall is no directory of its own",
    ]
