"""Options of `run` mean what they say, or are refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.commands import triage_here
from tests.programs import root_with
from triage_tui.runs.reader import load_run


@pytest.mark.parametrize(("option", "first"), [("--argv0=", ""), ("--argv0=other", "other")])
def test_a_program_has_the_name_that_it_was_given(tmp_path: Path, option: str, first: str) -> None:
    root = root_with(tmp_path / "root", "arm", "exec_state")
    words = ("--wait", "0.1", option, "--rootfs", str(root), "/bin/exec_state", "show")
    triage_here(tmp_path, "run", *words)
    (directory,) = (path.parent for path in tmp_path.glob("ai_runs/*/snapshot.json"))
    run = load_run(directory)
    assert run.snapshot.target.argv == [first, "show"]
    assert run.snapshot.guest_output is not None
    assert f"argc 2 first {first} last show\n" in run.text_file(run.snapshot.guest_output)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--loop-calls=-1", "the calls of a loop must be 0 or more, not -1"),
        ("--max-per-minute=-1", "'-1' is no number of captures: give 0 (no limit) or more"),
        ("--max-disk=-1", "'-1' is no size: give bytes, or a number with k, M, G or T"),
    ],
)
def test_what_is_no_limit_is_refused(tmp_path: Path, option: str, sentence: str) -> None:
    done = triage_here(tmp_path, "run", option, "/bin/x")
    assert (done.returncode, done.stderr) == (2, f"triage-tui: {sentence}\n")
