"""Programs that log faster than can be read: the supervisor's memory and decisions do not depend on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.record.capture import capture
from triage_tui.guest.spec import TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource
from triage_tui.runs.model import Engine
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter

ENDLESS = TriggerLimits(
    idle_s=60, time_limit_s=120, loop_repeats=10**9, loop_calls=10**9, sleep_repeats=10**9
)
RULE = b'function do_syscall(num, path) return 1, -c_errno("ENOSPC") end'


@pytest.mark.usefixtures("each_carrier")
def test_rules_answer_and_the_record_says_what_is_missing(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "arm", "floods")
    how = spec(root, qemu_dir, "/bin/floods", "2", "8000", "50000", triggers=ENDLESS)
    access = RuleAccess(by_name("arm"))
    with (
        RuleHost([RuleSource("full", "mkdir", RULE)], access) as host,
        Guest.start(how, host, access=access) as guest,
    ):
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code, guest.problems) == ("exit", 0, [])
        assert guest.output().startswith(b"0 of ")
        assert guest.trace.passed_over > 0
        assert sum(os.fstat(log.fd).st_blocks for log in guest.trace.logs.values()) * 512 < 4 << 20
        writer = RunWriter(tmp_path / "runs")
        capture(guest, stop, writer, target=guest.target, engine=Engine(contained=guest.contained))
        run = load_run(writer.publish())
    assert run.problems == []
    assert run.snapshot.statistics.log_bytes_passed_over == guest.trace.passed_over
    lacking = [why for one in run.snapshot.unavailable for why in (one.why,) if "lower bounds" in why]
    assert len(lacking) == 1
    calls = run.trace()
    # The threads are not waited for: one may end behind the first one's last call.
    first = [call.name for call in calls if call.tid == calls[0].tid]
    assert first[-1] == "exit_group"
    assert {call.errno for call in calls if call.name == "mkdir"} == {"ENOSPC"}
    assert any("were passed over" in (call.note or "") for call in calls)
