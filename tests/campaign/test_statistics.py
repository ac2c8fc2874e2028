"""What a campaign came to: counted by hand on small records."""

from __future__ import annotations

from typing import Any

import pytest

from tests.campaign.states import happened, need, rule, run_id, small, state_of, target
from triage_tui.campaign.comparing import change_of, compare
from triage_tui.campaign.gains import gains
from triage_tui.campaign.model import Outcome
from triage_tui.campaign.statistics import NO_RUNG, count, standing_of

KEY = "NVRAM default lan_ipaddr"


def test_targets_are_counted_by_rung_verdict_cause_and_rule() -> None:
    counted = count(small())
    assert counted.standings == {
        "well": 2, "further": 1, "stuck": 1, "worse": 1, "unknown": 1,
        "refused": 1, "lost": 1, "cancelled": 1, "waiting": 1,
    }  # fmt: skip
    assert (counted.targets, counted.done, counted.runs, counted.rounds) == (10, 6, 9, 10)
    assert counted.ladder == {
        "stable": {"resolved": 1},
        "passed": {"progressed": 1},
        "runs": {"sideways": 1, "regressed": 1},
        NO_RUNG: {"healthy": 1, "not diagnosed": 1},
    }
    assert [(one.key, len(one.targets), one.programs) for one in counted.stories] == [
        ("missing_file open(/etc/a.conf) ENOENT", 3, 1),
        ("missing_device open(/dev/led) ENOENT", 1, 1),
        ("", 1, 1),
    ]
    assert counted.stories[0].standings == {"well": 1, "further": 1, "stuck": 1}
    assert counted.unexplained == 1
    assert [
        (one.template, len(one.tried), len(one.helped), len(one.hurt), one.neither) for one in counted.rules
    ] == [
        ("provide_file", 2, 2, 0, 0),
        ("open_device", 2, 0, 1, 1),
    ]
    assert counted.groups["b"] == {"unknown": 1, "refused": 1, "lost": 1, "cancelled": 1, "waiting": 1}
    assert sum(counted.errors.values()) == 3


def test_a_target_that_was_begun_runs_only_while_somebody_is_at_work() -> None:
    state = state_of([target(1)], {1: happened(1, "started")})
    assert standing_of(state, target(1).target) == "waiting"
    state.running = True
    assert standing_of(state, target(1).target) == "running"


def test_a_rule_counts_once_for_each_target_however_often_it_was_tried() -> None:
    twice = Outcome(word="progressed", rules=[rule("x"), rule("x", helped=True), rule("x", helped=True)])
    (found,) = count(state_of([target(1)], {1: twice})).rules
    assert (len(found.tried), len(found.helped), found.neither) == (1, 1, 0)


def test_the_next_steps_are_ranked_by_what_they_are_expected_to_move() -> None:
    found = gains(small())
    first = found[0]
    assert (first.kind, first.subject, first.first) == ("supply", KEY, 2)
    assert first.targets == [target(2).target, target(3).target]
    assert first.runs == [run_id(14), run_id(16)]
    assert first.says == f"{KEY}: 2 targets need it next; how many it would move is not known"
    assert first.how == [
        "by nvram store",
        "such a rule was not tried in this campaign: it is ranked as if it helped every other time",
        "a person has to: supply the value of lan_ipaddr",
        "risk low",
    ]
    led = next(one for one in found if one.subject == "device /dev/led")
    # The target that needs it next stands before the one that has a likelier need.
    assert (led.first, led.targets) == (1, [target(4).target, target(3).target])
    assert (
        led.says == "device /dev/led: 2 targets need it, 1 of them next; how many it would move is not known"
    )
    assert led.risk == "medium"
    says = [one.says for one in found]
    assert (
        "1 target stops for no known cause: look at the first, and write an entry of the knowledge base"
        in says
    )
    again = "triage-tui campaign --resume x"
    assert f"1 target was lost on the way: {again} takes up only it" in says
    assert f"1 target cannot be run as it is: mend what is said, then {again} tries it again" in says
    assert found[-1].kind == "drop"
    assert found[-1].says.startswith("Open /dev/null for /dev/led: it hurt 1 target and helped 0")


