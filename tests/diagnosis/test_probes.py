"""What a service answered to a probe, and what the diagnosis makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.evidence import resolve
from triage_tui.runs.model import Probe, ProbeOutcome, Syscall
from triage_tui.runs.reader import load_run

SERVER = [
    Syscall(seq=1, name="socket", pid=2, arguments=["PF_INET", "SOCK_STREAM", "IPPROTO_IP"], ret=3),
    Syscall(seq=2, name="bind", pid=2, arguments=["3", "0x1", "16"], ret=0, peer="inet:0.0.0.0:80"),
    Syscall(seq=3, name="listen", pid=2, arguments=["3", "5"], ret=0),
]
WAIT = Syscall(seq=9, name="accept", pid=2, arguments=["3", "NULL", "NULL"])


def diagnosed(tmp_path: Path, probes: list[Probe], *more: Syscall) -> Diagnosis:
    calls = sorted([*SERVER, *more, WAIT], key=lambda call: call.seq)
    run = load_run(write_run(tmp_path, calls, reason="idle", exit_code=None, probes=probes))
    diagnosis = diagnose(run)
    for evidence in diagnosis.hypotheses[0].evidence:
        assert resolve(run, evidence.link).exists
    return diagnosis


def probe(outcome: ProbeOutcome, asked: bool = False) -> Probe:
    return Probe(
        target="http 127.0.0.1:80/", outcome=outcome, asked=asked, detail="what came of it", status=200, seq=3
    )


def test_a_service_that_answers_is_well_and_the_probe_is_the_evidence(tmp_path: Path) -> None:
    diagnosis = diagnosed(tmp_path, [probe("answered")])
    assert diagnosis.healthy
    best = diagnosis.hypotheses[0]
    assert best.confidence > 0.95
    assert any(evidence.link.startswith("ev:probe/0") for evidence in best.evidence)


@pytest.mark.parametrize(
    ("outcome", "asked"), [("silent", False), ("wrong", True), ("refused", True), ("silent", True)]
)
def test_a_server_that_waits_and_does_not_answer_is_not_well(
    tmp_path: Path, outcome: ProbeOutcome, asked: bool
) -> None:
    assert not diagnosed(tmp_path, [probe(outcome, asked)]).healthy


def test_one_of_a_person_s_probes_that_fails_is_enough(tmp_path: Path) -> None:
    assert not diagnosed(tmp_path, [probe("answered", True), probe("wrong", True)]).healthy


def test_without_a_probe_a_server_that_waits_is_still_healthy(tmp_path: Path) -> None:
    assert diagnosed(tmp_path, []).healthy


def test_that_it_answered_nothing_speaks_against_a_server_that_waits(tmp_path: Path) -> None:
    told = "it was asked from outside, took the connection and answered nothing"
    silent = diagnosed(tmp_path / "a", [probe("accepted")])
    assert silent.healthy
    best = silent.hypotheses[0]
    assert best.confidence < diagnosed(tmp_path / "b", []).hypotheses[0].confidence
    (against,) = [one for one in best.contrary if one.says == told]
    assert against.link.startswith("ev:probe/0")
    assert best.wanted == ["an answer to a request in the protocol that it speaks"]
    # A person who asked for no more than the connection has got it.
    asked = diagnosed(tmp_path / "c", [probe("accepted", asked=True)])
    assert not any(one.says == told for one in asked.hypotheses[0].contrary)


def test_what_failed_while_it_answered_is_no_cause(tmp_path: Path) -> None:
    missing = Syscall(
        seq=5,
        name="openat",
        pid=2,
        arguments=["AT_FDCWD", '"index.html"', "O_RDONLY"],
        path="index.html",
        ret=-2,
        errno="ENOENT",
    )
    answered = diagnosed(tmp_path / "a", [probe("answered")], missing)
    assert answered.healthy
    wrong = diagnosed(tmp_path / "b", [probe("wrong", True)], missing)
    assert not wrong.healthy
    assert "missing_file" in {hypothesis.cause for hypothesis in wrong.hypotheses}


def test_a_daemon_that_sleeps_long_and_met_no_failure_is_well(tmp_path: Path) -> None:
    def asleep(*calls: Syscall, seconds: int = 60) -> Diagnosis:
        arguments = ["CLOCK_REALTIME", "0", f"{{tv_sec = {seconds},tv_nsec = 0}}"]
        sleep = Syscall(seq=9, name="clock_nanosleep", pid=2, arguments=arguments)
        place = tmp_path / f"{len(calls)}-{seconds}"
        return diagnose(load_run(write_run(place, [*calls, sleep], reason="idle", exit_code=None)))

    assert asleep().healthy
    assert not asleep(seconds=1).healthy
    failed = Syscall(
        seq=8,
        name="openat",
        pid=2,
        arguments=["AT_FDCWD", '"/etc/x.conf"', "O_RDONLY"],
        path="/etc/x.conf",
        ret=-2,
        errno="ENOENT",
    )
    assert asleep(failed).hypotheses[0].cause == "missing_file"


@pytest.mark.parametrize(("descriptor", "healthy"), [("4", True), ("5", False)], ids=["client", "pipe"])
def test_a_server_that_took_a_client_and_waits_for_something_else_is_not_well(
    tmp_path: Path, descriptor: str, healthy: bool
) -> None:
    calls = [
        *SERVER,
        Syscall(seq=4, name="accept", pid=2, arguments=["3", "NULL", "NULL"], ret=4),
        Syscall(seq=5, name="pipe2", pid=2, arguments=["0x1000", "0"], ret=0),
        Syscall(seq=6, name="read", pid=2, arguments=[descriptor, "0x1000", "1"]),
    ]
    taken = write_run(tmp_path, calls, reason="idle", exit_code=None, probes=[probe("accepted")])
    diagnosis = diagnose(load_run(taken))
    assert diagnosis.healthy == healthy
    assert ("waits for something else" in diagnosis.hypotheses[0].title) != healthy
