"""`triage-tui rules`: what it prints, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.runs.build import failed_open, write_run
from triage_tui.cli.main import main
from triage_tui.rulebook import generations
from triage_tui.runs.events import append_event

GOOD = """-- triage-rule: 1
-- id: a
-- intent: let the program find /etc/x
-- match: openat path=/etc/x
-- hit-limit: 3
-- effect: an empty file appears
-- risk: low
-- inverse: roll back the generation

function do_syscall(num, a1, a2)
  if c_read_string(a2) ~= "/etc/x" then
    return 0, 0
  end
  local rc = c_provide_file("/etc/x", "", 420)
  c_log("provided /etc/x, rc " .. rc)
  return 0, 0
end
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "openat@a.lua"
    path.write_text(GOOD)
    return str(path)


def test_lint_prints_places_and_counts(tmp_path: Path, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "lint", good]) == 0
    assert capsys.readouterr().out == ""
    bad = tmp_path / "read.lua"
    bad.write_text(GOOD.replace("-- hit-limit: 3\n", "").replace("c_log(", "os.exit("))
    assert main(["rules", "lint", good, str(bad), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["errors"], [one["rule"] for one in found["rules"]]) == (1, [good, str(bad)])
    assert {"line": 14, "severity": "error", "code": "forbidden"}.items() <= found["rules"][1]["findings"][
        -1
    ].items()
    assert main(["rules", "lint", str(bad)]) == 1
    text, said = capsys.readouterr()
    assert f"{bad}:14: error: os does not exist in the rule host [forbidden]" in text
    assert "1 rule: 1 error" in said


def test_explain_says_what_a_rule_does(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "explain", good]) == 0
    text = capsys.readouterr().out
    assert "At openat of /etc/x: an empty file appears, at most 3 times" in text
    assert "provides the file /etc/x (0 bytes), if there is none" in text
    assert "DISAGREE" not in text
    assert main(["rules", "explain", good, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["rules"]
    assert one["rule"] == good
    assert (one["hit_limit"], one["calls"], one["disagree"]) == (3, "openat path=/etc/x", [])


def test_explain_says_for_whom_a_rule_is_and_what_a_plugin_is_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for directory in (tmp_path / "rulebook" / name for name in ("shared", "x-1")):
        generations.activate(directory, add={"syscall/openat@a.lua": GOOD.encode()}, actor="t", reason="t")
    at = ["-C", str(tmp_path)]
    every, only = ", in every target.", ", in this target only."
    for name, said in (
        ("shared@1", every),
        ("active:shared", every),
        ("x-1@1", only),
        ("own/syscall/openat@a.lua", every),
        ("own/x-1/syscall/openat@a.lua", only),
        ("own/plugin/fakefile@a.lua", every),
        ("own/start/environment@a.lua", every),
    ):
        path = tmp_path / "rulebook" / name
        if "own" in name:
            path.parent.mkdir(parents=True, exist_ok=True)
            plugin = 'return { files = { { path = "/a", content = "b" } } }'
            start = 'return { A = "b" }'
            path.write_text(plugin if "plugin" in name else start if "start" in name else GOOD)
        assert main(["rules", "explain", str(path) if "own" in name else name, *at]) == 0
        text = capsys.readouterr().out
        assert (said in text, (every if said == only else only) in text) == (True, False), name
        if "plugin" in name:
            assert "calls:   access, " in text
            assert "every plugin" not in text
            assert "asked:   before the call\n" in text
            assert "at every such call" not in text


def test_one_bad_file_is_named_and_the_others_are_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "ai_runs", [failed_open(1, "/etc/x")])
    kept = tmp_path / "rulebook" / "own"
    rules, plugins = kept / "syscall", kept / "plugin"
    for directory in (rules, plugins):
        directory.mkdir(parents=True)
    (rules / "openat@z.lua").write_text(GOOD)
    (rules / "openat@broken.lua").write_text("-- triage-rule: 7\n")
    os.mkfifo(rules / "a.lua")
    (rules / "b.lua").symlink_to("/etc/passwd")
    (rules / "c.lua").write_bytes(b" " * ((256 << 10) + 1))
    (plugins / "fakefile@d.lua").write_text('return { files = { { path = "/a/../b" } } }\n')
    at = ["-C", str(tmp_path)]
    unreadable = ["syscall/a.lua", "syscall/b.lua", "syscall/c.lua"]
    illegible = [*unreadable, "plugin/fakefile@d.lua", "syscall/openat@broken.lua"]

    def told(*words: str, code: int = 2) -> dict[str, Any]:
        assert main(["rules", *words, *at, "--json"]) == code
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        bad = [str(Path(one["rule"]).relative_to(kept)) for one in found["unread"]]
        assert bad == (unreadable if words[0] == "lint" else illegible)
        return found

    assert [bool(one["findings"]) for one in told("lint", str(kept))["rules"]] == [True, True, False]
    (explained,) = told("explain", str(kept))["rules"]
    assert explained["rule"] == str(rules / "openat@z.lua")
    (cost,) = told("cost", str(kept))["costs"]
    assert cost["rule"] == explained["rule"]
    assert [one["rule"] for one in told("test", str(kept), "--run", run.name)["tried"]] == [cost["rule"]]
    other = tmp_path / "other" / "syscall"
    other.mkdir(parents=True)
    (other / "openat@z.lua").write_text(GOOD.replace("hit-limit: 3", "hit-limit: 4"))
    (other / "openat@broken.lua").write_text(GOOD.replace("id: a", "id: broken"))
    changes = told("diff", str(kept), str(tmp_path / "other"))["rules"]
    assert [(one["id"], one["kind"]) for one in changes] == [("a", "changed")]

    capsys.readouterr()
    assert main(["rules", "explain", str(kept), *at]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(illegible)
    assert all(str(kept / name) in line for name, line in zip(illegible, lines, strict=True))
    assert f"{plugins / 'fakefile@d.lua'}: line 1: files[1].path" in lines[3]


def test_what_names_no_rule_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "lint", "-C", str(tmp_path), "nothing"]) == 2
    assert "'nothing' names no rule" in capsys.readouterr().err


