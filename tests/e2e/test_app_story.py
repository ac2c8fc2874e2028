"""The whole story by keys in a real terminal, on a live frozen guest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import Watcher, start_in_background, triage, triage_json
from tests.ui.terminal import Terminal
from triage_tui.setup import known_programs


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (48, 160)])
def test_approve_resume_and_roll_back_by_keys(
    tmp_path: Path, rootfs: Callable[[str], Path], rows: int, columns: int
) -> None:
    watcher = Watcher(tmp_path)
    holder = start_in_background(tmp_path, rootfs("tail-armel"), known_programs()["tail-armel"].argv)
    waiting = watcher.until(waiting=True, state="proposed")
    try:
        with Terminal(tmp_path, rows, columns) as terminal:
            for text in ("waits for you", "missing_file", "/var/log/messages"):
                terminal.until(text)
            terminal.press("\ra")
            terminal.until("fix/syscall/openat")
            terminal.press("a")
            terminal.until("Rule active")
            assert triage_json(tmp_path, "show", waiting["run_id"])["state"] == "applied"
            terminal.press("r")
            terminal.until("PROGRESSED")
            terminal.resize(10, 40)
            terminal.resize(rows, columns)
            terminal.press("u")
            terminal.until("olled back")
            assert triage_json(tmp_path, "show", waiting["run_id"])["state"] == "rolled_back"
            terminal.press("qq")
            assert terminal.finish() == 0
        again = triage_json(tmp_path, "retry", waiting["run_id"])["rounds"][0]
        assert again["reason"] == "sleep_loop"
        assert again["diagnosis"]["hypotheses"][0]["cause"] == "missing_file"
    finally:
        watcher.close()
        triage(tmp_path, "decide", "last", "end")
        holder.kill()
        holder.communicate()


def test_run_with_the_app(tmp_path: Path, rootfs: Callable[[str], Path]) -> None:
    program = known_programs()["xl2tpd-arm64"]
    command = ("run", "--ui", "--rootfs", str(rootfs("xl2tpd-arm64")), *program.argv)
    with Terminal(tmp_path, 24, 80, command) as terminal:
        terminal.until("missing_dir")
        terminal.until("waits for you")
        terminal.press("E")
        terminal.until("2 End it")
        terminal.press("2")
        terminal.until("guest is ended")
        terminal.press("qq")
        assert terminal.finish() == 0
    assert triage_json(tmp_path, "show", "last")["state"] == "ended"


def test_run_with_the_app_says_what_is_wrong_at_once(tmp_path: Path) -> None:
    with Terminal(tmp_path, 24, 80, ("run", "--ui", "/nonexistent")) as terminal:
        terminal.until("cannot read the program /nonexistent")
        assert terminal.finish() == 2
    done = triage(tmp_path, "run", "--ui", "/nonexistent")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert not (tmp_path / "logs").exists()
