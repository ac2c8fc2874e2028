"""The page of a diagnosis of somebody else: nothing in it becomes markup, no link is taken on trust."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.cli.main import main
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.report import diagnose, write_report
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import encode_json

TRACE = (
    b'2 openat(AT_FDCWD,"/etc/x.conf",O_RDONLY) = -1 errno=2 (No such file or directory)\n2 exit_group(1)\n'
)
HOSTILE = "a\n# Fake <script>alert(1)</script> ![i](http://e/x.png) ` [x](javascript:y)"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = write_run(tmp_path / "ai_runs", parse_trace(TRACE), reason="exit", argv=["/bin/x"], code=1)
    write_report(made, diagnose(made))
    return load_run(made.dir)


def _diagnosis(run: Run) -> Diagnosis:
    assert run.diagnosis is not None
    return run.diagnosis


def test_no_text_of_another_becomes_markup(run: Run) -> None:
    diagnosis = _diagnosis(run)
    link = diagnosis.hypotheses[0].evidence[0].link
    best = msgspec.structs.replace(
        diagnosis.hypotheses[0],
        title=HOSTILE,
        explanation=f"{HOSTILE} and [it]({link}).",
        cause=HOSTILE,
        wanted=[HOSTILE],
    )
    hostile = msgspec.structs.replace(
        diagnosis, hypotheses=[best], headline=HOSTILE, scene=HOSTILE, scene_kind=HOSTILE
    )
    page = render_markdown(run, hostile, check=True)
    assert "<script" not in page.replace("\\<", "")
    assert "](http" not in page
    assert "](javascript" not in page
    assert not any(line.startswith("# Fake") for line in page.split("\n"))
    assert f" and [it]({link})." in page


def test_a_link_that_does_not_hold_is_none(run: Run) -> None:
    diagnosis = _diagnosis(run)
    good = render_markdown(run, diagnosis, check=True)
    assert "(unsupported)" not in good
    assert good == render_markdown(run, diagnosis)
    link = diagnosis.hypotheses[0].evidence[0].link
    for other in ("ev:syscall/999999~000000000000", link[:-4] + "0000"):
        forged = encode_json(diagnosis).replace(link.encode(), other.encode())
        write_atomic(run.dir / "diagnosis.json", forged)
        page = render_markdown(run, _diagnosis(load_run(run.dir)), check=True)
        assert other not in page
        assert "(unsupported)" in page


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\x00", b'{"run_id": "'])
def test_a_damaged_diagnosis_is_not_said_to_be_none(
    run: Run, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (run.dir / "diagnosis.json").write_bytes(content)
    assert main(["report", "-C", str(run.dir.parent.parent), run.run_id]) == 2
    said = capsys.readouterr().err
    assert "diagnosis.json cannot be used" in said
    assert f"triage-tui diagnose {run.run_id}" in said


def test_a_proposal_names_what_it_is_for(run: Run) -> None:
    main(["diagnose", "-C", str(run.dir.parent.parent), run.run_id])
    diagnosis = _diagnosis(load_run(run.dir))
    assert diagnosis.proposals
    first = diagnosis.hypotheses[0]
    assert f"- For: 1. {first.title}" in render_markdown(run, diagnosis)
