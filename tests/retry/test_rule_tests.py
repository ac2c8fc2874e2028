"""Rules tried on runs and cases: by name, held against what is expected, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import failed_open, write_run
from triage_tui.errors import TriageError
from triage_tui.retry.rules.named_rules import NamedRule
from triage_tui.retry.rules.rule_tests import (
    Expected,
    Tried,
    read_expectations,
    recordings,
    save_expectations,
    try_rules,
)
from triage_tui.retry.workspace import Workspace

RULE = b"""-- triage-rule: 1
-- id: a

function do_syscall(num, a1, a2)
  if c_read_string(a2) ~= "/etc/x" then return 0, 0 end
  return 1, -13
end
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A run with two calls of openat, and one that cannot be read."""
    workspace = Workspace(tmp_path)
    write_run(workspace.runs_dir, [failed_open(1, "/etc/x"), failed_open(2, "/etc/y")])
    broken = write_run(workspace.runs_dir)
    (broken / "snapshot.json").write_text("{")
    return workspace


def tried(
    workspace: Workspace, expected: list[Expected], source: bytes = RULE, told: list[str] | None = None
) -> list[Tried]:
    rule = NamedRule("a", "openat@a.lua", source)
    tell = [] if told is None else told
    found = recordings(workspace, [], ["workspace"], tell.append)
    return list(try_rules([rule], found, expected, tell.append))


def test_what_a_rule_does_is_held_against_what_is_expected(workspace: Workspace, tmp_path: Path) -> None:
    told: list[str] = []
    (one,) = tried(workspace, [], told=told)
    assert (one.good, [outcome.seq for outcome in one.replay.acted]) == (True, [1])
    assert ["cannot be read" in text or "left out" in text for text in told] == [True]
    save_expectations(tmp_path / "expect.yaml", [one])
    (expected,) = read_expectations(tmp_path / "expect.yaml")
    assert (expected.run, expected.rule, expected.acts) == (one.recording, "a", [1])
    assert expected.answers == {1: "EACCES"}
    assert tried(workspace, [expected])[0].good
    changed = RULE.replace(b"~=", b"==").replace(b"-13", b"-1")
    (one,) = tried(workspace, [expected], changed)
    assert one.unmet == ("acts at calls 2, 1 expected", "call 1 gets no answer, EACCES expected")


def test_counts_and_numbers_can_be_expected_too(workspace: Workspace) -> None:
    name = tried(workspace, [])[0].recording
    assert tried(workspace, [Expected(run=name, acts=1, answers={1: -13})])[0].good
    (one,) = tried(workspace, [Expected(run=name, acts=2, answers={1: 0, 9: 0})])
    assert one.unmet == (
        "acts at 1 calls, 2 expected",
        "call 1 gets EACCES, 0 expected",
        "call 9 is none at which the rule is asked, 0 expected",
    )
    with pytest.raises(TriageError, match="none of the runs"):
        tried(workspace, [Expected(run="other", acts=1)])


def test_shipped_runs_and_cases_are_found_by_name(workspace: Workspace) -> None:
    found = list(recordings(workspace, ["applet-wget-peer", "20261121_001419_00000001"], [], print))
    assert [one.arch for one in found] == ["mipsel", "mipsel"]
    assert all(one.calls for one in found)
    with pytest.raises(TriageError, match="no run"):
        list(recordings(workspace, ["nothing"], [], print))


@pytest.mark.parametrize("text", ["", "expect: 3", "{", "schema: 2\nexpect: []", "\0", "expect: [{acts: x}]"])
def test_what_holds_no_expectations_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(TriageError, match=r"x\.yaml"):
        read_expectations(tmp_path / "x.yaml")
