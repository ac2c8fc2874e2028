"""Stories: which runs are one, and which story is to be looked at first."""

from __future__ import annotations

from typing import Any

from triage_tui.runs.listing import RunSummary
from triage_tui.runs.stories import group, ordered, scores, severity, story_of

LOST = "missing_file open(/etc/x) ENOENT"


def run(number: int, program: str = "/sbin/httpd", signature: str = LOST, **more: Any) -> RunSummary:
    fields = {"reason": "exit", "cause": "missing_file", "confidence": 0.5, **more}
    run_id = f"20251118_1400{number:02d}_00000001"
    return RunSummary(run_id=run_id, program=program, argv=[program], signature=signature, **fields)


def score(*runs: RunSummary) -> int:
    return scores(group(runs))[story_of(runs[0])]


def test_one_cause_of_one_target_is_one_story_and_another_file_is_another() -> None:
    first = run(1, target_id="a", arch="arm")
    assert story_of(first) == story_of(run(2, target_id="b", arch="arm", confidence=0.9))
    assert story_of(first) != story_of(run(2, signature="missing_file open(/etc/y) ENOENT", arch="arm"))
    assert story_of(first) != story_of(run(2, arch="mipsel"))
    assert len(story_of(run(1, program="/\udcff"))) == 12
    assert story_of(run(1, problem="damaged")) == run(1).run_id


def test_nothing_makes_what_is_well_or_mended_urgent() -> None:
    many = [run(number, confidence=1.0, state="resolved") for number in range(60)]
    assert score(*many) == 0
    assert severity(run(1, healthy=True, reopened="x")) == 0
    assert severity(run(1, problem="damaged")) == 0


def test_the_newest_run_says_how_bad_it_is() -> None:
    assert score(run(1, reason="signal"), run(2, healthy=True)) == 0
    assert score(run(2, healthy=True), run(3, reason="signal")) > 0
    assert score(run(1, state="progressed")) < score(run(1))
    assert score(run(1, reopened="x")) > score(run(1, reason="exit"))
    assert score(run(1, reason="signal")) > score(run(1)) > score(run(1, reason="idle"))


def test_what_is_seen_often_new_and_sure_counts_more() -> None:
    assert score(run(1), run(2), run(3)) > score(run(1))
    assert score(*(run(n) for n in range(1, 65))) == score(*(run(n) for n in range(1, 90)))
    assert score(run(1, confidence=0.9)) > score(run(1))
    # Ten other programs lack the same file.
    assert score(run(1), *(run(2, f"/sbin/p{n}") for n in range(10))) < score(run(1))
    assert score(run(1, "/a", "crash_signal SIGSEGV", reason="signal", confidence=1.0), run(2, "/b")) == 80


def test_by_score_the_runs_of_a_story_stand_together_the_worst_first() -> None:
    worst = [run(number, "/b", "x", reason="signal") for number in (2, 4)]
    runs = [run(1), run(3), *worst, run(5, healthy=True, signature="y")]
    found = [int(one.run_id[13:15]) for one in ordered(runs, "score")]
    assert found == [4, 2, 3, 1, 5]
    # What counts the same is newest first, a story as a whole.
    alike = [run(1, "/b", "y", healthy=True), run(2, healthy=True), run(3, "/b", "y", healthy=True)]
    assert [int(one.run_id[13:15]) for one in ordered(alike, "score")] == [3, 1, 2]
    waits = run(6, healthy=True, signature="z", waiting=True)
    assert ordered([*runs, waits], "score")[0] is waits