def test_test_prints_what_would_have_been_otherwise(
    tmp_path: Path, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "ai_runs", [failed_open(1, "/etc/x"), failed_open(2, "/etc/y")])
    place = ["-C", str(tmp_path)]
    saved = str(tmp_path / "expect.yaml")
    assert main(["rules", "test", *place, good, "--run", run.name, "--save", saved]) == 0
    text, said = capsys.readouterr()
    assert f"ok    {good} on {run.name} (mipsel, x): acts at 1 of 2 openat calls" in text
    assert "call 1 /etc/x: the call is made; provides /etc/x (0 bytes)" in text
    assert "1 rule on 1 run with such calls: 1 call would go otherwise, 0 wrong" in said
    bad = Path(good)
    bad.write_text(GOOD.replace("return 0, 0\nend", "c_write_bytes(a1, 'x') return 1, 7 + nil\nend"))
    assert main(["rules", "test", *place, good, "--expect", saved, "--json"]) == 1
    (one,) = json.loads(capsys.readouterr().out)["tried"]
    assert (one["good"], one["acts"], one["calls"]) == (False, 1, 2)
    problems = one["outcomes"][0]["problems"]
    assert "Rule a failed on openat" in problems[0]
    assert "which is no memory of an argument" in problems[1]
    assert main(["rules", "test", *place, good, "--run", run.name]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_cost_prints_times_and_ratios(tmp_path: Path, good: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "ai_runs", [failed_open(1, "/etc/x"), failed_open(2, "/etc/y")])
    assert main(["rules", "cost", "-C", str(tmp_path), good]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["RULE", "RUN", "CALLS", "ACTS"]
    assert row.split()[:4] == [good, run.name, "2", "1"]
    assert row.count("(x") == 2
    assert main(["rules", "cost", "-C", str(tmp_path), good, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["costs"]
    assert one["match_ratio"] == one["match_us"] / one["bare_us"]
    unused = tmp_path / "mount@b.lua"
    unused.write_text(GOOD)
    assert main(["rules", "cost", "-C", str(tmp_path), str(unused)]) == 2
    assert "no recorded run has a call of 'mount'" in capsys.readouterr().err


def test_fmt_writes_files_and_edits_of_runs_and_leaves_generations(
    tmp_path: Path, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, place = Path(good), ["-C", str(tmp_path)]
    assert main(["rules", "fmt", good]) == 0
    assert path.read_text() == GOOD
    path.write_text(GOOD.replace("    return 0, 0", "return 0,0"))
    assert main(["rules", "fmt", good, "--check"]) == 1
    assert main(["rules", "fmt", good, "--diff"]) == 1
    assert "-return 0,0\n+    return 0, 0\n" in capsys.readouterr().out
    run = write_run(tmp_path / "ai_runs", [failed_open(1, "/etc/x")])
    rule = run / "rules_patch" / "fix" / "syscall" / "openat@a.lua"
    rule.parent.mkdir(parents=True)
    rule.write_bytes(path.read_bytes())
    assert main(["rules", "fmt", *place, good, "last", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["changed"]) == 2
    assert path.read_text() == rule.read_text() == GOOD
    assert "edited" in (run / "events.jsonl").read_text()
    path.chmod(0o444)
    path.parent.joinpath("read.lua").write_text("x = = 1")
    assert main(["rules", "fmt", str(tmp_path / "read.lua")]) == 2
    assert "is no Lua, so it is not formatted" in capsys.readouterr().err


@pytest.mark.parametrize("turned", [False, True])
def test_a_side_that_cannot_be_read_is_no_side_without_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], turned: bool
) -> None:
    kept = tmp_path / "two" / "syscall"
    kept.mkdir(parents=True)
    for name in ("openat@a.lua", "openat@b.lua"):
        (kept / name).write_text(GOOD)
    two = [str(kept), str(kept / "missing.lua")]
    assert main(["rules", "diff", "-C", str(tmp_path), *(two[::-1] if turned else two)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "missing.lua" in err


def test_diff_compares_files_and_what_is_proposed_with_what_is_active(
    tmp_path: Path, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-C", str(tmp_path)]
    run = write_run(tmp_path / "ai_runs", [failed_open(1, "/etc/x")])
    rule = run / "rules_patch" / "fix" / "syscall" / "openat@a.lua"
    rule.parent.mkdir(parents=True)
    rule.write_text(GOOD)
    append_event(run, "captured", {})
    assert main(["approve", *place, run.name, "fix/syscall/openat@a.lua"]) == 0
    assert main(["rules", "layers", *place, run.name]) == 0
    assert "1 rule of 1 acts for target " in capsys.readouterr().err
    assert main(["rules", "diff", *place, "last"]) == 0
    rule.write_text(GOOD.replace("hit-limit: 3", "hit-limit: 5"))
    capsys.readouterr()
    assert main(["rules", "diff", *place, "last"]) == 1
    text, said = capsys.readouterr()
    assert text.startswith("a: changed\n  hit-limit: 3 -> 5 (it may act more often)\n")
    assert "    --- hit-limit: 3\n    +-- hit-limit: 5\n" in text
    assert "1 rule compared, 1 differs\n" in said
    assert main(["rules", "diff", *place, good, "active", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"][0]["kind"] == "same"
    assert main(["rules", "diff", *place, good]) == 2
    assert "name two" in capsys.readouterr().err
    rule.unlink()
    assert main(["rules", "diff", *place, "last"]) == 2
    assert "'last' names no rule, so there is nothing to compare" in capsys.readouterr().err
