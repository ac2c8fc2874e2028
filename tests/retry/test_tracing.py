"""`triage-tui trace`: from a verdict back to the evidence, after decisions on a real program."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from tests.cli.strict import printed
from tests.packaging.checkout import ROOT
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.retry.tracing.building import MAX_LACKING, MAX_STEPS
from triage_tui.retry.tracing.finding import find
from triage_tui.retry.tracing.model import Trace, TraceStep
from triage_tui.retry.tracing.trace import make_trace
from triage_tui.retry.tracing.writing import as_markdown, as_text
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.rulebook.audit.log import append as append_line
from triage_tui.rulebook.audit.log import read_log
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.events import append_event
from triage_tui.runs.evidence import links_in, resolve
from triage_tui.runs.listing import list_runs
from triage_tui.runs.stories import story_of
from triage_tui.runs.writer import encode_json

ABSENT = "/etc/absent.conf"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, rootfs: Callable[[str], Path]) -> Path:
    """A workspace in which the policy mended a program and a person took that back."""
    root = tmp_path_factory.mktemp("traced")
    console = root / "console.txt"
    console.write_bytes(b"U-Boot\r\ncat: cannot read " + ABSENT.encode() + b"\r\n")
    program = ["--rootfs", str(rootfs("busybox-armel")), "/bin/busybox", "cat", ABSENT]
    main(["run", "-C", str(root), "--policy", "auto", "--log", str(console), *program])
    first = sorted(path.name for path in (root / "ai_runs").iterdir())[0]
    assert main(["rollback", "-C", str(root), first]) == 0
    return root


@pytest.fixture
def workspace(played: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(played, tmp_path / "w", symlinks=True)
    return Workspace(tmp_path / "w")


def traced(workspace: Workspace, name: str, of: Any = None) -> Trace:
    return make_trace(workspace, find(workspace, name, of))


def runs_of(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.runs_dir.iterdir())


def rules_of(trace: Trace) -> set[str]:
    return {rule.id for step in trace.steps if step.kind == "rule" for rule in step.rules}


def led_to(trace: Trace, step: TraceStep) -> list[TraceStep]:
    """All steps that a step rests on, nearest first."""
    found, waiting = [], list(step.because)
    while waiting:
        one = trace.steps[waiting.pop(0) - 1]
        if one not in found:
            found.append(one)
            waiting += one.because
    return found


def test_the_verdict_leads_back_to_the_failed_call(workspace: Workspace) -> None:
    first, second, *_ = runs_of(workspace)
    trace = traced(workspace, first)
    assert trace.lacking == []
    (verdict,) = [step for step in trace.steps if step.kind == "verdict"]
    chain = led_to(trace, verdict)
    kinds = [step.kind for step in chain]
    for kind in ("retry", "rule", "decision", "proposal", "hypothesis", "evidence", "stop"):
        assert kind in kinds
    decision = chain[kinds.index("decision")]
    assert decision.actor == "policy:auto"
    assert re.match(r"line \d+ of the shipped policy", decision.policy)
    assert decision.audit > 0
    failed = [ref for step in chain for ref in step.evidence if ABSENT in ref.says and "ENOENT" in ref.says]
    run = workspace.load(first)
    assert any(resolve(run, ref.link).holds and ref.link.startswith("ev:syscall/") for ref in failed)
    # A log that was given at the start is evidence, too.
    links = [ref.link for step in chain for ref in step.evidence]
    assert [link for link in links if link.startswith("ev:log/added-console.txt.log#L2")]
    assert ("stopped by", "exit 1") in [(figure.name, figure.before) for figure in verdict.figures]
    assert verdict.evidence[0].run == second
    # Each step has a link that holds, and a time.
    for step in trace.steps:
        assert step.evidence, step
        assert step.at, step
        assert all(ref.holds for ref in step.evidence)
    activated, undone = (step for step in trace.steps if step.kind == "rule")
    active = generations.history(workspace.rulebook_dir(run.snapshot.target.target_id))[0]
    assert (activated.after, activated.digest) == (1, active.digest)
    assert activated.rules[0].sha256 in active.files.values()
    assert (undone.before, undone.after) == (1, 0)
    assert verdict.number in undone.because


def test_the_trace_of_a_retry_tells_what_it_ran_with_and_how_it_was_judged(workspace: Workspace) -> None:
    first, second, *_ = runs_of(workspace)
    trace = traced(workspace, second)
    stop = next(step for step in trace.steps if (step.kind, step.run) == ("stop", second))
    (verdict,) = (trace.steps[number - 1] for number in stop.because)
    assert verdict.kind == "verdict"
    assert second in verdict.says
    assert ("stopped by", "exit 1") in [(figure.name, figure.before) for figure in verdict.figures]
    kinds = {step.kind for step in led_to(trace, verdict)}
    assert kinds == {"retry", "rule", "decision", "proposal", "hypothesis", "evidence", "stop"}
    # What nobody decided on in that round is not told.
    assert len([step for step in trace.steps if (step.kind, step.run) == ("proposal", first)]) == 1
    # Where nothing tells how it was made, the round is told in short.
    (workspace.runs_dir / first / "events.jsonl").unlink()
    assert [step.kind for step in traced(workspace, second).steps if step.run == first] == ["round"]


def test_a_rule_is_traced_over_all_runs_that_it_acted_in(workspace: Workspace) -> None:
    first, second, *_ = runs_of(workspace)
    (rule,) = rules_of(traced(workspace, first))
    trace = traced(workspace, rule[:-2])
    assert (trace.of, trace.subject) == ("rule", rule)
    assert "active nowhere now" in trace.says
    acted = [step for step in trace.steps if step.kind == "acted"]
    assert [step.run for step in acted] == [second]
    assert acted[0].evidence[0].link.startswith(f"ev:rule/{rule}")
    assert "evidence" in {step.kind for step in led_to(trace, acted[0])}
    # Only what is about this rule: other proposals are not told.
    assert len([step for step in trace.steps if step.kind == "proposal"]) == 1
    sha = acted[0].rules[0].sha256
    assert traced(workspace, sha[:16]).subject == rule


def test_what_a_rule_did_follows_from_a_generation_of_the_same_target(workspace: Workspace) -> None:
    first, *_ = runs_of(workspace)
    (rule,) = rules_of(traced(workspace, first))
    lines, _ = read_log(workspace.rulebook)
    moved = next(one.entry for one in lines if one.entry is not None and one.entry.kind == "activated")
    other = msgspec.structs.replace(moved, target="another", run="", source="", change="other")
    append_line(workspace.rulebook, other)
    trace = traced(workspace, rule)
    (acted,) = (step for step in trace.steps if step.kind == "acted")
    led = [trace.steps[number - 1] for number in acted.because]
    assert [(step.run, step.after) for step in led] == [(first, 1)]


def test_a_rule_that_was_only_proposed_is_traced_to_where_it_came_from(workspace: Workspace) -> None:
    shutil.rmtree(workspace.rulebook)
    first = runs_of(workspace)[0]
    found = find(workspace, "observe-openat").name
    trace = traced(workspace, found)
    assert trace.says.startswith("active nowhere now; in 0 judged runs")
    assert first in trace.runs
    (proposal,) = [step for step in trace.steps if step.kind == "proposal" and step.run == first]
    assert [found in rule.file for rule in proposal.rules] == [True]
    assert "hypothesis" in {step.kind for step in led_to(trace, proposal)}


def test_a_number_names_a_run_as_everywhere(workspace: Workspace) -> None:
    first, *_ = runs_of(workspace)
    (rule,) = rules_of(traced(workspace, first))
    # Identifiers of rules hold digits, too.
    digit = next(char for char in rule if char.isdigit())
    for name in (first[-1], first[-5:], first[8:]):
        assert (find(workspace, name).of, find(workspace, name).name) == ("run", first)
    for name in ("0", digit * 9, "0_0"):
        with pytest.raises(TriageError, match="run"):
            find(workspace, name)
    (acted,) = (step for step in traced(workspace, rule).steps if step.kind == "acted")
    for name in (f"fix/syscall/openat@{rule}.lua", rule, acted.rules[0].sha256):
        assert (find(workspace, name).of, find(workspace, name).name) == ("rule", rule)
    # What hundreds of identifiers hold names none.
    with pytest.raises(TriageError, match="give at least 4 letters"):
        find(workspace, "fix", "rule")


def test_what_was_tried_with_a_rule_is_part_of_its_trace(workspace: Workspace) -> None:
    first, *_ = runs_of(workspace)
    (rule,) = rules_of(traced(workspace, first))
    for proposal in workspace.load(first).diagnosis.proposals:  # type: ignore[union-attr]
        told = {"proposals": [proposal.id], "verdict": "better", "says": f"with {proposal.title}"}
        append_event(workspace.runs_dir / first, "counterfactual", told)
    (trial,) = (step for step in traced(workspace, rule).steps if step.kind == "trial")
    assert "with Give the program the file" in trial.says
    assert len([step for step in traced(workspace, first).steps if step.kind == "trial"]) > 1


def test_a_smaller_set_follows_from_the_trial_that_found_it(workspace: Workspace) -> None:
    first, *_ = runs_of(workspace)
    run = workspace.load(first)
    assert run.diagnosis is not None
    best = run.diagnosis.proposals[0]
    smaller = msgspec.structs.replace(best, id="smaller-1", source="trial", title="the needed rules")
    run.diagnosis.proposals.append(smaller)
    (run.dir / "diagnosis.json").write_bytes(encode_json(run.diagnosis))
    append_event(run.dir, "proposed", {"proposals": ["smaller-1"]})
    append_event(run.dir, "minimised", {"says": "one is enough"})
    (rule,) = rules_of(traced(workspace, first))
    # Whether the run is traced, or the rule.
    for name in (first, rule):
        trace = traced(workspace, name)
        (proposal,) = (one for one in trace.steps if one.says.startswith("the needed rules"))
        assert [trace.steps[number - 1].says for number in proposal.because] == [
            "which rules are needed was tried: one is enough"
        ]


def test_a_rule_of_others_rests_on_no_hypothesis(workspace: Workspace) -> None:
    first, *_ = runs_of(workspace)
    run = workspace.load(first)
    assert run.diagnosis is not None
    best = run.diagnosis.proposals[0]
    run.diagnosis.proposals.append(msgspec.structs.replace(best, id="pack-1", source="pack", title="packed"))
    (run.dir / "diagnosis.json").write_bytes(encode_json(run.diagnosis))
    trace = traced(workspace, first)
    (proposal,) = (one for one in trace.steps if one.says.startswith("packed"))
    assert [trace.steps[number - 1].kind for number in proposal.because] == ["stop"]


def test_a_story_is_traced_over_its_runs(workspace: Workspace) -> None:
    first = runs_of(workspace)[0]
    story = next(story_of(run) for run in list_runs(workspace.runs_dir) if run.run_id == first)
    trace = traced(workspace, story)
    assert trace == traced(workspace, first, "story")
    members = {run.run_id for run in list_runs(workspace.runs_dir) if story_of(run) == story}
    assert {step.run for step in trace.steps} == members


def test_what_is_gone_or_changed_is_said(workspace: Workspace) -> None:
    first, second, *_ = runs_of(workspace)
    (name,) = rules_of(traced(workspace, first))
    (workspace.runs_dir / first / "logs" / "guest.log").write_bytes(b"something else\n")
    shutil.rmtree(workspace.runs_dir / second)
    target = workspace.rulebook_dir(workspace.load(first).snapshot.target.target_id)
    shutil.rmtree(target / "generations" / "0001")
    trace = traced(workspace, first)
    told = "\n".join(trace.lacking)
    assert f"run {second} is not here any more" in told
    assert "what ev:log/guest.log#L1" in told
    assert "is another than it was" in told
    assert "generation 1 of target" in told
    assert any(not ref.holds for step in trace.steps for ref in step.evidence)
    of_rule = traced(workspace, name)
    assert f"run {second} is not here any more" in of_rule.lacking
    # What it did there is still counted.
    assert [step.run for step in of_rule.steps if step.kind == "acted"] == [second]
    (workspace.runs_dir / first / "trace.jsonl").write_bytes(b"{rubbish\n")
    assert [text for text in traced(workspace, first).lacking if "trace.jsonl" in text]
    (workspace.runs_dir / first / "diagnosis.json").unlink()
    assert f"run {first} has no diagnosis" in traced(workspace, first).lacking


def test_hostile_text_is_inert(workspace: Workspace) -> None:
    first = runs_of(workspace)[0]
    attack = "\x1b]52;c;eA==\x07\u202e[x](ev:syscall/1) [y](javascript:z) <b>|\n# heading"
    append_event(workspace.runs_dir / first, "rejected", {"reason": attack}, attack)
    append_event(workspace.runs_dir / first, "approved", {"files": {attack: attack}, "policy": [attack]}, "x")
    append_event(workspace.runs_dir / first, "activated", {"generation": attack, "files": {attack: 1}})
    append_event(
        workspace.runs_dir / first, "retry_finished", {"run": attack, "reasons": [attack], "links": [attack]}
    )
    for tried in (attack, [attack, {"proposal": attack, "verdict": [attack], "calls": 10**400}, {}]):
        append_event(workspace.runs_dir / first, "each_rule", {"tried": tried, "proposals": attack})
    for odd in (True, 10**400, [attack], None):
        append_event(workspace.runs_dir / first, "checkpoint", {"bytes": odd})
        append_event(workspace.runs_dir / first, "activated", {"generation": odd, "parent": odd})
        append_event(workspace.runs_dir / first, "rolled_back", {"from": odd, "to": odd})
    trace = traced(workspace, first)
    schema = json.loads((ROOT / "docs" / "schemas" / "command-trace.schema.json").read_text())
    jsonschema.validate(json.loads(encode_line(trace)), schema)
    page = list(as_markdown(trace))
    for line in [*as_text(trace), *page]:
        assert line.isprintable(), ascii(line)
    assert not [line for line in page if line.startswith("# heading") or "<b>" in line]
    assert all(target.startswith("ev:") for target in re.findall(r"\]\(([^)]*)", "\n".join(page)))
    known = {ref.link for step in trace.steps for ref in step.evidence}
    assert {link for line in page for _, link in links_in(line)} <= known


def test_who_approves_says_why(workspace: Workspace) -> None:
    first = runs_of(workspace)[0]
    assert main(["approve", "-C", str(workspace.root), first, "-m", "the device has\x1b it"]) == 0
    *_, decision = (step for step in traced(workspace, first).steps if step.kind == "decision")
    assert (decision.why, decision.policy) == ("the device has\x1b it", "")
    lines, _ = read_log(workspace.rulebook)
    (line,) = [one.entry for one in lines if one.entry is not None and one.entry.number == decision.audit]
    assert "the device has" in line.says


def test_a_flood_of_events_is_bounded(workspace: Workspace) -> None:
    first = runs_of(workspace)[0]
    with (workspace.runs_dir / first / "events.jsonl").open("a") as log:
        for number in range(1200):
            told = {"generation": number, "files": ["a"]}
            finished = {"run": f"20260101_000000_{number:08d}", "verdict": "resolved"}
            for kind, payload in (("activated", told), ("retry_finished", finished)):
                event = {"event_id": number + 100, "kind": kind, "actor": "x", "wall": "", "ts_mono_ns": 1}
                log.write(json.dumps(event | {"payload": payload}) + "\n")
    trace = traced(workspace, first)
    assert len(trace.steps) == MAX_STEPS
    assert len(trace.lacking) == MAX_LACKING
    assert "further steps left out" in trace.lacking[-1]


def test_the_command_follows_its_schema(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-C", str(workspace.root)]
    first = runs_of(workspace)[0]
    (told,) = printed(capsys, "trace", *place, first)
    assert (told["of"], told["subject"]) == ("run", first)
    assert main(["trace", *place, first]) == 0
    text = capsys.readouterr().out
    assert [text.index(word) for word in ("  Plan", "  Execution", "  Verification")] == sorted(
        text.index(word) for word in ("  Plan", "  Execution", "  Verification")
    )
    assert main(["trace", *place, first, "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Trace of run ")
    (refused,) = printed(capsys, "trace", *place, "no-such-thing", code=2)
    assert "names no rule and no story here" in refused["error"]["message"]
    (refused,) = printed(capsys, "trace", *place, "--of", "story", "ab0", code=2)
    assert "names no story here" in refused["error"]["message"]
    assert main(["trace", *place, "fix-", "--of", "rule"]) in (0, 2)