def test_what_helped_here_before_is_expected_to_help_again() -> None:
    last = {n: Outcome(word="resolved", rules=[rule("good", helped=True)]) for n in range(8)}
    last |= {n: Outcome(word="sideways", rules=[rule("bad")]) for n in range(8, 16)}
    last |= {
        n: Outcome(word="diagnosed", needs=[need("file /a", "bad"), need("file /b", "good")])
        for n in (20, 21, 22)
    }
    last |= {23: Outcome(word="diagnosed", needs=[need("file /b", "good")])}
    steps = {one.subject: one for one in gains(state_of([target(n) for n in last], last))}
    good, bad = steps["file /b"], steps["file /a"]
    assert good.expected == pytest.approx(9 / 10 * (1 + 3 * 0.5))
    assert bad.expected == pytest.approx(3 * 1 / 10)
    assert good.expected > bad.expected
    assert "such rules helped 8 of 8 targets here" in good.how
    assert good.says == "file /b: 4 targets need it, 1 of them next; about 2 are expected to move"


def test_no_number_is_told_of_what_nobody_tried() -> None:
    last = {n: Outcome(word="progressed", rules=[rule("good", helped=True)]) for n in range(3)}
    last |= {n: Outcome(word="diagnosed", needs=[need("file /a", "new")]) for n in range(3, 9)}
    last |= {9: Outcome(word="diagnosed", needs=[need("file /b", "good")])}
    last |= {n: Outcome(word="diagnosed", needs=[need("file /b", "")]) for n in range(10, 16)}
    last |= {16: Outcome(word="diagnosed", needs=[need("crash signal SIGSEGV a!b", "", kind="")])}
    steps = {one.subject: one for one in gains(state_of([target(n) for n in last], last))}
    new, mixed, crash = steps["file /a"], steps["file /b"], steps["crash signal SIGSEGV a!b"]
    assert [new.expected, new.seen] == pytest.approx([3, 0])
    assert new.says == "file /a: 6 targets need it next; how many it would move is not known"
    # Those for which nothing is proposed count for the order, and not for the number.
    assert [mixed.expected, mixed.seen] == pytest.approx([4 / 5 + 6 / 4, 4 / 5])
    assert mixed.says == "file /b: 7 targets need it next; about one is expected to move"
    assert "nothing is proposed for 6 targets" in mixed.how
    assert crash.says == (
        "crash signal SIGSEGV a!b: 1 target must get past it next; nothing is proposed that was not tried"
    )


def test_what_nobody_proposes_anything_for_is_said_with_what_is_known() -> None:
    known: dict[str, Any] = {"cause": "crash_signal", "signature": "crash_signal SIGSEGV httpd!main"}
    last = {
        1: Outcome(word="diagnosed", runs=[run_id(1)], **known),
        2: Outcome(word="progressed", runs=[run_id(2)], **known),
        3: Outcome(word="healthy"),
    }
    says = [one.says for one in gains(state_of([target(n) for n in last], last))]
    assert says == [
        "1 target stops for crash_signal SIGSEGV httpd!main, and nothing is proposed for it",
        "1 target got further, and nothing more is proposed: look at the last runs",
    ]


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (Outcome(word="sideways", rung="runs"), Outcome(word="resolved", rung="stable"), "better"),
        (Outcome(word="healthy"), Outcome(word="diagnosed", cause="missing_file"), "worse"),
        (Outcome(word="progressed", rung="listens"), Outcome(word="progressed", rung="passed"), "worse"),
        (Outcome(word="resolved", rung="answers"), Outcome(word="resolved", rung="stable"), "better"),
        (Outcome(word="diagnosed", cause="a"), Outcome(word="diagnosed", cause="b"), "another cause"),
        (Outcome(word="diagnosed", cause="a"), Outcome(word="sideways", cause="a", rung="runs"), "same"),
        (Outcome(word="regressed", cause="a"), Outcome(word="progressed", cause="a"), "better"),
        (Outcome(word="of tomorrow", cause="a"), Outcome(word="of tomorrow", cause="a"), "same"),
    ],
)
def test_a_target_is_better_or_worse_by_rung_and_verdict(old: Outcome, new: Outcome, change: str) -> None:
    assert change_of(old, new) == change


