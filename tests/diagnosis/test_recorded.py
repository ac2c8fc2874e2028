"""Recorded failures of real programs: the right cause comes first, and every claim can be followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import case_names, load_case, run_of
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.evidence import links_in, resolve


def test_there_are_cases() -> None:
    assert len(case_names()) > 100


@pytest.mark.parametrize("name", case_names())
def test_the_cause_comes_first_and_the_evidence_resolves(name: str, tmp_path: Path) -> None:
    case = load_case(name)
    run = run_of(case, tmp_path)
    diagnosis = diagnose(run)
    best = diagnosis.hypotheses[0]
    assert best.cause in case.accepted, diagnosis.headline
    assert diagnosis.healthy == case.label["healthy"]
    if "proximate" in case.label:
        assert best.proximate == case.label["proximate"]
    for hypothesis in diagnosis.hypotheses:
        assert hypothesis.evidence
        links = [item.link for item in (*hypothesis.evidence, *hypothesis.contrary, *hypothesis.below)]
        links += [link for _, link in links_in(hypothesis.explanation)]
        for link in links:
            found = resolve(run, link)
            assert found.exists, (link, found.text)
            assert found.hash_ok, link
    assert "unsupported)" not in render_markdown(run, diagnosis)


def test_confidences_fall_and_stay_between_0_and_1(tmp_path: Path) -> None:
    for name in case_names()[:20]:
        diagnosis = diagnose(run_of(load_case(name), tmp_path / name))
        values = [hypothesis.confidence for hypothesis in diagnosis.hypotheses]
        assert values == sorted(values, reverse=True)
        assert all(0 < value < 1 for value in values)


def test_the_headline_says_what_happened_in_words(tmp_path: Path) -> None:
    diagnosis = diagnose(run_of(load_case("haveged-poolsize-armhf"), tmp_path))
    assert diagnosis.headline == (
        "haveged (ARM, pid 3) is about to exit(1): "
        'openat("/proc/sys/kernel/random/poolsize") = ENOENT just before, '
        'then it printed "haveged: Couldn\'t get poolsize". Most likely: missing_file (0.97).'
    )
