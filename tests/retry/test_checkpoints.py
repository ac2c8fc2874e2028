"""A real program is retried from a checkpoint, with rules that were approved meanwhile, and that is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.guest.spec import TriggerLimits
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.start import Start
from triage_tui.retry.tracing.finding import find
from triage_tui.retry.tracing.trace import make_trace
from triage_tui.retry.trials.each_rule import try_each
from triage_tui.retry.trials.trial import Bounds
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.checkpoint_place import checkpoint_in_words
from triage_tui.runs.reader import Run, load_run

QUICK = TriggerLimits(sleep_repeats=2, idle_s=0.5)


def spoiled(workspace: Workspace, run: Run, **facts: object) -> str:
    """Return why a retry refuses the run's checkpoint once `triage.json` says something else."""
    path = run.dir / "checkpoint" / "triage.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | facts))
    try:
        with pytest.raises(TriageError) as error:
            retry(workspace, run)
        return str(error.value)
    finally:
        path.write_text(before)


def retry(workspace: Workspace, run: Run) -> Run:
    from triage_tui.retry.start import read_start

    course = run_rounds(workspace, read_start(run.dir), parent=run, hold=False, checkpoint=True)
    (one,) = course.rounds
    assert one.verdict is not None
    assert one.verdict.how == "checkpoint"
    assert f"it went on from the checkpoint of run {run.run_id}, not from its start" in one.verdict.reasons
    return load_run(one.run.dir)


def test_a_retry_goes_on_from_a_checkpoint_with_new_rules(
    rootfs: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.at(str(tmp_path), made=True)
    start = Start(
        program="/bin/busybox",
        argv=["/bin/busybox", "tail", "-F", "/var/log/messages"],
        rootfs=str(rootfs("busybox-mipsel")),
        triggers=QUICK,
        checkpoint=True,
    )
    first = load_run(run_rounds(workspace, start, hold=False).rounds[0].run.dir)
    assert first.snapshot.reason == "sleep_loop"
    assert "taken at " in checkpoint_in_words(first)
    assert main(["show", "-C", str(tmp_path), first.run_id]) == 0
    assert "checkpoint: taken at " in capsys.readouterr().out
    # Each proposed rule from that very moment, as many as the bounds allow.
    tried = try_each(workspace, first.run_id, bounds=Bounds(runs=2))
    assert not tried.complete
    verdicts = {one.title: (one.verdict, one.ends) for one in tried.tried}
    assert verdicts["no rule"] == ("sideways", "sleeps and tries again")
    assert verdicts["Give the program the file /var/log/messages"][0] == "progressed"
    # None is left out: what was not tried says why.
    untried = [one.why for one in tried.tried if not one.verdict]
    assert first.diagnosis is not None
    assert untried == ["the limit of 2 runs is reached"] * (len(first.diagnosis.proposals) - 1)
    assert [path.name for path in workspace.runs_dir.iterdir()] == [first.run_id]
    # It is on record, and traced to what proposed it.
    trace = make_trace(workspace, find(workspace, first.run_id))
    (trial,) = (step for step in trace.steps if step.kind == "trial")
    assert trial.audit > 0
    assert {trace.steps[number - 1].kind for number in trial.because} == {"proposal"}
    best, *others = trial.figures
    assert (best.before.split()[0], best.after.split()[0]) == ("sideways", "progressed")
    assert all("the limit of 2 runs is reached" in one.after for one in others)

    LocalActions(workspace).approve(
        first.run_id, first.diagnosis.proposals[0].files if first.diagnosis else []
    )

    second = retry(workspace, first)
    # The record is one course of the program: what the first run has up to the freeze, then what is new.
    frozen_at = first.snapshot.trigger.seq or first.snapshot.statistics.syscalls
    before = [(call.seq, call.name, call.ret) for call in first.trace() if call.seq < frozen_at]
    after = [(call.seq, call.name, call.ret) for call in second.trace()]
    assert after[: len(before)] == before
    assert [seq for seq, _, _ in after] == list(range(1, len(after) + 1))
    assert any(call.path == "/var/log/messages" and call.errno is None for call in second.trace())
    printed = first.text_file(first.snapshot.guest_output)
    assert second.text_file(second.snapshot.guest_output).startswith(printed)
    begun = next(event for event in load_run(first.dir).events if event.kind == "retry_started")
    assert begun.payload["from"] == "checkpoint"

    # A guest that went on from a checkpoint can be gone on from again.
    assert "taken at " in checkpoint_in_words(second)
    third = retry(workspace, second)
    assert third.snapshot.statistics.syscalls > second.snapshot.statistics.syscalls

    assert "is another file than the one of the checkpoint" in spoiled(
        workspace, first, program_sha256="0" * 64
    )
    assert "another build of QEMU" in spoiled(workspace, first, emulator_sha256="0" * 64)
    assert "other options" in spoiled(workspace, first, emulator_options=["-cpu", "24Kc"])
    assert "which the program had mapped, is another file" in spoiled(
        workspace, first, mapped={"/bin/busybox": "0"}
    )
    assert "cannot be used" in spoiled(workspace, first, state_end=4)
    shutil.rmtree(first.dir / "checkpoint")
    assert checkpoint_in_words(first) == "it is not there any more"
    with pytest.raises(TriageError, match="has no checkpoint: retry from the start"):
        retry(workspace, first)
    assert main(["decide", "-C", str(tmp_path), first.run_id, "checkpoint"]) != 0
    assert "has no checkpoint" in capsys.readouterr().err


def test_why_there_is_no_checkpoint_is_kept(rootfs: Callable[[str], Path], tmp_path: Path) -> None:
    workspace = Workspace.at(str(tmp_path), made=True)
    root = str(rootfs("busybox-mipsel"))
    start = Start(
        program="/bin/busybox", argv=["/bin/busybox", "cat", "/etc/a.conf"], rootfs=root, checkpoint=True
    )
    run = load_run(run_rounds(workspace, start, hold=False).rounds[0].run.dir)
    why = "it was just ending (exit_group), and would only end again"
    # What would have given one is said.
    instead = "with `run --checkpoint --stop-on openat:ENOENT:/etc/a.conf` there is one"
    assert checkpoint_in_words(run) == f"none: it must start over, because {why}; {instead}"
    with pytest.raises(TriageError, match="has no checkpoint, because it was just ending"):
        retry(workspace, run)
    assert main(["retry", "-C", str(tmp_path), "--each-rule", run.run_id]) != 0
