"""Explanations that exclude each other leave each other less; two names for one failure do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.diagnosis.test_causality import ENOENT, run_of
from triage_tui.diagnosis.calibration import Calibration
from triage_tui.diagnosis.cite import Citer
from triage_tui.diagnosis.facts import FailedCall, syscall_source
from triage_tui.diagnosis.hypotheses import Candidate, weigh_up
from triage_tui.diagnosis.knowledge import KnowledgeBase, load_knowledge
from triage_tui.diagnosis.ranking import reasons_below
from triage_tui.diagnosis.report import diagnose
from triage_tui.diagnosis.rivals import LIKELY, SAYS, SHARE, SHARE_OF_ONE_CAUSE

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


def test_two_objects_of_one_cause_that_are_as_likely_cannot_both_be_sure() -> None:
    near = [
        candidate("missing-file", 0.95, 5, absolute="/etc/a"),
        candidate("missing-file", 0.9, 9, absolute="/etc/b"),
    ]
    told = {one.subject.seq: one for one in weigh_up(near, KnowledgeBase())}
    assert told[5].confidence == round(0.95 - SHARE_OF_ONE_CAUSE * (0.9 - LIKELY), 2)
    assert told[9].confidence == round(0.9 - SHARE_OF_ONE_CAUSE * (0.95 - LIKELY), 2)
    assert told[9].confidence < 0.8
    assert told[5].against == [(told[9].subject, SAYS)]
    far = [
        candidate("missing-file", 0.95, 5, absolute="/etc/a"),
        candidate("missing-file", 0.7, 9, absolute="/etc/b"),
    ]
    assert [one.confidence for one in weigh_up(far, KnowledgeBase())] == [0.95, 0.7]
    made = [
        candidate("missing-parent", 0.95, seq, absolute=f"/tmp/{seq}", parent="/tmp", creates=True)
        for seq in (5, 9)
    ]
    assert [one.confidence for one in weigh_up(made, KnowledgeBase())] == [0.95, 0.95]


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


def test_why_one_is_not_the_first_compares_no_more_than_a_ceiling_allows(tmp_path: Path) -> None:
    run = run_of(
        f'2 openat(AT_FDCWD,"/etc/app.conf",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n',
        tmp_path,
        b"x: /etc/app.conf\n",
    )
    best = candidate("missing-file", 0.97, 1, relevance=1.0)
    other = candidate("not-root", 0.5, 1, relevance=0.0)
    told = [one.says for one in reasons_below(best, other, Citer(run))]
    assert best.entry.base + best.entry.per_relevance > best.entry.ceiling == 0.97
    assert any("0.55, not 0.97" in text for text in told), told
