"""Trials without a guest: delta debugging, where two runs part, narrower texts, and what is kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from triage_tui.cli.counterfactual import print_counterfactual
from triage_tui.errors import TriageError
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.retry.rules.rule_checks import check_texts
from triage_tui.retry.start import Start
from triage_tui.retry.trials.attempts import Attempts
from triage_tui.retry.trials.beside import calls_beside, is_same, pairs
from triage_tui.retry.trials.criterion import WELL, Criterion
from triage_tui.retry.trials.ddmin import ddmin
from triage_tui.retry.trials.difference import in_words, lost, parting
from triage_tui.retry.trials.minimise import in_words as minimised_in_words
from triage_tui.retry.trials.narrowing import narrower
from triage_tui.retry.trials.trial import BoundReached, Bounds, Trials
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.replay import replay
from triage_tui.runs.model import RuleHit, Syscall
from triage_tui.runs.reader import Run
from triage_tui.runs.trials_model import Counterfactual, Fate, Future, Minimised, RuleFate, Tried, kept
from triage_tui.runs.trials_model import keep as keep_record
from triage_tui.runs.verdict_model import Figures, Verdict


def call(
    seq: int,
    name: str,
    path: str | None = None,
    errno: str | None = None,
    *,
    rule: str | None = None,
    intercepted: bool = False,
) -> Syscall:
    return Syscall(
        seq=seq,
        name=name,
        path=path,
        errno=errno,
        ret=-2 if errno else 0,
        pid=1,
        tid=1,
        arguments=["AT_FDCWD", f'"{path}"', "O_RDONLY"] if path else [],
        rule=rule,
        intercepted=intercepted,
    )


# --- delta debugging -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "needed"), [(8, {2, 5}), (8, set(range(8))), (1, {0}), (7, {6}), (5, set()), (0, set())]
)
def test_the_smallest_part_with_the_property_is_found(items: int, needed: set[int]) -> None:
    asked: list[tuple[int, ...]] = []

    def holds(part: Sequence[int]) -> bool:
        asked.append(tuple(part))
        return needed <= set(part)

    found: list[Sequence[int]] = []
    assert set(ddmin(range(items), holds, found.append)) == needed
    assert len(asked) == len(set(asked)), "no part is asked about twice: each costs a run"
    assert all(len(after) < len(before) for before, after in pairwise(found))


def test_what_is_found_loses_the_property_with_any_one_element_less() -> None:
    # Not monotone: two of three are enough, but only together with none or both of the others.
    def holds(part: Sequence[int]) -> bool:
        return len(set(part) & {1, 3, 6}) >= 2 and len(part) % 2 == 0

    found = ddmin(range(8), holds, lambda part: None)
    assert holds(found)
    assert not any(holds([one for one in found if one != gone]) for gone in found)


def test_what_is_known_is_told_before_the_search_is_broken_off() -> None:
    known: list[Sequence[int]] = []
    asked = 0

    def holds(part: Sequence[int]) -> bool:
        nonlocal asked
        asked += 1
        if asked > 3:
            raise TriageError("the time is over")
        return {0} <= set(part)

    with pytest.raises(TriageError, match="time is over"):
        ddmin(range(8), holds, known.append)
    assert known
    assert {0} <= set(known[-1])
    assert len(known[-1]) < 8


# --- where runs part -----------------------------------------------------------------------------------


def test_runs_part_at_the_call_that_the_rule_helps_with() -> None:
    without = [
        call(1, "read"),
        call(2, "brk"),
        call(3, "openat", "/etc/x", "ENOENT"),
        call(4, "exit_group"),
    ]
    with_it = [
        call(1, "read"),
        call(2, "openat", "/etc/x", rule="fix-1"),
        call(3, "listen"),
        call(4, "accept", errno="EAGAIN"),
    ]
    found = parting(without, with_it)
    assert (found.first, found.second, found.common) == (without[2], with_it[1], 1)
    assert in_words(found) == (
        "after 1 call that both make, openat(/etc/x) gives ENOENT without the rule,"
        " and 0 (helped by rule fix-1) with it"
    )
    assert [one.seq for one in found.right] == [1, 2, 3, 4]
    assert lost(without, with_it) == []


def test_threads_are_compared_with_each_other_and_not_in_the_order_of_time() -> None:
    def of(tid: int, seq: int, name: str) -> Syscall:
        return Syscall(seq=seq, name=name, ret=0, pid=1, tid=tid)

    first = [of(1, 1, "clone"), of(2, 2, "read"), of(1, 3, "write"), of(2, 4, "close")]
    second = [of(1, 1, "clone"), of(1, 2, "write"), of(7, 3, "read"), of(7, 4, "close")]
    assert not parting(first, second).is_one
    assert in_words(parting(first, second)) == "both make the same calls, to the end"
    found = parting(first, second[:3])
    assert found.first is first[3]
    assert in_words(found).endswith("it goes on with close() = 0 without the rule, and ends with it")
    assert not parting([], []).is_one


def test_an_answer_by_a_rule_parts_runs_even_where_the_outcome_is_the_same() -> None:
    first, second = [call(1, "getuid")], [call(1, "getuid", rule="fix-1", intercepted=True)]
    assert "0 (answered by rule fix-1) with it" in in_words(parting(first, second))


# --- narrower texts ------------------------------------------------------------------------------------

BROAD = b"""-- triage-rule: 1
-- id: broad
-- match: openat
-- hit-limit: none
-- risk: low

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  return 1, -c_errno("EACCES")
end
"""


def a_run(calls: list[Syscall], text: bytes, hits: int) -> Run:
    import hashlib

    digest = hashlib.sha256(text).hexdigest()
    hit = RuleHit(rule="broad", sha256=digest, syscall="openat", hits=hits)
    return cast("Run", SimpleNamespace(trace=lambda: calls, snapshot=SimpleNamespace(rule_hits=[hit])))


def test_a_rule_is_narrowed_to_the_paths_at_which_it_acted() -> None:
    calls = [
        call(1, "openat", "/etc/a", rule="broad"),
        call(2, "openat", "/lib/other.so"),
        call(3, "openat", 'it"s\n', rule="broad"),
    ]
    runs = [a_run(calls, BROAD, 2), a_run(calls, BROAD, 2)]
    digest = runs[0].snapshot.rule_hits[0].sha256
    found = list(narrower("syscall/openat@broad.lua", BROAD, runs, digest))
    assert [one.says.split(";")[0] for one in found] == [
        'only for /etc/a, it"s\\n',
        "at most 2 hits, as often as it acted",
    ]
    guarded = found[0].text
    assert rulefile.parse(guarded).header.id == "broad"
    findings = check_texts({"syscall/openat@broad.lua": guarded}, "arm", {})["syscall/openat@broad.lua"]
    assert not [one for one in findings if one.severity == "error"]
    # In the rule host it answers what it was seen to answer, and lets all others go on.
    done = replay("r", "arm", calls, "syscall/openat@broad.lua", guarded)
    assert [one.seq for one in done.acted] == [1, 3]
    assert [one.seq for one in replay("r", "arm", calls, "syscall/openat@broad.lua", BROAD).acted] == [
        1,
        2,
        3,
    ]
    assert rulefile.parse(found[1].text).header.hit_limit == 2
    assert rulefile.parse(found[1].text).body == rulefile.parse(BROAD).body


def test_nothing_is_narrowed_by_chance_or_without_having_acted() -> None:
    calls = [call(1, "openat", "/etc/a", rule="broad")]
    digest = a_run(calls, BROAD, 1).snapshot.rule_hits[0].sha256

    def options(*runs: Run, text: bytes = BROAD) -> list[str]:
        return [one.says for one in narrower("syscall/openat@broad.lua", text, runs, digest)]

    assert options(a_run([], BROAD, 0), a_run([], BROAD, 0)) == []
    # Other paths, or another number of hits, each time: nothing tells what it is for.
    other = [call(1, "openat", "/etc/b", rule="broad")]
    assert options(a_run(calls, BROAD, 1), a_run(other, BROAD, 2)) == []
    precise = BROAD.replace(b"match: openat", b"match: openat path=/etc/a").replace(b"none", b"1")
    assert options(a_run(calls, BROAD, 1), a_run(calls, BROAD, 1), text=precise) == []
    plain = BROAD.split(b"\n\n", 1)[1]
    assert options(a_run(calls, BROAD, 1), a_run(calls, BROAD, 1), text=plain) == []


# --- what is kept --------------------------------------------------------------------------------------


def a_future(calls: list[Syscall], other: list[Syscall], *, second: bool) -> Future:
    parts = parting(calls, other)
    return Future(
        figures=Figures(run_id="", reason="exit"), ends="waits", calls=parts.right if second else parts.left
    )


def a_record() -> Counterfactual:
    without = [call(1, "read"), call(2, "openat", "/etc/x", "ENOENT"), call(3, "exit_group")]
    with_it = [call(1, "read"), call(2, "openat", "/etc/x", rule="fix-1"), call(3, "listen")]
    figures = Figures(run_id="", reason="exit")
    return Counterfactual(
        run="r",
        proposal="p-1",
        files={"fix/syscall/openat.lua": "0" * 64},
        generation=0,
        without=a_future(without, with_it, second=False),
        with_rules=a_future(without, with_it, second=True),
        verdict=Verdict(word="progressed", rung="listens", reasons=["news"], before=figures, after=figures),
        difference="x",
    )


def test_records_are_numbered_and_the_newest_comes_first(tmp_path: Path) -> None:
    assert keep_record(tmp_path, a_record()) == "trials/counterfactual-0001.json"
    second = a_record()
    second.proposal = "p-2"
    assert keep_record(tmp_path, second) == "trials/counterfactual-0002.json"
    assert [one.proposal for _, one in kept(tmp_path, Counterfactual)] == ["p-2", "p-1"]
    # A damaged one, or one of another shape, hides no other.
    (tmp_path / "trials/counterfactual-0002.json").write_text('{"run": 1}')
    (tmp_path / "trials/counterfactual-0003.json").symlink_to("/etc/passwd")
    assert [one.proposal for _, one in kept(tmp_path, Counterfactual)] == ["p-1"]


def test_a_directory_of_records_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    run = tmp_path / "run"
    run.mkdir()
    (run / "trials").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TriageError):
        keep_record(run, a_record())
    assert not list((tmp_path / "elsewhere").iterdir())


def test_calls_that_differ_in_their_outcome_stand_beside_each_other() -> None:
    rows = calls_beside(a_record())
    assert [(left and left.seq, right and right.seq) for left, right in rows] == [(1, 1), (2, 2), (3, 3)]
    assert [is_same(*row) for row in rows] == [True, False, False]
    assert {pair.label for pair in pairs(a_record())} >= {"ends", "cause", "faked", "service"}


def test_where_there_is_no_room_what_both_have_is_not_told_of_one_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = a_record()
    found.with_rules.ends = "listens"
    print_counterfactual(found, "x")
    told = capsys.readouterr().out
    assert f"{'ends':<12} without  it waits\n{'':<12} with     it listens\n" in told
    assert f"{'service':<12} both     -\n" in told


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"seconds": 0.0}, {"each_s": float("nan")}, {"seconds": 1e9}])
def test_bounds_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TriageError):
        Bounds(**wrong)  # type: ignore[arg-type]


# --- bounds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "allowed", "says_nothing"),
    [
        ("time_limit", 30.0, True),
        ("time_limit", 900.0, False),
        ("idle", 30.0, False),
    ],
)
def test_a_run_that_the_end_of_all_time_cut_short_is_no_trial(
    monkeypatch: pytest.MonkeyPatch, reason: str, allowed: float, says_nothing: bool
) -> None:
    start = Start(program="/bin/x", argv=["/bin/x"], triggers=TriggerLimits(time_limit_s=50))
    target = SimpleNamespace(target_id="t", program="/bin/x")
    given: list[float] = []

    def run_once(*args: object, **_: object) -> object:
        given.append(cast("Start", args[2]).triggers.time_limit_s)
        return SimpleNamespace(snapshot=SimpleNamespace(reason=reason))

    for name, stands_for in (
        ("read_start", lambda _: start),
        ("launch_spec", lambda _: None),
        ("resolve_target", lambda _: (target, None)),
        ("scratch", lambda *_: None),
        ("run_once", run_once),
    ):
        monkeypatch.setattr(f"triage_tui.retry.trials.trial.{name}", stands_for)
    run = cast("Run", SimpleNamespace(run_id="r", dir=Path(), snapshot=SimpleNamespace(target=target)))
    workspace = cast("Workspace", None)
    with Trials(workspace, run, Bounds(seconds=allowed), lambda text: None, threading.Event()) as trials:
        if says_nothing:
            with pytest.raises(BoundReached, match="the limit of 30 seconds is reached"):
                trials.with_rules({})
        else:
            trials.with_rules({})
    assert given[0] <= min(50.0, allowed)


def test_what_is_said_of_a_search_hides_no_rule_and_no_failure() -> None:
    fates: tuple[Fate, ...] = ("not_needed", "untried")
    rules = [RuleFate(file=fate, rule=fate, sha256="", fate=fate) for fate in fates]
    found = Minimised(
        run="r",
        target="t",
        generation=1,
        criterion=[WELL],
        reference=Figures(run_id="", reason="exit"),
        rules=rules,
        trials=[],
        complete=False,
        ended="it was stopped",
    )
    told = minimised_in_words(found)
    assert told == (
        "of 2 rules 0 are needed, and 1 not, and of 1 it is not known; not all is known: it was stopped"
    )
    found.criterion = []
    assert "; the program is not well with all rules, so " in minimised_in_words(found)


def test_an_earlier_trial_that_could_not_be_run_is_made_again() -> None:
    asked: list[Mapping[str, bytes]] = []

    def with_rules(rules: Mapping[str, bytes]) -> Run:
        asked.append(rules)
        raise TriageError("the emulator did not start in time")

    trials = cast("Trials", SimpleNamespace(count=0, bounds=Bounds(), with_rules=with_rules))
    criterion = cast("Criterion", None)
    first = Attempts(trials, lambda text: None)
    assert not first.holds(criterion, {"a": b""}, "without b")
    assert not first.holds(criterion, {"a": b""}, "without b")
    assert len(asked) == 1, "not twice in one search"
    again = Attempts(trials, lambda text: None, [*first.tried, Tried(rules={}, says="none", held=False)])
    assert not again.holds(criterion, {}, "without any rule")
    assert len(asked) == 1, "what ran to its end is not made again"
    again.holds(criterion, {"a": b""}, "without b")
    assert len(asked) == 2
