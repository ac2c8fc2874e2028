"""What a worker's policy says that it approved becomes active only if the policy here may approve it."""

from pathlib import Path

import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.campaign.base_rules import POLICY
from triage_tui.campaign.rederived import may_be_approved, meaning_of
from triage_tui.campaign.rules_taken_in import take_in_rules
from triage_tui.diagnosis.report import diagnose
from triage_tui.proposals.build import propose
from triage_tui.rulebook import generations, patches
from triage_tui.rulebook.places import target_directory
from triage_tui.runs.events import append_event
from triage_tui.runs.reader import Run

ENOENT = "-1 errno=2 (No such file or directory)"
EVIL = b"-- triage-rule: 1\n-- id: fix-1\n-- match: openat\n\nfunction do_syscall(num)\n  return 1, 0\nend\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run on which its best proposal was approved, as a worker leaves it."""
    trace = f'2 openat(AT_FDCWD,"/etc/shells",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n'
    found = write_run(
        tmp_path / "ai_runs", parse_trace(trace.encode()), reason="exit", argv=["/sbin/x"], code=1
    )
    found.diagnosis = diagnose(found)
    found.diagnosis.proposals = propose(found, found.diagnosis)
    best = next(one for one in found.diagnosis.proposals if not one.observe_only)
    append_event(found.dir, "approved", {"files": dict.fromkeys(best.files, "")})
    return found


def files_of(run: Run) -> dict[str, bytes]:
    assert run.diagnosis is not None
    best = next(one for one in run.diagnosis.proposals if not one.observe_only)
    texts = [(name, patches.read_rule(run.dir, name)) for name in best.files]
    return {patches.active_name(name, text): text for name, text in texts}


def test_what_is_proposed_here_too_is_taken_in_and_nothing_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "campaign").mkdir()
    allowed = may_be_approved([run.dir], tmp_path / "campaign", "auto")
    honest = files_of(run)
    assert honest
    assert {meaning_of(name, text) for name, text in honest.items()} <= allowed
    assert list((tmp_path / "campaign").iterdir()) == []
    told: list[str] = []
    target = run.snapshot.target
    for name, files in (("evil", {**honest, "syscall/openat@fix-1.lua": EVIL}), ("honest", honest)):
        theirs = tmp_path / name
        place = target_directory(theirs, target.target_id)
        generations.activate(place, add=files, actor="policy:auto", reason="r", run="r")
        taken = take_in_rules(
            tmp_path / "rulebook", tmp_path / "campaign", theirs, target, "campaign c", told.append, allowed
        )
        assert (taken.generation is not None) == (name == "honest")
    assert len(told) == 1
    assert "stay inactive: the written policy here allows no syscall/openat@fix-1.lua" in told[0]


def test_the_policy_of_the_campaign_decides(run: Run, tmp_path: Path) -> None:
    assert may_be_approved([run.dir], tmp_path, "manual") == set()
    (tmp_path / POLICY).write_text("schema: 1\nauto: []\n")
    assert may_be_approved([run.dir], tmp_path, "auto") == set()
