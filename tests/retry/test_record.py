"""What a run keeps of the supervision itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from triage_tui.guest.spec import resolve_target
from triage_tui.retry.guests import launch_spec
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.runs.added_logs import places, read_index

RULE = b"""-- triage-rule: 1
-- id: %s
-- run: 20260101_000000_00000001
-- target: x-1
-- intent: test
-- match: %s
-- hit-limit: 3
-- effect: none
-- risk: low
-- inverse: roll back
-- template: test

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  %s
  return 0, 0
end
"""


def test_failed_rules_and_what_was_logged_are_kept(rootfs: Callable[[str], Path], tmp_path: Path) -> None:
    host_log = tmp_path / "host.log"
    host_log.write_text(f"{datetime.now().astimezone().isoformat()} host: starts\n")
    start = Start(
        program="/bin/busybox",
        argv=["busybox", "cat", "/missing"],
        rootfs=str(rootfs("busybox-armhf")),
        env={},
        logs=[str(host_log), str(tmp_path / "gone.log")],
    )
    workspace = Workspace(tmp_path)
    rules = {
        "syscall/write@broken.lua": RULE % (b"broken", b"write", b"local x = nil; x()"),
        "syscall/openat@talks.lua": RULE % (b"talks", b"openat", b'c_log("one\\ntwo \\27[31m")'),
    }
    target = resolve_target(launch_spec(start))[0]
    generations.activate(workspace.rulebook_dir(target.target_id), add=rules, actor="t", reason="t", expect=0)
    told: list[str] = []
    run = run_rounds(workspace, start, hold=False, narrate=told.append).rounds[0].run
    assert "Rule broken failed on write" in run.text_file("logs/supervisor.log")
    assert any("Rule broken failed" in entry.why for entry in run.snapshot.unavailable)
    assert any("Rule broken failed" in line for line in told)
    lines = run.text_file("logs/rules.log").splitlines()
    assert lines[0].startswith("one")
    assert "two" in lines[0]
    assert not any("\x1b" in line for line in lines)
    added = read_index(run).logs
    assert [entry.form for entry in added] == ["ISO 8601"]
    assert [place.outside for place in places(run, added[0]).values()] == ["before"]
    assert any(entry.what.endswith("gone.log") for entry in run.snapshot.unavailable)
