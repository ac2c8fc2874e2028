"""What is checked before an approval: the text, the active rules, and the recorded calls of the run."""

from __future__ import annotations

from pathlib import Path

from tests.runs.build import failed_open, write_run
from triage_tui.retry.rules.named_rules import named
from triage_tui.retry.rules.rule_checks import breadth, check_named
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.check.recorded import Matched

RULE = """-- triage-rule: 1
-- id: a
-- match: openat path=/etc/x
-- hit-limit: 3
-- risk: low

function do_syscall(num, a1, a2)
  if c_read_string(a2) == "/etc/x" then return 1, -c_errno("EACCES") end
  return 0, 0
end
"""
ACTS, WATCHES = b"function do_syscall() return 1, -2 end", b"function do_syscall() c_log('x') end"


def codes(tmp_path: Path, text: str, paths: list[str], *, tried: bool) -> list[tuple[str, str]]:
    workspace = Workspace(tmp_path)
    run = write_run(workspace.runs_dir, [failed_open(n, path) for n, path in enumerate(paths, 1)])
    rule = run / "rules_patch" / "fix" / "syscall" / "openat@a.lua"
    rule.parent.mkdir(parents=True)
    rule.write_text(text)
    rules = named(workspace, [run.name])
    (found,) = check_named(workspace, rules, run_them=tried).values()
    return [(one.severity, one.code) for one in found]


def test_a_rule_of_a_run_is_held_against_its_architecture_and_calls(tmp_path: Path) -> None:
    few, many = ["/etc/x", "/etc/y"], ["/etc/x"] * 6 + ["/etc/y"] * 4
    assert codes(tmp_path, RULE, few, tried=True) == []
    assert codes(tmp_path, RULE, many, tried=False) == [("warning", "broad")]
    # Only here the run's architecture, mipsel, is known: there 111 is no error.
    wrong = RULE.replace('-c_errno("EACCES")', "-111")
    assert codes(tmp_path, wrong, few, tried=False) == [("error", "bad-result")]
    works_out = RULE.replace('-c_errno("EACCES")', "a1 * 0 - 111")
    assert codes(tmp_path, works_out, few, tried=False) == []
    assert codes(tmp_path, works_out, few, tried=True) == [("error", "bad-at-call")]
    broken = RULE.replace("-- id: a\n", "")
    assert codes(tmp_path, broken, many, tried=True) == [("error", "header")]


def test_breadth_is_told_of_rules_that_act_at_more_than_half_of_many_calls() -> None:
    (found,) = breadth(Matched("r", 44, 41), "openat", ACTS)
    assert found.message == "would match 41 of 44 recorded openat calls, more than half of them"
    for matched in (None, Matched("r", 44, 22), Matched("r", 7, 7)):
        assert breadth(matched, "openat", ACTS) == []
    assert breadth(Matched("r", 44, 41), "openat", WATCHES) == []
