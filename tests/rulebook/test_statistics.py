"""What rules did in runs: counted once, whatever is killed, and put down to those that were new."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal

import pytest

from tests.runs.build import write_run
from triage_tui.errors import TriageError
from triage_tui.rulebook.statistics import RuleUse, RunUse, count, statistics_path, totals, use_of, uses
from triage_tui.runs.model import RuleHit
from triage_tui.runs.reader import load_run
from triage_tui.runs.verdict_model import Figures, Verdict, VerdictWord

SHA, OTHER = "a" * 64, "b" * 64


def line(run: str, verdict: str = "", *, fresh: bool = True, hits: int = 1, sha256: str = SHA) -> RunUse:
    rule = RuleUse(rule="x", sha256=sha256, fresh=fresh, calls=3, matches=2, hits=hits, time_us=30)
    return RunUse(run=run, wall="2026-01-31T02:00:00+00:00", before="b", verdict=verdict, rules=[rule])


def judged(word: VerdictWord, how: Literal["resume", "retry"] = "retry") -> Verdict:
    figures = Figures(run_id="r", reason="exit")
    return Verdict(word=word, rung="runs", reasons=[], before=figures, after=figures, how=how)


def test_a_rule_gets_what_came_of_it_where_it_was_new_and_acted(tmp_path: Path) -> None:
    lines = [
        line("1", "progressed"),
        line("2", "resolved", fresh=False),
        line("3", "regressed", hits=0),
        line("4", "regressed"),
        line("5", "sideways"),
        line("6", "progressed", sha256=OTHER),
    ]
    for one in lines:
        assert count(tmp_path, "t", one)
    found = totals(uses(tmp_path))
    assert (found[SHA].runs, found[SHA].helped, found[SHA].hurt) == (5, 1, 1)
    assert (found[SHA].calls, found[SHA].matches, found[SHA].hits, found[SHA].time_us) == (15, 10, 4, 150)
    assert (found[OTHER].runs, found[OTHER].helped, found[OTHER].targets) == (1, 1, ["t"])
    assert found[SHA].last_used == "2026-01-31T02:00:00+00:00"


def test_a_run_counts_once_with_its_last_line(tmp_path: Path) -> None:
    assert count(tmp_path, "t", line("1", "progressed"))
    assert not count(tmp_path, "t", line("1", "progressed"))
    assert count(tmp_path, "t", line("1", "regressed"))
    found = totals(uses(tmp_path, "t"))[SHA]
    assert (found.runs, found.helped, found.hurt) == (1, 0, 1)


@pytest.mark.parametrize("rest", [b'{"run":"9","wall":"","ru', b"\xff\0", b"[" * 100_000])
def test_half_a_line_is_no_line_and_goes(tmp_path: Path, rest: bytes) -> None:
    count(tmp_path, "t", line("1"))
    path = statistics_path(tmp_path, "t")
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    assert [use.run for use in uses(tmp_path)] == ["1"]
    count(tmp_path, "t", line("2"))
    assert path.read_bytes().startswith(whole + b'{"run":"2"')
    assert [use.run for use in uses(tmp_path)] == ["1", "2"]


def test_writers_take_turns(tmp_path: Path) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 20):
            count(tmp_path, "t", line(str(number)))

    threads = [threading.Thread(target=work, args=(20 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(use.run) for use in uses(tmp_path)) == list(range(80))


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    book = tmp_path / "book"
    book.mkdir()
    (book / ".statistics").symlink_to(outside)
    with pytest.raises(TriageError, match="is a link"):
        count(book, "t", line("1"))
    (book / ".statistics").unlink()
    (book / ".statistics").mkdir()
    (book / ".statistics/t.jsonl").symlink_to(outside / "x")
    with pytest.raises(TriageError, match="cannot be written"):
        count(book, "t", line("1"))
    assert not list(outside.iterdir())
    assert count(book, "../../x", line("1"))
    assert sorted(path.name for path in (book / ".statistics").iterdir()) == ["_.._x.jsonl", "t.jsonl"]


def test_what_a_resumed_guest_counted_before_is_taken_off(tmp_path: Path) -> None:
    def run(hits: int, sha256: str = SHA) -> Path:
        hit = RuleHit(rule="x", hits=hits, calls=2 * hits, time_total_us=10 * hits, sha256=sha256)
        return write_run(tmp_path, rule_hits=[hit])

    before, after, other = load_run(run(3)), load_run(run(5)), load_run(run(5, OTHER))
    resumed = use_of(after, before, judged("progressed", "resume")).rules[0]
    assert (resumed.hits, resumed.calls, resumed.time_us, resumed.fresh) == (2, 4, 20, False)
    retried = use_of(after, before, judged("progressed")).rules[0]
    assert (retried.hits, retried.calls) == (5, 10)
    # An edited rule is another rule.
    assert use_of(other, before, judged("progressed", "resume")).rules[0].fresh