def test_campaigns_are_compared_by_target_and_in_sum() -> None:
    before = small()
    after = small(id=run_id(2), rules_hash="other")
    after.targets = [*after.targets[:8], target(20)]
    after.last[target(3).target] = happened(3, Outcome(word="resolved", rung="stable", cause="missing_file"))
    after.last[target(0).target] = happened(
        0, Outcome(word="diagnosed", cause="missing_peer", signature="missing_peer x")
    )
    # The same place with other content: another version of the firmware.
    after.targets[1] = target(31, name="httpd1")
    after.targets[1].argv, after.targets[1].origin = before.targets[1].argv, before.targets[1].origin
    after.last[target(31).target] = happened(
        31, Outcome(word="resolved", rung="unmasked", cause="missing_file")
    )
    found = compare(before, after)
    assert found.counts == {"worse": 1, "better": 2, "new": 1, "gone": 2, "not known": 2, "same": 3}
    assert [one.change for one in found.targets[:3]] == ["worse", "better", "better"]
    worse, *better = found.targets[:3]
    assert (worse.was, worse.now) == ("healthy", "diagnosed, missing_peer")
    assert {one.other_content for one in better} == {True, False}
    assert [(one.key, one.before, one.after) for one in found.stories] == [
        ("missing_file open(/etc/a.conf) ENOENT", 2, 1),
        ("missing_peer x", 0, 1),
    ]
    assert "The active rules at the start were others." in found.notes
    assert "Of targets with another content there are 1: they are known by their place." in found.notes


def test_two_targets_in_one_place_are_not_taken_for_each_other() -> None:
    twins = [target(1), target(2)]
    for one in twins:
        one.name, one.argv, one.origin = "twin", [], ""
    other = target(3)
    other.name, other.argv, other.origin = "twin", [], ""
    outcome = Outcome(word="healthy")
    before = state_of(twins, {1: outcome, 2: outcome})
    after = state_of([other], {3: outcome}, id=run_id(2))
    assert compare(before, after).counts == {"new": 1, "gone": 2}


def test_a_target_of_another_version_is_known_again_though_its_root_has_another_name() -> None:
    """Or its line in the target file is another one; what stands twice is not guessed at."""
    outcome = Outcome(word="healthy")
    before = [target(n, group="fw-1.0") for n in (1, 2)] + [target(n, group="x", name="twin") for n in (3, 4)]
    after = [target(n, group="fw-1.1") for n in (11, 12)] + [
        target(n, group="y", name="twin") for n in (13, 14)
    ]
    for one in (*before, *after):
        number = int(one.target, 16) % 10
        one.argv = ["httpd", "twin" if number > 2 else str(number)]
        one.name = "twin" if number > 2 else f"httpd{number}"
        one.origin = f"targets.yaml line {int(one.target, 16)}"
    then = state_of(before, dict.fromkeys((1, 2, 3, 4), outcome))
    now = state_of(after, dict.fromkeys((11, 12, 13, 14), outcome), id=run_id(2))
    found = compare(then, now)
    assert found.counts == {"new": 2, "gone": 2, "same": 2}
    assert [(one.before, one.after) for one in found.targets if one.other_content] == [
        (target(1).target, target(11).target),
        (target(2).target, target(12).target),
    ]
