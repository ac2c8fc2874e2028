"""Experiments on real guests: each kind is carried out, and what was learnt is said and recorded."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.programs import root_with
from triage_tui.diagnosis.experiments import SURE
from triage_tui.diagnosis.facts import Message
from triage_tui.diagnosis.found_text import found_messages
from triage_tui.errors import Conflict, TriageError
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.retry.experiments import runs as experiment_runs
from triage_tui.retry.experiments.carrying_out import Outcome, carry_out, chosen, possible, under_way
from triage_tui.retry.experiments.learning import learnt_from
from triage_tui.retry.experiments.runs import take_back_left_over
from triage_tui.retry.inspecting import memory_windows
from triage_tui.retry.inspecting.rediagnose import rediagnose, takes_long
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.start import Start, read_start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.runs.diagnosis_model import Diagnosis, Evidence, Experiment, Hypothesis
from triage_tui.runs.events import append_event, read_events, this_process
from triage_tui.runs.reader import Run

NO_SIGNAL = threading.Event()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, qemu_dir: Path) -> Path:
    """A root file system with the program that says nothing."""
    return root_with(tmp_path_factory.mktemp("root"), "thumb", "keeps_quiet")


def run_once(workspace: Workspace, root: Path, kind: str, **more: object) -> Run:
    triggers = TriggerLimits(idle_s=0.4, grace_s=0.1, time_limit_s=20)
    start = Start(
        program="/bin/keeps_quiet",
        argv=["keeps_quiet", kind],
        rootfs=str(root),
        triggers=triggers,
        **more,  # type: ignore[arg-type]
    )
    return run_rounds(workspace, start, hold=False).rounds[0].run


def attempt(workspace: Workspace, run: Run, wanted: str) -> Outcome:
    told: list[str] = []
    outcome = carry_out(workspace, run.run_id, wanted, told.append, threading.Event(), "tester")
    assert told[0] == outcome.experiment.says
    finished = read_events(run.dir)[0][-1]
    assert (finished.kind, finished.payload["learnt"]) == ("experiment_finished", outcome.learnt)
    assert (finished.actor, finished.payload["told"]) == ("tester", outcome.told)
    return outcome


def test_a_service_that_was_never_asked_answers_and_is_known(tmp_path: Path, root: Path) -> None:
    workspace = Workspace(tmp_path)
    run = run_once(workspace, root, "serves", probing=False)
    assert run.diagnosis is not None
    assert run.diagnosis.hypotheses[0].confidence < SURE
    outcome = attempt(workspace, run, "")
    assert outcome.experiment.kind == "probe"
    assert outcome.learnt.startswith(
        "the probe was answered (GET 127.0.0.1:8088/ was answered with status 200)"
    )
    assert outcome.after is not None
    assert (outcome.after.cause, outcome.after.confidence) == ("network_wait", 0.97)
    assert outcome.told


def test_a_line_of_input_tells_that_it_waited_for_one(tmp_path: Path, root: Path) -> None:
    workspace = Workspace(tmp_path)
    run = run_once(workspace, root, "wants input")
    assert run.diagnosis is not None
    assert run.diagnosis.hypotheses[0].cause == "unknown"
    outcome = attempt(workspace, run, "")
    assert outcome.experiment.kind == "input"
    assert outcome.learnt.startswith("with a line of input it ended with code 0")
    assert outcome.learnt.endswith(", was unknown")
    assert outcome.told
    new = workspace.load(outcome.run_id)
    assert new.snapshot.parent_run == run.run_id
    # What told something is not tried twice by itself.
    assert outcome.experiment.id not in [one.id for one in possible(workspace.load(run.run_id))]


def test_a_log_line_that_was_not_sent_is_in_the_record_and_makes_memory_worth_little(
    tmp_path: Path, root: Path
) -> None:
    workspace = Workspace(tmp_path)
    run = run_once(workspace, root, "logs")
    assert run.diagnosis is not None
    cited = [one for one in run.diagnosis.hypotheses[0].evidence if "ev:log/syslog" in one.link]
    assert [one.says for one in cited] == ["it logged a complaint"]
    assert all(one.kind != "memory" or one.gain < 0.1 for one in possible(run))
    # Whoever asks for it gets it all the same.
    outcome = attempt(workspace, run, "memory")
    assert "cannot read the serial number" in outcome.learnt
    assert not outcome.told


def test_a_rule_that_watches_is_taken_back(tmp_path: Path, root: Path) -> None:
    workspace = Workspace(tmp_path)
    run = run_once(workspace, root, "writes a file")
    outcome = attempt(workspace, run, "observe")
    assert "error: partition factory is invalid" in outcome.learnt
    new = workspace.load(outcome.run_id)
    assert [hit.hits for hit in new.snapshot.rule_hits] == [0]
    assert [hit.calls for hit in new.snapshot.rule_hits] == [1]
    assert new.snapshot.engine.generation == 1
    assert any('"error: partition factory is invalid' in fact.cite for fact in _messages(new))
    rulebook = workspace.rulebook_dir(run.snapshot.target.target_id)
    assert generations.current(rulebook) is None
    kinds = [event.kind for event in read_events(run.dir)[0]]
    assert kinds[-4:] == [
        "experiment_started",
        "experiment_rules",
        "experiment_rules",
        "experiment_finished",
    ]


def _messages(run: Run) -> list[Message]:
    return found_messages(run)


def test_rules_that_a_killed_experiment_left_are_taken_back(tmp_path: Path, root: Path) -> None:
    workspace = Workspace(tmp_path)
    run = run_once(workspace, root, "writes a file")
    rulebook = workspace.rulebook_dir(run.snapshot.target.target_id)
    rule = b"function do_syscall(num)\n  return 0, 0\nend\n"
    generations.activate(
        rulebook, add={"syscall/write.lua": rule}, actor="x", reason=f"experiment on run {run.run_id}"
    )
    assert take_back_left_over(workspace, run)
    assert generations.current(rulebook) is None
    assert not take_back_left_over(workspace, run)


def test_the_branch_that_led_to_the_exit_is_named(tmp_path: Path, root: Path) -> None:
    workspace = Workspace(tmp_path)
    run = run_once(workspace, root, "checks itself")
    assert run.diagnosis is not None
    assert run.diagnosis.hypotheses[0].cause == "unknown"
    outcome = attempt(workspace, run, "code")
    assert "is_genuine" in outcome.learnt
    assert outcome.run_id == run.run_id


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("wants a setting", {"config_error", "arguments"}),
        ("waits on its own pipe", {"network_wait", "spin_or_lock", "missing_peer"}),
        ("waits for a flag", {"spin_or_lock"}),
        ("misleads", {"missing_peer"}),
        ("wants an argument", {"arguments"}),
        ("looks at the clock", {"time_rtc"}),
    ],
)
def test_a_strange_program_is_explained_rightly_or_not_surely(
    tmp_path: Path, root: Path, kind: str, right: set[str]
) -> None:
    diagnosis = run_once(Workspace(tmp_path), root, kind).diagnosis
    assert diagnosis is not None
    best = diagnosis.hypotheses[0]
    assert best.cause in right or best.confidence < SURE, f"{best.cause} {best.confidence}"
    if best.cause not in right:
        assert diagnosis.experiments, "what would make it sure is named"
    elif kind in ("waits for a flag", "misleads"):
        assert best.confidence >= SURE


def test_who_stops_an_experiment_has_nothing_changed(tmp_path: Path, root: Path) -> None:
    workspace = Workspace(tmp_path)
    run = run_once(workspace, root, "writes a file")
    stop = threading.Event()

    def tell(text: str) -> None:
        if text.startswith("started"):
            stop.set()

    with pytest.raises(TriageError, match="stopped"):
        carry_out(workspace, run.run_id, "observe", tell, stop)
    assert generations.current(workspace.rulebook_dir(run.snapshot.target.target_id)) is None
    last = read_events(run.dir)[0][-1]
    assert (last.kind, last.payload["told"]) == ("experiment_finished", False)
    assert last.payload["learnt"].startswith("it came to nothing")
    assert [path.name for path in workspace.runs_dir.iterdir()] == [run.run_id]
    # It told nothing, so it is offered again.
    assert "observe" in [one.kind for one in possible(workspace.load(run.run_id))]


def test_what_is_wanted_is_named_by_id_or_kind(tmp_path: Path, root: Path) -> None:
    run = run_once(Workspace(tmp_path), root, "wants input")
    first, *others = possible(run)
    assert chosen(run) == first
    assert chosen(run, others[0].kind) == others[0]
    assert chosen(run, first.id[:9]) == first
    with pytest.raises(TriageError, match=r"no experiment is called.*this run has input-"):
        chosen(run, "x\x1b[2J")
    # What somebody else's diagnosis.json says is done is not done.
    path = run.dir / "diagnosis.json"
    data = json.loads(path.read_text())
    data["experiments"] = [{"id": "evil-1", "kind": "verbose", "says": "x", "parameters": {"option": "-x"}}]
    path.write_text(json.dumps(data))
    with pytest.raises(TriageError, match="no experiment is called"):
        chosen(run, "evil-1")


def test_two_experiments_on_one_run_are_not_made_at_once(tmp_path: Path, root: Path) -> None:
    workspace = Workspace(tmp_path)
    run = run_once(workspace, root, "wants input")
    append_event(run.dir, "experiment_started", {"id": "a", "kind": "input", **this_process()})
    with pytest.raises(Conflict, match="under way"):
        carry_out(workspace, run.run_id, "", lambda text: None, NO_SIGNAL)
    gone = {"pid": os.getpid(), "start": 1}
    append_event(run.dir, "experiment_started", {"id": "a", "kind": "input", **gone})
    assert not under_way(read_events(run.dir)[0])


def test_proposals_that_a_person_decided_on_survive_a_new_diagnosis(tmp_path: Path, root: Path) -> None:
    run = run_once(Workspace(tmp_path), root, "logs")
    assert run.diagnosis is not None
    before = run.diagnosis.proposals
    assert before
    append_event(run.dir, "rejected", {"reason": "no"})
    after = rediagnose(run.dir)
    assert after.state == "rejected"
    assert after.diagnosis is not None
    assert [one.id for one in after.diagnosis.proposals] == [one.id for one in before]


def test_a_long_trace_is_told_before_it_is_read(tmp_path: Path) -> None:
    assert takes_long(tmp_path) == ""
    with (tmp_path / "trace.jsonl").open("wb") as stream:
        stream.truncate(500 << 20)
    assert takes_long(tmp_path).startswith("its trace has 500 MiB: the last 64 MiB are read")


@pytest.mark.parametrize(
    "text", ["", "12", "0x10+0", "0x10+99999999", "0x10+1," * 65, "x+1", "-0x1+4", "0x1+1e3"]
)
def test_windows_that_are_none(text: str) -> None:
    with pytest.raises(TriageError):
        memory_windows.parse_windows(text)


def test_the_holder_reads_what_is_asked_and_refuses_what_is_none(tmp_path: Path, root: Path) -> None:
    run = run_once(Workspace(tmp_path), root, "logs")

    def read(address: int, size: int) -> bytes:
        return b"\x5a" * min(size, 8) if address == 0x1000 else b""

    append_event(run.dir, "experiment_asked", {"windows": [[0x1000, 16], [0x9000, 16]]})
    append_event(run.dir, "experiment_asked", {"windows": [["../../etc", 1]]})
    assert memory_windows.answer_asked(run.dir, read_events(run.dir)[0], read)
    answers = [event.payload for event in read_events(run.dir)[0] if event.kind == "experiment_answered"]
    assert answers[0]["bytes"] == 8
    assert "form" in answers[1]["why"]
    # Each is answered once.
    assert not memory_windows.answer_asked(run.dir, read_events(run.dir)[0], read)
    kept = Workspace(tmp_path).load(run.run_id)
    assert kept.memory_bytes("window_0x1000") == b"\x5a" * 8


def _diagnosis(cause: str, confidence: float, *sentences: str) -> Diagnosis:
    evidence = [Evidence(link=f"ev:{number}", says=text) for number, text in enumerate(sentences)]
    hypothesis = Hypothesis(cause=cause, proximate=cause, confidence=confidence, title="", evidence=evidence)
    return Diagnosis(run_id="", scene="", headline="", hypotheses=[hypothesis])


@pytest.mark.parametrize(
    ("before", "after", "sentence", "told"),
    [
        (("unknown", 0.2), ("network_wait", 0.97), "it was: network_wait 0.97, was unknown", True),
        (
            ("config_error", 0.5),
            ("missing_file", 0.9),
            "it was: missing_file 0.90, was config_error 0.50",
            True,
        ),
        (("config_error", 0.5), ("config_error", 0.8), "it was: config_error 0.80, was 0.50", True),
        (("unknown", 0.2), ("unknown", 0.2, "it logged"), "still unknown, with more evidence", True),
        (("unknown", 0.2), ("unknown", 0.2), "it told nothing new of the cause: still unknown", False),
        # Another run says the same in other places.
        (("unknown", 0.2, "a"), ("unknown", 0.2, "b"), "it told nothing new of the cause", False),
    ],
)
def test_what_was_learnt(before: tuple[Any, ...], after: tuple[Any, ...], sentence: str, told: bool) -> None:
    said, changed = learnt_from("it was", _diagnosis(*before), _diagnosis(*after))
    assert sentence in said
    assert changed is told


def test_a_longer_run_waits_longer_for_a_call_too(tmp_path: Path, root: Path) -> None:
    run = run_once(Workspace(tmp_path), root, "wants input")
    longer = Experiment(id="longer-1", kind="longer", says="", parameters={"factor": "5"})
    start = read_start(run.dir)
    changed = experiment_runs._changed(run, start, longer)
    assert changed.triggers.time_limit_s == 5 * start.triggers.time_limit_s
    assert changed.triggers.idle_s == 5 * start.triggers.idle_s
    assert changed.triggers.idle_s <= changed.triggers.time_limit_s


def test_the_same_once_more_keeps_everything_and_compares_the_ends(tmp_path: Path, root: Path) -> None:
    run = run_once(Workspace(tmp_path), root, "wants input")
    again = Experiment(id="again-1", kind="again", says="")
    changed = experiment_runs._changed(run, read_start(run.dir), again)
    assert (changed.full_trace, changed.memory, changed.observe) == (True, "full", "full")
    assert experiment_runs._saw_again(run, run, again).endswith("in the same way again")
    other = Workspace(tmp_path).load(run.run_id)
    other.snapshot.reason, other.snapshot.trigger.exit_code = "exit", 9
    assert experiment_runs._saw_again(run, other, again).endswith("each time: now it ended with code 9")
