"""Trials with unmodified programs: both futures of a rule, the rules that are needed, the guilty one.

Nothing of a trial becomes active or is left behind; what it showed is kept below the run.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from triage_tui.errors import Conflict, Stopped, TriageError
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.start import Start, read_start
from triage_tui.retry.trials.bisect import bisect
from triage_tui.retry.trials.counterfactual import observe
from triage_tui.retry.trials.minimise import minimise
from triage_tui.retry.trials.trial import Bounds, Trials
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.runs.reader import Run
from triage_tui.runs.trials_model import Bisected, Counterfactual, Minimised, kept

IDLE = b"""-- triage-rule: 1
-- id: never-asked
-- match: sethostname
-- hit-limit: 1
-- risk: low

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  return 1, 0
end
"""
BROAD = b"""-- triage-rule: 1
-- id: broad
-- match: openat
-- hit-limit: none
-- risk: medium

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  local path, rc = c_read_string(a2, 64)
  if rc == 0 and path == "/etc/needed.conf" then
    return 1, c_open_bytes("mode = router\\n", a3)
  end
  return 0, 0
end
"""
HARMFUL = BROAD.replace(b"broad", b"a-harmful").replace(
    b'c_open_bytes("mode = router\\n", a3)', b'-c_errno("EACCES")'
)
"""Is asked before the other rule for the same call."""


def first_run(workspace: Workspace, root: Path) -> Run:
    """Run a program that wants a file that is not there."""
    start = Start(
        program="/bin/busybox",
        argv=["/bin/busybox", "cat", "/etc/needed.conf"],
        rootfs=str(root),
        triggers=TriggerLimits(time_limit_s=20),
        probing=False,
    )
    return run_rounds(workspace, start, hold=False).rounds[0].run


def activate(workspace: Workspace, run: Run, **rules: bytes) -> int:
    files = {f"syscall/{name.replace('__', '@').replace('_', '-')}.lua": text for name, text in rules.items()}
    directory = workspace.rulebook_dir(run.snapshot.target.target_id)
    return generations.activate(directory, add=files, actor="tester", reason="a test", run=run.run_id).number


def left_over() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("triage-tui-trial-*"))


def test_both_futures_of_a_proposed_rule_are_seen_and_the_approval_cites_them(
    tmp_path: Path, rootfs: Callable[[str], Path]
) -> None:
    workspace = Workspace(tmp_path)
    run = first_run(workspace, rootfs("busybox-armel"))
    before = left_over()
    cancel = threading.Event()
    with pytest.raises(Stopped):
        observe(
            workspace,
            run.run_id,
            tell=lambda text: cancel.set() if "started" in text else None,
            cancel=cancel,
        )
    assert not kept(run.dir, Counterfactual)
    assert left_over() == before
    assert workspace.load(run.run_id).state == "proposed"

    told: list[str] = []
    name, found = observe(workspace, run.run_id, tell=told.append, actor="tester")
    assert found.without.ends == "ended with code 1"
    assert found.with_rules.ends == "ended with code 0"
    assert found.repeats
    assert found.better
    assert "openat(/etc/needed.conf) gives ENOENT without the rule" in found.difference
    assert not found.without.faked
    assert any("/etc/needed.conf" in line for line in found.with_rules.faked)
    assert found.verdict.masked == found.with_rules.faked
    assert {text.split(":")[0] for text in told} == {"without the rule", "with the rule"}
    # Nothing of it acts, and nothing of it is left but the record and what the logs tell of it.
    target = workspace.rulebook_dir(run.snapshot.target.target_id)
    assert generations.current(target) is None
    assert left_over() == before
    assert [path.name for path in workspace.runs_dir.iterdir()] == [run.run_id]
    assert kept(run.dir, Counterfactual)[0][0] == name

    said = LocalActions(workspace, "tester").approve(run.run_id, [])
    assert "1 rule active" in said
    after = workspace.load(run.run_id)
    approved = next(event for event in after.events if event.kind == "approved")
    assert approved.payload["observed"]["record"] == name
    assert approved.payload["observed"]["verdict"] == found.verdict.word
    noted = audit_log.latest(workspace.rulebook, "approved", run.snapshot.target.target_id)
    assert noted is not None
    assert f"observed before: {found.verdict.word}" in noted.says
    with pytest.raises(TriageError, match="active already"):
        observe(workspace, run.run_id)
    gone = (run.dir / "start.json").read_text().replace('"/bin/busybox"', '"/bin/nobody"')
    (run.dir / "start.json").write_text(gone)
    with pytest.raises(TriageError, match="nobody"):
        Trials(workspace, after, Bounds(), told.append, cancel)


def test_the_rules_that_are_needed_stay_narrower_and_the_guilty_one_is_found(
    tmp_path: Path, rootfs: Callable[[str], Path]
) -> None:
    workspace = Workspace(tmp_path)
    run = first_run(workspace, rootfs("busybox-mipsel"))
    good = activate(workspace, run, sethostname__never_asked=IDLE, openat__broad=BROAD)
    target = workspace.rulebook_dir(run.snapshot.target.target_id)

    # With time for the two references and one trial only: what is known is told, and the next call goes on.
    _, short = minimise(workspace, run.run_id, bounds=Bounds(runs=3), actor="tester")
    assert not short.complete
    assert "limit of 3 runs" in short.ended
    assert {one.fate for one in short.rules} == {"untried", "not_needed"}
    again = len([one for one in short.trials if one.held is not None])

    name, found = minimise(workspace, run.run_id, actor="tester")
    assert found.complete
    assert again == 1
    fates = {one.rule: one for one in found.rules}
    assert fates["never-asked"].fate == "not_needed"
    assert fates["broad"].fate == "narrowed"
    assert "exits with 1" in fates["broad"].why
    assert [text.split(";")[0] for text in fates["broad"].narrowed] == [
        "only for /etc/needed.conf",
        "at most 1 hit, as often as it acted",
    ]
    active = generations.current(target)
    assert active is not None
    assert active.number == good, "nothing is changed before a person approves it"
    assert kept(run.dir, Minimised)[0][0] == name

    actions = LocalActions(workspace, "tester")
    assert actions.approve_smaller(run.run_id, found.proposal).startswith("1 taken out, 1 rule active")
    smaller = generations.current(target)
    assert smaller is not None
    assert list(smaller.files) == ["syscall/openat@broad.lua"]
    with pytest.raises(Conflict):
        actions.approve_smaller(run.run_id, found.proposal)
    actions.rollback(run.run_id)
    back = generations.current(target)
    assert back is not None
    assert back.digest == active.digest

    # Two changes at once, one of which is to blame.
    bad = activate(
        workspace, run, openat__a_harmful=HARMFUL, getuid__other=IDLE.replace(b"never-asked", b"other")
    )
    worse = run_rounds(workspace, read_start(run.dir), hold=False).rounds[0].run
    _, blamed = bisect(workspace, worse.run_id, good=good, actor="tester")
    assert blamed.complete
    assert (blamed.last_good, blamed.first_bad) == (good if bad == good + 1 else bad - 1, bad)
    assert [(one.rule, one.what) for one in blamed.guilty] == [("a-harmful", "added")]
    assert any("answered by rule a-harmful" in line for line in blamed.why)
    assert kept(worse.dir, Bisected)[0][1].proposal == blamed.proposal
    actions.approve_smaller(worse.run_id, blamed.proposal)
    mended = generations.current(target)
    assert mended is not None
    assert "syscall/openat@a-harmful.lua" not in mended.files
    assert "syscall/getuid@other.lua" in mended.files
