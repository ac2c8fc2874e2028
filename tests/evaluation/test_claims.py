"""Claims are followed to the record: what does not resolve, or says something else by now, is counted."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from triage_tui.diagnosis.report import diagnose
from triage_tui.evaluation.claims import check_claims
from triage_tui.resources import recorded_runs
from triage_tui.runs.diagnosis_model import Diagnosis, Evidence
from triage_tui.runs.reader import Run, load_run


@pytest.fixture(scope="module")
def diagnosed() -> tuple[Run, Diagnosis]:
    run = load_run(recorded_runs()[0])
    return run, diagnose(run)


def test_what_the_product_says_of_a_real_run_is_supported(diagnosed: tuple[Run, Diagnosis]) -> None:
    claims = check_claims(*diagnosed)
    assert claims.total > 3
    assert claims.unsupported == ()


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("", "no link is not in this run"),
        ("ev:syscall/999999999~0123456789ab", "is not in this run"),
        ("https://example.org/", "is not in this run"),
        ("ev:syscall/{seq}", "does not say that"),
        ("ev:syscall/{seq}~000000000000", "does not say that"),
    ],
)
def test_invented_evidence_is_counted(diagnosed: tuple[Run, Diagnosis], link: str, said: str) -> None:
    run, diagnosis = diagnosed
    link = link.replace("{seq}", str(run.trace()[0].seq))
    best = diagnosis.hypotheses[0]
    forged = msgspec.structs.replace(best, evidence=[*best.evidence, Evidence(link=link, says="it is so")])
    told = check_claims(run, msgspec.structs.replace(diagnosis, hypotheses=[forged]))
    assert len(told.unsupported) == 1
    assert said in told.unsupported[0]


def test_an_explanation_that_cites_nothing_is_counted(diagnosed: tuple[Run, Diagnosis]) -> None:
    run, diagnosis = diagnosed
    forged = msgspec.structs.replace(
        diagnosis.hypotheses[0],
        explanation="It is [so](ev:reg/nothing~0123456789ab), and thus (unsupported).",
        evidence=[],
        contrary=[],
    )
    told = check_claims(run, msgspec.structs.replace(diagnosis, hypotheses=[forged], derivation=[]))
    assert (told.total, len(told.unsupported)) == (2, 2)


def test_steps_of_the_derivation_are_claims_too(diagnosed: tuple[Run, Diagnosis]) -> None:
    run, diagnosis = diagnosed
    step = msgspec.structs.replace(diagnosis.derivation[0], link="ev:syscall/999999~0123456789ab")
    told = check_claims(run, msgspec.structs.replace(diagnosis, derivation=[step]))
    assert [line.split(":")[0] for line in told.unsupported] == ["derivation"]


def test_a_record_that_was_changed_afterwards_no_longer_supports(
    diagnosed: tuple[Run, Diagnosis], tmp_path: Path
) -> None:
    run, diagnosis = diagnosed
    copy = tmp_path / run.run_id
    shutil.copytree(run.dir, copy)
    for name in ("trace.jsonl", "snapshot.json"):
        text = (copy / name).read_text()
        (copy / name).write_text(text.replace("ENOENT", "EACCES"))
    assert check_claims(load_run(copy), diagnosis).unsupported
