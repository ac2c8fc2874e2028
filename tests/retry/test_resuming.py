"""Limits, what is kept of rounds, and going on with them; what happens to rounds from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.programs import root_with
from tests.retry.test_policy import diagnosed
from tests.runs.build import write_run
from triage_tui.errors import Conflict, TriageError
from triage_tui.guest.host.process import descendants
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.judging.accidents import killed_from_outside
from triage_tui.retry.judging.judge import judge
from triage_tui.retry.rounds import kept_rounds, resuming
from triage_tui.retry.rounds.course import Course, Round, Terms, Used
from triage_tui.retry.rounds.deciding import Decider
from triage_tui.retry.rounds.judged import keep_verdict
from triage_tui.retry.rounds.kept_rounds import ROUNDS_FILE, keep, read_kept
from triage_tui.retry.rounds.left_behind import left_behind
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.rounds.policy import Limits, Policy
from triage_tui.retry.rounds.resuming import resume_rounds
from triage_tui.retry.rounds.round_watch import RoundWatch, ShortCycle
from triage_tui.retry.rounds.written_policy import read_policy, shipped_policy
from triage_tui.retry.start import START_FILE, Start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.runs.call_signatures import signature
from triage_tui.runs.events import append_event, is_waiting, this_process
from triage_tui.runs.listing import run_dirs
from triage_tui.runs.reader import load_run
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.runs.writer import encode_json
from triage_tui.setup import known_programs

Rootfs = Callable[[str], Path]
NOBODY = {"pid": 2**22 - 1, "start": 1}


def terms(root: Path, policy: Policy = "auto", limits: Limits | None = None) -> Terms:
    return Terms(
        workspace=Workspace(root),
        start=Start(program="/bin/x", argv=["x"]),
        policy=policy,
        limits=limits or Limits(),
        hold=True,
        narrate=lambda text: None,
        cancel=threading.Event(),
        freeze=FreezeSwitch(),
        written=read_policy(shipped_policy()),
    )


@pytest.mark.parametrize(
    ("limits", "used", "over"),
    [
        (Limits(rounds=2), Used(rounds=2), "rounds"),
        (Limits(rounds=3), Used(rounds=2), ""),
        (Limits(total_s=5), Used(rounds=1, seconds=5.5), "total_s"),
        (Limits(round_s=3), Used(rounds=1, seconds=4), "round_s"),
        (Limits(rules=1), Used(rounds=1, rules=1), "rules"),
        (Limits(captures=4), Used(rounds=1, captures=4), "captures"),
    ],
)
def test_over_a_limit_a_person_decides(tmp_path: Path, limits: Limits, used: Used, over: str) -> None:
    run = diagnosed(tmp_path / "ai_runs")
    course = Course(rounds=[Round(run)], used=used, last_s=used.seconds)
    assert Decider(terms(tmp_path, limits=limits), course, lambda text: None).decide(Round(run), None) is None
    assert (course.over, course.left, course.stage) == (over, True, "decide")
    assert course.exit_code == 4
    assert "a person must decide" in course.ended
    assert load_run(run.dir).state == "needs_person"


@pytest.mark.parametrize(
    "fields", [{"round_s": -1.0}, {"total_s": float("nan")}, {"short_s": -1}, {"rules": -1}, {"captures": -2}]
)
def test_limits_are_limits(fields: dict[str, float]) -> None:
    with pytest.raises(TriageError):
        Limits(**fields)  # type: ignore[arg-type]


def test_a_round_ends_when_its_time_is_over_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("time.time", lambda: 0.0)
    watch = RoundWatch(lambda: False, [(5, "over")], 2, lambda: "nothing new")
    assert watch() is False
    now = 102.5
    assert watch() == "nothing new"
    assert watch() is False
    now = 105.5
    assert watch() == "over"
    assert RoundWatch(lambda: True, [(0.0, "over")])() is True


def test_a_short_cycle_ends_only_what_failed_as_before_and_did_nothing_new(tmp_path: Path) -> None:
    before = load_run(write_run(tmp_path))
    cycle = ShortCycle(5, before, [])
    history = list(before.trace())
    blocked = next(call for call in history if call.errno)
    cycle._blocked.clear()
    assert not cycle.verdict(history, len(history)), "nothing says what the failure is"
    cycle._blocked[signature(blocked)] = 1
    assert "short cycle" in cycle.verdict(history, len(history))
    assert not cycle.verdict(history, len(history) + 1), "older calls may have been new"
    assert not cycle.verdict([one for one in history if one is not blocked], len(history) - 1)
    fresh = msgspec.structs.replace(blocked, path="/somewhere/else")
    assert not cycle.verdict([*history, fresh], len(history) + 1)


def test_a_retry_that_was_ended_early_is_no_progress(tmp_path: Path) -> None:
    before, after = load_run(write_run(tmp_path)), load_run(write_run(tmp_path, reason="time_limit"))
    assert judge(before, after).word != "sideways"
    after.snapshot.trigger.detail = "short cycle: within 1 s it failed as before (x) and did nothing new"
    verdict = judge(before, after)
    assert (verdict.word, verdict.rung) == ("sideways", "runs")
    assert verdict.reasons[0].startswith("short cycle: within 1 s")


def kept_course(tmp_path: Path) -> tuple[Terms, Course]:
    run = diagnosed(tmp_path / "ai_runs")
    course = Course(rounds=[Round(run, approved="x")], used=Used(rounds=3, rules=2), tried={"p1"})
    return terms(tmp_path), course


def test_what_is_kept_is_found_again_from_any_run_of_the_course(tmp_path: Path) -> None:
    asked, course = kept_course(tmp_path)
    run = course.rounds[0].run
    course.stage = "decide"
    keep(asked, course, run.run_id)
    later = load_run(write_run(tmp_path / "ai_runs", parent_run=run.run_id))
    for one in (run, later):
        kept = read_kept(asked.workspace, one)
        assert kept is not None
        assert (kept.used.rounds, kept.tried, kept.rounds[0].approved) == (3, ["p1"], "x")
    with pytest.raises(Conflict, match="is at work"):
        resume_rounds(asked.workspace, later)


def test_a_full_disk_leaves_what_was_kept_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, course = kept_course(tmp_path)
    keep(asked, course, "")
    before = (course.rounds[0].run.dir / ROUNDS_FILE).read_bytes()

    def full(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_rounds, "write_atomic", full)
    course.used.rounds = 9
    with pytest.raises(TriageError, match="No space left"):
        keep(asked, course, "")
    assert (course.rounds[0].run.dir / ROUNDS_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "newer version"),
        ({"on": "../../etc"}, "damaged"),
        ({"rounds": []}, "damaged"),
        ({"rounds": [{"run": "../x"}]}, "damaged"),
        ({"limits": {"rounds": 0}}, "cannot be used"),
        ({"policy": "yolo"}, "cannot be used"),
        ({"used": {"seconds": "x"}}, "cannot be used"),
    ],
)
def test_rounds_from_elsewhere_are_not_trusted(tmp_path: Path, change: dict[str, object], says: str) -> None:
    asked, course = kept_course(tmp_path)
    keep(asked, course, "")
    path = course.rounds[0].run.dir / ROUNDS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(TriageError, match=says):
        resume_rounds(asked.workspace, course.rounds[0].run)
    assert left_behind(asked.workspace) == []


def test_what_a_killed_supervisor_left_is_said_where_the_next_one_begins(tmp_path: Path) -> None:
    asked, course = kept_course(tmp_path)
    run = course.rounds[0].run
    keep(asked, course, run.run_id)
    assert left_behind(asked.workspace) == []
    path = run.dir / ROUNDS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"supervisor": NOBODY}))
    running = asked.workspace.running_dir
    running.mkdir()
    mark = running / f"{NOBODY['pid']}-{NOBODY['start']}.json"
    mark.write_text(json.dumps(NOBODY | {"argv": ["httpd\x1b[2J"], "since": -1e300}))
    told = left_behind(asked.workspace)
    assert "triage-tui resume" in told[0]
    assert run.run_id in told[0]
    assert "httpd" in told[1]
    assert "run it again" in told[1]
    assert "\x1b" not in told[1]
    assert not mark.exists()


def test_of_two_supervisors_of_a_run_and_two_judges_one_wins(tmp_path: Path) -> None:
    before = load_run(write_run(tmp_path / "ai_runs"))
    append_event(before.dir, "retry_started", this_process())
    with pytest.raises(Conflict, match="retrying"):
        run_rounds(Workspace(tmp_path), Start(program="/bin/x", argv=["x"]), parent=before)
    after = load_run(write_run(tmp_path / "ai_runs"))
    verdict = judge(before, after)
    keep_verdict(Workspace(tmp_path), before, after, verdict)
    with pytest.raises(Conflict, match="judged already"):
        keep_verdict(Workspace(tmp_path), before, after, verdict)
    assert [event.kind for event in load_run(before.dir).events].count("retry_finished") == 1


def test_an_emulator_that_somebody_kills_says_nothing_of_the_program(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "mips", "spins")
    told: list[str] = []

    def narrate(text: str) -> None:
        told.append(text)
        if text == "guest: spinning":
            killed = [
                pid for pid in descendants(os.getpid()) if "qemu-mips" in os.readlink(f"/proc/{pid}/exe")
            ]
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    workspace = Workspace(tmp_path / "w")
    start = Start(program="/bin/spins", argv=["spins"], rootfs=str(root))
    course = run_rounds(workspace, start, policy="auto", narrate=narrate)
    assert "the emulator was killed from outside" in course.ended
    assert "triage-tui resume" in course.ended
    assert (course.stage, course.left, course.used.rules) == ("retry", True, 0)
    run = course.rounds[0].run
    assert killed_from_outside(run)
    other = load_run(write_run(workspace.runs_dir))
    assert judge(other, run).word == "inconclusive"
    kept = read_kept(workspace, run)
    assert kept is not None
    assert (kept.stage, kept.on) == ("retry", "")


def test_who_sees_a_retry_wait_sees_its_verdict(tmp_path: Path, rootfs: Rootfs) -> None:
    workspace = Workspace(tmp_path)
    waited: list[str] = []
    early: list[str] = []

    def narrate(text: str) -> None:
        for run in map(load_run, run_dirs(workspace.runs_dir)):
            if is_waiting(run.events) and run.snapshot.parent_run and read_verdict(run.dir) is None:
                early.append(text)
        if "waiting for a decision" in text:
            waited.append(workspace.load("last").run_id)
            LocalActions(workspace).decide("last", "retry" if len(waited) == 1 else "end")

    root = str(rootfs("busybox-armhf"))
    start = Start(program="/bin/busybox", argv=["busybox", "cat", "/etc/nothere"], rootfs=root)
    course = run_rounds(workspace, start, narrate=narrate)
    assert [one.run.run_id for one in course.rounds] == waited
    assert (len(waited), early, course.ended) == (2, [], "a person ended it")
    kinds = [event.kind for event in load_run(course.rounds[1].run.dir).events]
    assert kinds.index("waiting") > kinds.index("diagnosed")


def test_rounds_go_on_where_their_supervisor_was_killed(tmp_path: Path, rootfs: Rootfs) -> None:
    """What was tried, approved and used in the two rounds still counts."""
    argv = known_programs()["xl2tpd-arm64"].argv
    command = [sys.executable, "-m", "triage_tui", "run", "-C", str(tmp_path), "--policy", "assist"]
    command += ["--rounds", "2", "--rootfs", str(rootfs("xl2tpd-arm64")), *argv]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        # In its second round.
        next(line for line in process.stderr if line.startswith("started with generation 1"))
        guests = descendants(process.pid)
        process.kill()
        process.communicate()
    assert guests
    workspace = Workspace.at(tmp_path)
    first = workspace.load("last")
    assert "policy:assist" in {event.actor for event in first.events if event.kind == "approved"}
    approved = next(event.payload for event in first.events if event.kind == "approved")
    assert approved["policy"].startswith("line ")
    assert any(first.run_id in text for text in left_behind(workspace))

    told: list[str] = []
    course = resume_rounds(workspace, first, narrate=told.append)
    assert any("its supervisor was killed in the middle of the round" in text for text in told)
    assert next(one.run.run_id for one in course.rounds) == first.run_id
    assert (course.used.rounds, course.used.rules, course.ended) == (3, 1, "the program is well")
    assert course.rounds[1].approved_before == course.rounds[0].approved
    assert course.last_verdict is not None
    assert course.last_verdict.word == "resolved"
    starts = [json.loads((one.run.dir / "start.json").read_text()) for one in course.rounds]
    assert starts[0] == starts[1]
    assert starts[0]["seed"] > 0
    with pytest.raises(Conflict, match="are over"):
        resume_rounds(workspace, course.rounds[1].run)
    lines, _ = audit_log.read_log(workspace.rulebook)
    noted = [line.entry for line in lines if line.entry and line.entry.kind == "approved"]
    assert [(one.actor, "allowed by line" in one.says) for one in noted] == [("policy:assist", True)]


def test_a_program_that_is_replaced_between_rounds_is_left_to_a_person(
    tmp_path: Path, rootfs: Rootfs
) -> None:
    root = tmp_path / "root"
    shutil.copytree(rootfs("xl2tpd-arm64"), root, symlinks=True)
    told: list[str] = []

    def narrate(text: str) -> None:
        told.append(text)
        if text.startswith("approving by policy"):
            program = root / "usr/sbin/xl2tpd"
            program.chmod(0o755)
            with open(program, "ab") as stream:
                stream.write(b"\0")

    start = Start(program="/usr/sbin/xl2tpd", argv=["xl2tpd", "-D"], rootfs=str(root))
    course = run_rounds(Workspace(tmp_path / "w"), start, policy="auto", narrate=narrate)
    assert course.last_verdict is not None
    assert course.last_verdict.word == "inconclusive"
    assert "another file" in course.ended
    assert "a person must decide" in course.ended
    assert any(text.startswith("set aside: ") for text in told)
    assert len(course.rounds) == 2
    assert course.stage == "decide"

    # A person wants to go on: with the new file, for which all can be tried again.
    told.clear()
    course = resume_rounds(Workspace(tmp_path / "w"), course.rounds[-1].run, narrate=told.append)
    assert course.ended == "the program is well"
    assert course.rounds[2].run.snapshot.parent_run == course.rounds[1].run.run_id


def test_of_two_who_go_on_with_rounds_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, course = kept_course(tmp_path)
    run = course.rounds[0].run
    course.stage = "decide"
    course.end("a limit", "decide")
    keep(asked, course, run.run_id)
    (run.dir / START_FILE).write_bytes(encode_json(asked.start))
    kept = read_kept(asked.workspace, run)
    assert kept is not None

    def beside(*args: object) -> None:
        kept_rounds.claim(asked.workspace, kept)

    monkeypatch.setattr(resuming, "written_policy", beside)
    with pytest.raises(Conflict, match="somebody else goes on"):
        resume_rounds(asked.workspace, run)
    now = read_kept(asked.workspace, run)
    assert now is not None
    assert (now.supervisor.lives, now.why, now.stage) == (True, "", "decide")


@pytest.mark.parametrize("kind", ["rejected", "approved"])
def test_a_policy_approves_nothing_on_top_of_what_a_person_decides(tmp_path: Path, kind: str) -> None:
    run = diagnosed(tmp_path / "ai_runs", (0.9, None))
    append_event(run.dir, kind, {}, "ann")
    course = Course(rounds=[Round(run)], used=Used(rounds=1))
    assert Decider(terms(tmp_path), course, lambda text: None).decide(Round(run), None) is None
    assert course.ended.startswith(f"ann {kind} ")
    assert not course.tried
