"""The whole story by keys in a real terminal, on a live frozen guest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.e2e.commands import Watcher, start_in_background, triage, triage_here, triage_json
from tests.ui.terminal import Terminal
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.runs.reader import load_run
from triage_tui.setup import known_programs

_DECIDED = ("edited", "approved", "activated", "decision", "rolled_back")


def test_a_whole_review_by_keys(tmp_path: Path, rootfs: Callable[[str], Path]) -> None:
    """Open, follow evidence, back, edit, approve, retry, roll back, quit: then look at what is on disk."""
    watcher = Watcher(tmp_path)
    argv = known_programs()["tail-armel"].argv
    holder = start_in_background(tmp_path, rootfs("tail-armel"), argv, "--sleep-repeats", "2")
    waiting = watcher.until_waiting(state="proposed").run_id
    run_dir = tmp_path / "ai_runs" / waiting
    try:
        with Terminal(tmp_path, 24, 80, EDITOR="sed -i '$a-- looked at'") as terminal:
            for text in ("waits for you", "missing_file", "/var/"):
                terminal.until(text)
            terminal.press("1")
            terminal.until("● syscall")
            terminal.press("jjjjjjjjj\r")
            terminal.until("⌫ diagnosis > syscall ")
            terminal.press("\x7f")
            terminal.until("● syscall")
            terminal.resize(48, 160)
            terminal.press("a")
            terminal.until("  +36")
            terminal.press("e")
            # What has changed since it was shown is not approved.
            terminal.until("  +37")
            terminal.press("a")
            terminal.until("Rule active")
            watcher.until("activated", run_id=waiting, state="applied")
            terminal.press("R")
            retried = watcher.until_waiting(state="proposed").run_id
            assert retried != waiting
            terminal.until("PROGRESSED")
            terminal.resize(24, 80)
            terminal.press("u")
            terminal.until("no rule is active for")
            terminal.press("q")
            terminal.until("Leave it frozen")
            terminal.press("q")
            assert terminal.finish() == 0
        [rule] = (run_dir / "rules_patch" / "fix" / "syscall").glob("*.lua")
        assert rule.read_text().endswith("\n-- looked at\n")
        first, second = load_run(run_dir), load_run(tmp_path / "ai_runs" / retried)
        kinds = [event.kind for event in first.events]
        assert [kind for kind in kinds if kind in _DECIDED] == list(_DECIDED)
        assert second.snapshot.parent_run == waiting
        judged = triage_json(tmp_path, "show", retried)["verdict"]
        assert judged["word"] == "progressed"
        assert [hit.hits > 0 for hit in second.snapshot.rule_hits] == [True]
        target = Workspace.at(tmp_path).rulebook_dir(first.snapshot.target.target_id)
        assert generations.current(target) is None
        assert triage_json(tmp_path, "show", waiting)["state"] == "rolled_back"
    finally:
        triage_here(tmp_path, "decide", "last", "end")
        holder.kill()
        holder.communicate()


def test_run_with_the_app(tmp_path: Path, rootfs: Callable[[str], Path]) -> None:
    program = known_programs()["xl2tpd-arm64"]
    command = ("run", "--ui", "--rootfs", str(rootfs("xl2tpd-arm64")), *program.argv)
    with Terminal(tmp_path, 24, 80, command) as terminal:
        # The headline: the list tells of a run before it is read.
        terminal.until("is about to exit")
        # The list tells of the guest that waits before its run is read; then the key is offered.
        terminal.until("E end guest")
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
