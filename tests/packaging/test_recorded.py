"""The recorded runs that ship: real, sound, marked, and with evidence that still holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage_tui.resources import recorded_runs
from triage_tui.runs.evidence import parse_link, resolve
from triage_tui.runs.reader import load_run


def test_several_failures_and_a_success_are_recorded() -> None:
    runs = [load_run(path) for path in recorded_runs()]
    assert {"exit", "sleep_loop"} <= {run.snapshot.reason for run in runs}
    assert len({run.snapshot.target.arch for run in runs}) >= 2
    assert {"progressed", "resolved"} & {run.state for run in runs}


@pytest.mark.parametrize("path", recorded_runs(), ids=lambda path: path.name)
def test_a_recorded_run_is_sound_and_says_that_it_is_recorded(path: Path) -> None:
    run = load_run(path)
    run.trace()
    assert run.problems == []
    assert run.snapshot.recorded
    assert run.diagnosis is not None
    for hypothesis in run.diagnosis.hypotheses:
        for evidence in hypothesis.evidence:
            found = resolve(run, parse_link(evidence.link))
            assert found.exists, evidence.link
            assert found.hash_ok, evidence.link
