"""The whole story by keys in a real terminal, on a live frozen guest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import Watcher, start_in_background, triage, triage_json
from tests.e2e.terminal import Terminal
from triage_tui.setup import known_programs


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (160, 48)])
def test_approve_resume_and_roll_back_by_keys(
    tmp_path: Path, rootfs: Callable[[str], Path], columns: int, lines: int
) -> None:
    watcher = Watcher(tmp_path)
    holder = start_in_background(tmp_path, rootfs("tail-armel"), known_programs()["tail-armel"].argv)
    waiting = watcher.until(waiting=True, state="proposed")
    terminal = Terminal(tmp_path, columns=columns, lines=lines)
    try:
        terminal.wait_for("waits for you", "missing_file", "/var/log/messages")
        terminal.press("\r")
        terminal.press("a")
        terminal.wait_for("Give the program the file", "undo", "fix/syscall/openat")
        terminal.press("a")
        terminal.wait_for("Rule active")
        assert triage_json(tmp_path, "show", waiting["run_id"])["state"] == "applied"
        terminal.press("r")
        terminal.wait_for("PROGRESSED", "the failure is passed")
        terminal.resize(40, 10)
        terminal.resize(columns, lines)
        terminal.press("u")
        terminal.wait_for("olled back")
        assert triage_json(tmp_path, "show", waiting["run_id"])["state"] == "rolled_back"
        terminal.press("q")
        assert terminal.wait_for_end() == 0
        again = triage_json(tmp_path, "retry", waiting["run_id"])["rounds"][0]
        assert again["reason"] == "sleep_loop"
        assert again["diagnosis"]["hypotheses"][0]["cause"] == "missing_file"
    finally:
        terminal.close()
        watcher.close()
        triage(tmp_path, "decide", "last", "end")
        holder.kill()
        holder.communicate()
