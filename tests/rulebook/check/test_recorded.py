"""What recorded runs say about a rule: by its match, or by running it, and what cannot be told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.rulebook.check import recorded
from triage_tui.rulebook.check.recorded import (
    Matched,
    OtherRuns,
    in_words,
    matched_in,
    other_runs,
    others_in_words,
)
from triage_tui.runs.model import Syscall

HEADER = b"-- triage-rule: 1\n-- id: a\n-- match: openat path=/etc/x\n"
ANSWERS = b"""
function do_syscall(num, a1, a2)
  local path, rc = c_read_string(a2)
  if path == "/etc/x" then return 1, 0 end
  return 0, 0
end
"""
READS_ELSEWHERE = b"""
function do_syscall(num, a1, a2)
  local text, rc = c_read_string(a1 + 65536)
  return 0, 0
end
"""


def opened(seq: int, path: str | None, args: list[int] | None = None) -> Syscall:
    arguments = ["AT_FDCWD", f'"{path}"', "O_RDONLY"] if path else []
    return Syscall(
        seq=seq, name="openat", path=path, arguments=arguments, args=[5, 0x1000, 0] if args is None else args
    )


CALLS = [
    opened(1, "/etc/x"),
    opened(2, "/etc/y"),
    Syscall(seq=3, name="read", args=[0]),
    opened(4, "/etc/x"),
    opened(5, "/etc/x", []),
]


def test_calls_are_counted_by_the_match_of_the_header() -> None:
    found = matched_in("r", "arm", CALLS, "openat@a.lua", HEADER + ANSWERS)
    assert found is not None
    assert (found.calls, found.matched, found.unclear, found.seqs) == (4, 3, 0, (1, 4, 5))
    assert in_words(found, "openat") == "would have matched 3 of 4 recorded openat calls in this run"


def test_a_rule_without_a_match_is_run_only_when_asked_for() -> None:
    assert matched_in("r", "arm", CALLS, "openat.lua", ANSWERS) is None
    bare = Syscall(seq=6, name="openat")
    found = matched_in("r", "arm", [*CALLS, bare], "openat.lua", ANSWERS, run_it=True)
    assert found is not None
    # Of one call the arguments are recorded as text only, of the last one not at all.
    assert (found.calls, found.matched, found.unclear, found.seqs) == (5, 3, 1, (1, 4, 5))
    assert "and 1 cannot be told" in in_words(found, "openat")


def test_what_needs_memory_that_is_not_recorded_cannot_be_told() -> None:
    found = matched_in("r", "arm", CALLS, "openat.lua", READS_ELSEWHERE, run_it=True)
    assert found is not None
    assert (found.matched, found.unclear) == (0, 4)
    assert "not recorded" in found.caveat


def test_a_rule_that_never_comes_back_costs_itself_only() -> None:
    endless = b"function do_syscall() while true do end end"
    found = matched_in("r", "arm", CALLS, "openat.lua", endless, run_it=True)
    assert found is not None
    assert found.matched == 0
    assert found.unclear


def test_other_runs_are_looked_at_those_of_the_target_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [write_run(tmp_path).name for _ in range(4)]
    (tmp_path / names[1] / "snapshot.json").write_text("{")
    told: list[tuple[int, int]] = []
    source = HEADER + ANSWERS

    def look(cancel: threading.Event) -> OtherRuns:
        return other_runs(
            tmp_path, names[0], "x-1", "openat@a.lua", source, cancel, lambda *far: told.append(far)
        )

    found = look(threading.Event())
    assert [one.run_id for one in found.found] == [names[3], names[2]]
    assert (found.left, found.why) == (1, "they cannot be read")
    assert told == [(0, 3), (1, 3), (2, 3)]
    stopped = threading.Event()
    stopped.set()
    assert look(stopped) == OtherRuns((), 3, "it was stopped")
    monkeypatch.setattr(recorded, "MAX_RUNS", 1)
    assert look(threading.Event()).left == 2


def test_other_runs_in_words() -> None:
    assert others_in_words(OtherRuns()) == "no other run was looked at"
    found = (Matched("a", 60, 10), Matched("b", 100, 2, 3))
    assert (
        others_in_words(OtherRuns(found, 7, "it was stopped"))
        == "12 of 160 in 2 other runs, and 3 cannot be told; 7 left out: it was stopped"
    )
