"""What came of a target is told from its rounds: each rule by its own, and what was taken back is gone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.retry.decisions import CALLS, FILES, text_of
from tests.runs.build import a_proposal, failed_open, write_run
from triage_tui.campaign.model import Outcome
from triage_tui.campaign.outcome import outcome_of
from triage_tui.campaign.statistics import standing_of_outcome
from triage_tui.retry.rounds.course import Course, Round
from triage_tui.rulebook import patches
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.runs.events import append_event
from triage_tui.runs.model import RuleHit
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.verdict_model import Figures, Rung, Verdict, VerdictWord
from triage_tui.runs.writer import RunWriter

SHA256 = {name: hashlib.sha256(text_of(call)).hexdigest() for name, call in zip(FILES, CALLS, strict=True)}


def ran(runs: Path, number: int, parent: str | None = None, rules: dict[str, int] | None = None) -> Run:
    """Record a run in which these rules were active, with how often each acted."""
    hits = [RuleHit(rule=name, hits=hits, sha256=SHA256[name]) for name, hits in (rules or {}).items()]
    writer = RunWriter(runs, f"20260131_020000_{number:08d}")
    more: dict[str, Any] = {"parent_run": parent, "rule_hits": hits}
    place = write_run(runs, [failed_open(1, f"/etc/{number}.conf")], writer=writer, **more)
    for name, call in zip(FILES, CALLS, strict=True):
        (place / "rules_patch" / name).parent.mkdir(parents=True, exist_ok=True)
        patches.write_rule(place, name, text_of(call))
    cause = Hypothesis(
        cause="missing_file",
        confidence=0.9,
        proximate="p",
        title="t",
        parameters={"absolute": f"/etc/{number}.conf"},
    )
    diagnosis = Diagnosis(
        run_id=place.name,
        scene="missing_resource",
        headline="h",
        hypotheses=[cause],
        proposals=[a_proposal(call, name, template=call) for name, call in zip(FILES, CALLS, strict=True)],
    )
    (place / "diagnosis.json").write_bytes(msgspec.json.encode(diagnosis))
    return load_run(place)


def approved(run: Run, name: str) -> None:
    append_event(run.dir, "approved", {"files": {name: SHA256[name]}})


def judged(run: Run, word: VerdictWord, rung: Rung, before: Rung = "runs") -> Round:
    """A round with its verdict."""
    verdict = Verdict(
        word=word,
        rung=rung,
        reasons=["r"],
        before=Figures(run_id=run.snapshot.parent_run or "", reason="exit", rung=before),
        after=Figures(run_id=run.run_id, reason="exit", rung=rung),
    )
    return Round(run, verdict)


def told(outcome: Outcome) -> list[tuple[str, bool, bool]]:
    return [(rule.template, rule.helped, rule.hurt) for rule in outcome.rules]


def test_each_of_several_rules_that_were_tried_on_one_run_has_its_own_verdict(tmp_path: Path) -> None:
    first = ran(tmp_path, 1)
    second = ran(tmp_path, 2, first.run_id, {FILES[0]: 3})
    third = ran(tmp_path, 3, first.run_id, {FILES[1]: 1})
    fourth = ran(tmp_path, 4, third.run_id, {FILES[1]: 1, FILES[2]: 0})
    approved(first, FILES[0])
    approved(first, FILES[1])
    approved(third, FILES[2])
    rounds = [
        Round(first, approved="b"),
        judged(second, "regressed", "listens"),
        judged(third, "progressed", "passed"),
        judged(fourth, "progressed", "new_branch"),
    ]
    outcome = outcome_of(Course(rounds=rounds))
    # The third got further in its round, and did not act.
    assert told(outcome) == [("openat", False, True), ("ioctl", True, False), ("read", False, False)]
    assert [rule.run for rule in outcome.rules] == [second.run_id, third.run_id, fourth.run_id]
    assert (outcome.word, outcome.rung, outcome.taken_back) == ("progressed", "new_branch", False)


@pytest.mark.parametrize("word", ["sideways", "regressed"])
def test_a_target_whose_only_rule_was_taken_back_is_as_it_was(tmp_path: Path, word: VerdictWord) -> None:
    first = ran(tmp_path, 1)
    second = ran(tmp_path, 2, first.run_id, {FILES[0]: 3})
    approved(first, FILES[0])
    outcome = outcome_of(Course(rounds=[Round(first), judged(second, word, "listens")]))
    assert (outcome.word, outcome.rung, outcome.taken_back) == (word, "runs", True)
    assert standing_of_outcome(outcome) == "stuck"
    # Only what was judged worse hurt; what led nowhere did not.
    assert told(outcome) == [("openat", False, word == "regressed")]
    # What it needs is what the run needs that it stands at, without what was tried there.
    assert {need.run for need in outcome.needs} == {first.run_id}
    assert [need.template for need in outcome.needs] == ["ioctl", "read"]
    # Where it could not be taken back, it acts.
    outcome = outcome_of(Course(rounds=[Round(first, approved="a"), judged(second, word, "listens")]))
    assert (outcome.rung, outcome.taken_back) == ("listens", False)
    assert standing_of_outcome(outcome) == ("worse" if word == "regressed" else "stuck")


def test_a_rule_for_which_no_round_was_made_was_not_tried(tmp_path: Path) -> None:
    first = ran(tmp_path, 1)
    approved(first, FILES[0])
    (rule,) = outcome_of(Course(rounds=[Round(first, approved="a")])).rules
    assert (rule.run, rule.helped, rule.hurt) == ("", False, False)


def test_rules_that_were_active_already_are_counted_where_they_acted(tmp_path: Path) -> None:
    first = ran(tmp_path, 1, rules={FILES[0]: 3, FILES[1]: 0})
    assert outcome_of(Course(rounds=[Round(first)])).acted == 1
    assert outcome_of(Course(rounds=[Round(ran(tmp_path, 2))])).acted == 0
