"""Explanations that exclude each other leave each other less; two names for one failure do not."""

from __future__ import annotations

from typing import Any

from tests.diagnosis.test_causality import ENOENT, run_of
from triage_tui.diagnosis.calibration import Calibration
from triage_tui.diagnosis.facts import FailedCall, syscall_source
from triage_tui.diagnosis.hypotheses import Candidate, weigh_up
from triage_tui.diagnosis.knowledge import KnowledgeBase, load_knowledge
from triage_tui.diagnosis.report import diagnose
from triage_tui.diagnosis.rivals import LIKELY, SAYS, SHARE

ENTRIES = {entry.id: entry for entry in load_knowledge().entries}


def candidate(entry: str, confidence: float, seq: int, **more: Any) -> Candidate:
    subject = FailedCall(
        source=syscall_source(seq), says="", cite="", seq=seq, operation="open", name="open", names="open",
        errno="ENOENT", **more,
    )  # fmt: skip
    return Candidate(entry=ENTRIES[entry], subject=subject, confidence=confidence, bindings={})


def weighed(*found: Candidate) -> dict[str, float]:
    return {one.entry.id: one.confidence for one in weigh_up(list(found), KnowledgeBase())}


def test_two_likely_causes_make_each_other_less_likely_and_keep_their_order() -> None:
    told = weighed(candidate("missing-device", 0.9, 5), candidate("helper-exec", 0.8, 9))
    assert told == {
        "missing-device": round(0.9 - SHARE * (0.8 - LIKELY), 2),
        "helper-exec": round(0.8 - SHARE * (0.9 - LIKELY), 2),
    }
    assert list(told) == ["missing-device", "helper-exec"]


def test_an_unlikely_one_takes_nothing() -> None:
    assert (
        weighed(candidate("missing-device", 0.9, 5), candidate("helper-exec", 0.5, 9))["missing-device"]
        == 0.9
    )


def test_two_names_of_one_failure_are_no_rivals() -> None:
    same_call = (candidate("missing-parent", 0.9, 5), candidate("not-a-directory", 0.9, 5))
    assert set(weighed(*same_call).values()) == {0.9}
    same_path = (
        candidate("missing-device", 0.9, 5, absolute="/dev/rtc"),
        candidate("clock-device", 0.9, 7, absolute="/dev/rtc"),
    )
    assert set(weighed(*same_path).values()) == {0.9}


def test_two_ways_of_being_well_are_no_rivals_and_being_well_is_one_of_a_failure() -> None:
    well = (candidate("service-answers", 0.95, 5), candidate("gone-to-background", 0.9, 9))
    assert set(weighed(*well).values()) == {0.95, 0.9}
    told = weighed(candidate("service-answers", 0.95, 5), candidate("missing-device", 0.9, 9))
    assert told["service-answers"] < 0.95


def test_a_calibration_is_applied_after_it_and_is_told() -> None:
    modest = KnowledgeBase(calibration=Calibration(slope=0.5, intercept=0.0))
    [one] = weigh_up([candidate("missing-device", 0.9, 5)], modest)
    assert one.confidence == 0.75
    assert [change.add for change in one.taken] == [-0.15]


def test_a_rival_is_cited_against(tmp_path: Any) -> None:
    run = run_of(
        f'2 openat(AT_FDCWD,"/dev/gpio",O_RDONLY) = {ENOENT}\n2 write(2,0x1000,27) = 27\n'
        f'2 openat(AT_FDCWD,"/etc/app.conf",O_RDONLY) = {ENOENT}\n2 write(2,0x1000,31) = 31\n'
        "2 exit_group(1)\n",
        tmp_path,
        b"x: cannot open '/dev/gpio'\nx: cannot open '/etc/app.conf'!\n",
    )
    best = diagnose(run).hypotheses[0]
    against = [item for item in best.contrary if item.says == SAYS]
    assert against
    assert all(item.supported for item in against)
    assert best.confidence < 0.9
