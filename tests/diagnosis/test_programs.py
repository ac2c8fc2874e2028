"""Programs that the guest could not execute: what is the run's own answer, and what would start them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.proposals.build import PATCH_DIRECTORY, propose
from triage_tui.rulebook.rulefile import parse
from triage_tui.runs.model import NOT_STARTED, Syscall
from triage_tui.runs.reader import load_run


@pytest.mark.parametrize(
    ("note", "entry", "template"),
    [
        (f"not executed: a program for mipsel, {NOT_STARTED}", "helper-not-started", "start_helper"),
        ("not executed: /bin/x is for an architecture that is not supported", "helper-exec", "run_helper"),
        (None, "helper-exec", "run_helper"),
    ],
)
def test_what_starts_a_program_is_proposed_where_the_run_refused_it(
    tmp_path: Path, note: str | None, entry: str, template: str
) -> None:
    call = Syscall(
        seq=1, name="execve", pid=2, ret=-8, errno="ENOEXEC", path="/bin/x", note=note, host="execve"
    )
    run = load_run(write_run(tmp_path, [call], exit_code=126))
    diagnosis = diagnose(run)
    best = diagnosis.hypotheses[0]
    assert (best.entry, best.cause) == (entry, "helper_exec")
    assert ("--exec refuse" in best.explanation) == (template == "start_helper")
    proposals = {one.template: one for one in propose(run, diagnosis)}
    assert {"start_helper", "run_helper"} & proposals.keys() == {template}
    if template == "start_helper":
        [name] = proposals[template].files
        assert "syscall/execve@" in name
        rule = parse((run.dir / PATCH_DIRECTORY / name).read_bytes())
        assert rule.header is not None
        assert (rule.header.risk, rule.header.hit_limit) == ("low", 100_000)
    else:
        assert proposals[template].needs_input
