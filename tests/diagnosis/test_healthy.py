"""What speaks against health is said, and weighs: complaints, and calls that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import load_case, parse_trace, run_of, write_run
from triage_tui.diagnosis.output import is_complaint
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.evidence import resolve


def test_a_complaint_before_a_service_that_serves_is_told_and_counts(tmp_path: Path) -> None:
    run = run_of(load_case("complains-then-serves-armel"), tmp_path)
    diagnosis = diagnose(run)
    best = diagnosis.hypotheses[0]
    assert diagnosis.healthy
    assert best.confidence <= 0.85
    assert 'said ["fw: key file unreadable, service disabled"]' in best.explanation
    (against,) = [one for one in best.contrary if "complaint" in one.says]
    assert "key file unreadable" in resolve(run, against.link).text


def test_what_it_looked_for_and_did_not_find_comes_before_a_healthy_sleep(tmp_path: Path) -> None:
    diagnosis = diagnose(run_of(load_case("flash-list-then-sleep-armel"), tmp_path))
    assert not diagnosis.healthy
    assert diagnosis.hypotheses[0].cause == "mtd_flash"
    for one in diagnosis.hypotheses:
        assert "nothing that it needs" not in one.explanation
        assert not any("processes of its own" in item.says for item in one.evidence)


@pytest.mark.parametrize(
    ("text", "complains"),
    [
        ("fw: key file unreadable, service disabled", True),
        ("app: no configuration, giving up", True),
        ("settings are corrupted", True),
        ("IPv6 disabled", False),
        ("listening on port 80", False),
    ],
)
def test_what_reads_like_a_complaint(text: str, complains: bool) -> None:
    assert is_complaint(text) is complains


def test_the_fork_that_made_a_daemon_is_cited_and_not_those_of_its_workers(tmp_path: Path) -> None:
    trace = (
        "2 socket(PF_INET,SOCK_STREAM,IPPROTO_IP) = 3\n2 listen(3,5) = 0\n2 fork() = 4\n4 setsid() = 4\n"
        "2 exit_group(0)\n4 fork() = 5\n4 fork() = 6\n5 accept(3,NULL,NULL)\n4 rt_sigsuspend(0x1000,8)\n"
    )
    run = write_run(tmp_path, parse_trace(trace.encode()), reason="idle", argv=["/sbin/x"])
    run.snapshot.trigger.pid = 4
    best = diagnose(run).hypotheses[0]
    assert best.entry == "gone-to-background"
    assert "Process 2 made it, [fork() = 4](ev:syscall/3~" in best.explanation
    assert "has ended: [exit_group(0)](ev:syscall/5~" in best.explanation
    assert [one.says for one in best.evidence if "started process" in one.says] == [
        "process 2 started process 4, which is still running"
    ]
