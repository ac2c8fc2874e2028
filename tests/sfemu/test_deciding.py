"""A pause of SFEmu from its announcement to its end, decided by the command and by the app's own keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.sfemu import records
from tests.sfemu.stopped import EXIT, LOOP, Stopped, home_of, make_rules
from tests.ui.conftest import said, shown, until
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import holder_alive, is_waiting, read_events
from triage_tui.sfemu import deciding, waits
from triage_tui.ui.app import TriageApp


def _kinds(home: Path, run_id: str) -> list[str]:
    return [event.kind for event in read_events(home / "ai_runs" / run_id)[0]]


def test_the_commands_decide_and_keep_who_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = make_rules(tmp_path / "rules")
    home = home_of(rules)

    def printed(*command: str) -> dict[str, object]:
        assert main([command[0], "-C", str(rules), *command[1:], "--json"]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[0])
        return found

    with Stopped(rules) as stopped:
        stopped.call(LOOP)
        stopped.waits()
        told = printed("watch", "--until", "waiting", "--timeout", "60")
        run_id = str(told["run_id"])
        assert (told["what"], told["waiting"]) == ("now", True)
        assert printed("list")["waiting"] is True
        # No memory can be read from a guest that another engine holds.
        with pytest.raises(TriageError, match="no frozen guest waits that could be asked"):
            LocalActions(Workspace(home)).read_memory(run_id, 0x1000)
        assert printed("decide", run_id, "resume")["said"] == [
            "SFEmu goes on with the program, and loads its rules again"
        ]
        stopped.until("returned")
        assert printed("list")["waiting"] is False
        events = read_events(home / "ai_runs" / run_id)[0]
        waiting, decision, resumed = [one for one in events if "nonce" in one.payload]
        assert [waiting.kind, decision.kind, resumed.kind] == ["waiting", "decision", "resumed"]
        assert [waiting.actor, resumed.actor] == ["SFEmu", "SFEmu"]
        assert decision.actor not in ("", "SFEmu")
        assert decision.payload["action"] == "resume"
        assert main(["decide", "-C", str(rules), run_id, "resume"]) == 3
        assert "does not wait for a decision" in capsys.readouterr().err
        assert main(["retry", "-C", str(rules), run_id]) == 2
        assert "start it there" in capsys.readouterr().err

        stopped.call(EXIT)
        stopped.waits()
        assert main(["decide", "-C", str(rules), "last", "end"]) == 0
        assert stopped.ended() == 130
        capsys.readouterr()
        assert printed("list")["state"] == "ended"


def test_a_dead_waiter_is_told_and_cleared_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = make_rules(tmp_path / "rules")
    home = home_of(rules)
    with Stopped(rules) as stopped:
        stopped.call(LOOP)
        stopped.waits()
        assert main(["list", "-C", str(rules)]) == 0
        assert "waiting" in capsys.readouterr().out
        [wait] = waits.waits(home)
        stopped.process.kill()
        stopped.process.wait()
        assert main(["decide", "-C", str(rules), "last", "resume"]) == 3
        assert f"SFEmu's process {wait.pid} is gone" in capsys.readouterr().err
        assert main(["list", "-C", str(rules)]) == 0
        assert "waiting" not in capsys.readouterr().out
        events = read_events(home / "ai_runs" / wait.run_id)[0]
        assert events[-1].kind == "holder_lost"
        assert events[-1].payload["why"] == f"SFEmu's process {wait.pid} is gone"
        assert waits.waits(home) == []


def test_a_decision_that_was_not_left_is_asked_for_again(tmp_path: Path) -> None:
    """Who is killed between its event and the file has decided nothing: SFEmu still waits."""
    rules = make_rules(tmp_path / "rules")
    home = home_of(rules)
    workspace = Workspace(home)
    with Stopped(rules) as stopped:
        stopped.call(LOOP)
        stopped.waits()
        workspace.take_in(60)
        [wait] = waits.waits(home)
        run_dir = home / "ai_runs" / wait.run_id

        def killed(home: Path, wait: waits.Wait, *_: object) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(waits, "write_decision", killed)
            with pytest.raises(KeyboardInterrupt):
                LocalActions(workspace).decide(wait.run_id, "resume")
        assert not is_waiting(read_events(run_dir)[0])
        deciding.take_note(home)
        assert holder_alive(read_events(run_dir)[0])
        # Two at once: one wins, also before SFEmu has looked.
        stopped.process.send_signal(19)
        LocalActions(workspace, "ann").decide(wait.run_id, "resume")
        with pytest.raises(TriageError, match="somebody decided on run"):
            LocalActions(workspace, "bob").decide(wait.run_id, "end")
        stopped.process.send_signal(18)
        stopped.until("returned")
        deciding.take_note(home)
        assert _kinds(home, wait.run_id)[-1] == "resumed"


async def test_the_apps_key_lets_the_program_go_on(tmp_path: Path) -> None:
    rules = make_rules(tmp_path / "rules")
    home = home_of(rules)
    workspace = Workspace.at(rules)
    app = TriageApp(workspace.root, actions=LocalActions(workspace, "ann"))
    with Stopped(rules) as stopped:
        async with app.run_test(size=(120, 40)) as pilot:
            stopped.call(LOOP)
            stopped.waits()
            [wait] = waits.waits(home)
            await until(pilot, lambda: app.main.view and app.main.view.waiting, "the wait on screen")
            await until(pilot, lambda: "1 guest waits" in shown(app), "its mark")
            await pilot.press("r")
            await until(pilot, lambda: "SFEmu goes on" in said(app), "what was done")
            stopped.until("returned")
            await until(pilot, lambda: app.main.view and not app.main.view.waiting, "the end of the wait")
            await until(pilot, lambda: _kinds(home, wait.run_id)[-2:] == ["decision", "resumed"])


def test_the_plugin_is_put_into_a_rule_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = records.rules_directory(tmp_path / "rules")
    before = (rules / "entry.lua").read_bytes()
    assert main(["sfemu", "plugin", str(rules)]) == 0
    assert "add this line to entry.lua" in capsys.readouterr().out
    assert b"DECISION_FORMAT" in (rules / "plugins/triage_tui/decide.lua").read_bytes()
    assert (rules / "entry.lua").read_bytes() == before
    (rules / "entry.lua").write_bytes(before + b'dofile(rules_dir .. "plugins/triage_tui/decide.lua")\n')
    assert main(["sfemu", "plugin", str(rules)]) == 0
    assert "add this line" not in capsys.readouterr().out
    # Not through a link to another place, and not into anything else.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (rules / "plugins/triage_tui").rename(tmp_path / "old")
    (rules / "plugins/triage_tui").symlink_to(elsewhere)
    assert main(["sfemu", "plugin", str(rules)]) == 2
    assert main(["sfemu", "plugin", str(elsewhere)]) == 2
    told = capsys.readouterr().err
    assert "is reached by a link" in told
    assert "no rule directory of SFEmu" in told
    assert list(elsewhere.iterdir()) == []
    assert main(["sfemu", "plugin", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["said"]
