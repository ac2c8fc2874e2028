"""Each scene has an analyzer of its own that leads from the end to the cause, with evidence for each step."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage_tui.diagnosis.derivation import ANALYZERS, MAX_STEPS
from triage_tui.diagnosis.knowledge_base.cases import case_path, load_case, write_as_run
from triage_tui.diagnosis.report import diagnose, render_markdown
from triage_tui.resources import shipped
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.evidence import resolve

SCENES = {
    "applet-echo": ("healthy exit", ["what the end shows", "what the program said before it"]),
    "httpd-answers": ("healthy idle", ["what it answered", "how it can be reached", "what it waits for"]),
    "conntrack-segv-ppc64el": (
        "crash after failure",
        ["what the end shows", "what the program said before it", "the failed call behind it"],
    ),
    "applet-wget-peer": ("peer protocol", ["what the end shows", "whom it asked"]),
    "ash-wait-pid-armhf": ("spin", ["what is repeated", "what each round tests"]),
    "ntpd-root-ppc64el": ("permission", ["what the end shows", "who it found itself to be"]),
    "mii-tool-i386": ("unsupported call", ["what the end shows", "the failed call behind it"]),
    "applet-cat-missing": (
        "missing resource",
        ["what the end shows", "what the program said before it", "the failed call behind it"],
    ),
    "lighttpd-conf-ppc64el": (
        "its own words",
        ["what the end shows", "what the program said before it", "what it had read before"],
    ),
    "openvpn-resolve-mipsel": ("wait loop", ["what each round tests"]),
}


@pytest.fixture(params=SCENES)
def derived(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Diagnosis, Path]:
    case = load_case(case_path(shipped("rules"), request.param))
    run = write_as_run(case, tmp_path / "20260101_000000_00000001")
    return request.param, diagnose(run), run.dir


def test_a_scene_is_derived_in_its_own_way(derived: tuple[str, Diagnosis, Path], tmp_path: Path) -> None:
    name, diagnosis, _ = derived
    kind, roles = SCENES[name]
    assert diagnosis.scene_kind == kind
    found = [step.role for step in diagnosis.derivation]
    assert [role for role in found if role in roles] == roles
    assert len(found) <= MAX_STEPS
    run = write_as_run(load_case(case_path(shipped("rules"), name)), tmp_path / "20260101_000000_00000002")
    for step in diagnosis.derivation:
        there = resolve(run, step.link)
        assert there.exists
        assert there.hash_ok
        assert there.link.hash
    text = render_markdown(run, diagnosis)
    assert f"From the end back to the cause ({kind}):" in text
    assert f"1. {found[0]}: " in text


def test_every_scene_that_was_asked_for_has_an_analyzer() -> None:
    assert {name for name, _, _ in ANALYZERS} >= {
        "wait loop", "missing resource", "peer protocol", "spin", "permission", "unsupported call",
        "crash after failure", "healthy idle", "healthy exit",
    }  # fmt: skip
