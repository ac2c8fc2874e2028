"""What a model wants proposed: what fits becomes a rule file, all else is refused and leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.analyst.conftest import make_run
from tests.analyst.test_injection import EVIL_RULES
from triage_tui.analyst import rules
from triage_tui.analyst.replies import WantedRule
from triage_tui.diagnosis.report import facts_of
from triage_tui.rulebook import patches, rulefile
from triage_tui.rulebook.check import lint
from triage_tui.runs.diagnosis_model import Hypothesis, Proposal
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run

IOCTL = Syscall(
    seq=5,
    name="ioctl",
    arguments=["4", "SIOCGIFINDEX", "0x1000"],
    ret=-19,
    errno="ENODEV",
    request="SIOCGIFINDEX",
)
LUA = "function do_syscall(num, a1)\n  return 1, -2\nend"


def build(run: Run, **wanted: Any) -> Proposal:
    hypothesis = Hypothesis(
        cause="missing_file", proximate="missing_file", confidence=0.5, title="x", model="m"
    )
    return rules.build(run, facts_of(run), 0, hypothesis, WantedRule(**wanted))


@pytest.mark.parametrize("wanted", EVIL_RULES)
def test_nothing_comes_of_an_evil_rule(run: Run, wanted: dict[str, object]) -> None:
    before = run.patch_files()
    with pytest.raises(rules.Unfit) as caught:
        build(run, **wanted)
    assert str(caught.value).isprintable()
    assert run.patch_files() == before


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({}, "there is no template ''"),
        ({"template": "provide_file"}, "`about` must be the evidence id of the syscall"),
        ({"template": "provide_file", "about": "frame/0"}, "`about` must be the evidence id of the syscall"),
        ({"template": "provide_file", "about": "syscall/4711"}, "there is no syscall/4711 in this run"),
        ({"template": "ioctl_success", "about": "syscall/3"}, "does not fit syscall/3: it is for ioctl"),
        ({"lua": LUA}, "needs `syscall`"),
        ({"lua": f"-- triage-rule: 1\n-- id: x\n{LUA}", "syscall": "read"}, "header of its own"),
        ({"lua": f"-- \u202e\u200b\n{LUA}", "syscall": "read"}, r"nobody sees \(U\+200B, U\+202E\)"),
        ({"lua": "local x =", "syscall": "read"}, "cannot run: line 1"),
        (
            {"lua": "\n\nfunction do_syscall() c_teleport() end", "syscall": "read"},
            "no helper named c_teleport",
        ),
        ({"lua": "x = 1", "syscall": "read"}, "neither do_syscall nor after_syscall"),
        ({"lua": f"-- {'x' * 300_000}\n{LUA}", "syscall": "read"}, "more than the"),
    ],
)
def test_what_does_not_fit_is_said(run: Run, wanted: dict[str, object], says: str) -> None:
    with pytest.raises(rules.Unfit, match=says):
        build(run, **wanted)


ENDLESS = "local n = 0; while n >= 0 do n = n + 1 end"


def _body(text: str) -> str:
    return f"function do_syscall(num, a1)\n  {text}\nend"


@pytest.mark.parametrize("syscall", ["openat", "ioctl"])
@pytest.mark.parametrize(
    ("lua", "says"),
    [
        (f"{ENDLESS}\n{_body('return 1, -2')}", "switched off: it used more than"),
        (_body(ENDLESS), "used more than"),
        (_body("return 1, #string.rep('a', 400000000)"), "used up its memory"),
        (_body("local o = _G['o' .. 's']\n  o.execute('true')"), "line 3: attempt to index a nil value"),
    ],
)
def test_what_can_never_work_is_no_proposal(run: Run, lua: str, says: str, syscall: str) -> None:
    # The run has a call of the one, and none of the other.
    before = run.patch_files()
    with pytest.raises(rules.Unfit, match=f"the rule cannot work: .*{says}"):
        build(run, lua=lua, syscall=syscall)
    assert run.patch_files() == before


def test_what_does_nothing_at_any_recorded_call_is_no_proposal(run: Run) -> None:
    with pytest.raises(rules.Unfit, match="does nothing at any of the 1 recorded openat calls"):
        build(run, lua=_body("return nil"), syscall="openat")
    assert build(run, lua=_body("c_log('seen')"), syscall="openat").files


def test_lua_gets_a_header_of_ours(run: Run) -> None:
    proposal = build(
        run, lua=LUA, syscall="OPENAT", risk="none at all", intent="one\n-- risk: low", hit_limit=10**9
    )
    [name] = proposal.files
    source = patches.read_rule(run.dir, name)
    header = rulefile.parse(source).header
    assert (header.risk, header.hit_limit, header.template) == ("high", rules.DEFAULT_HITS, "model")
    assert header.extra == {"proposed-by": "model m"}
    assert header.intent == "one\\n-- risk: low"
    assert (proposal.risk, proposal.source, proposal.observe_only) == ("high", "model", False)
    assert source.endswith(LUA.encode() + b"\n")
    assert build(run, lua=LUA, syscall="openat", hit_limit=5).hit_limit == 5


def test_what_a_model_fills_in_is_never_code(tmp_path: Path) -> None:
    run = make_run(tmp_path / "ai_runs", IOCTL)
    evil = 'eth0") os.execute("true") --\n]]'
    proposal = build(run, template="interface_answers", about="syscall/5", parameters={"interface": evil})
    [name] = proposal.files
    source = patches.read_rule(run.dir, name)
    # What it was born from is the record's, and no word of the model.
    assert rulefile.parse(source).header.extra == {"evidence": "errno=ENODEV", "proposed-by": "model m"}
    assert b'"eth0\\034) os.execute(\\034true\\034) --' in source
    assert not [finding for finding in lint.lint(source, name) if finding.severity == "error"]
    # What the record says comes before what the model says.
    taken = build(run, template="provide_file", about="syscall/3", parameters={"path": "/etc/shadow"})
    text = b"".join(patches.read_rule(run.dir, name) for name in taken.files)
    assert b"/etc/x.conf" in text
    # The knowledge base proposes the very same.
    assert b"proposed-by" not in text
    assert b"shadow" not in text
