"""What is suggested when the cause is not sure: from real recorded runs, and rated by what it would tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import load_case, parse_trace, run_of, write_run
from triage_tui.diagnosis import experiments
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.report import diagnose, facts_of
from triage_tui.errors import TriageError
from triage_tui.retry.experiments.carrying_out import chosen
from triage_tui.runs.diagnosis_model import Experiment, Hypothesis
from triage_tui.runs.events import append_event
from triage_tui.runs.files import write_atomic
from triage_tui.runs.model import Unavailable
from triage_tui.runs.process_model import Descriptor
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import START_FILE, encode_json


def _hypothesis(cause: str, confidence: float) -> Hypothesis:
    return Hypothesis(cause=cause, proximate=cause, confidence=confidence, title=cause)


def _changed(run: Run) -> Run:
    write_atomic(run.dir / "snapshot.json", encode_json(run.snapshot))
    return load_run(run.dir)


def _kinds(found: list[Experiment]) -> list[str]:
    return [one.kind for one in found]


def test_a_sure_cause_needs_no_experiment(tmp_path: Path) -> None:
    diagnosis = diagnose(run_of(load_case("applet-cat-missing"), tmp_path))
    assert diagnosis.hypotheses[0].confidence >= experiments.SURE
    assert diagnosis.experiments == []


def test_a_person_may_try_one_although_the_cause_is_sure(tmp_path: Path) -> None:
    run = run_of(load_case("applet-cat-missing"), tmp_path)
    named = diagnose(run, anyway=True)
    assert named.hypotheses == diagnose(run).hypotheses
    assert _kinds(named.experiments)
    one = named.experiments[-1]
    assert chosen(run, one.id) == chosen(run, one.kind) == one
    with pytest.raises(TriageError, match="nothing is left to try"):
        chosen(run)


def test_a_program_that_saw_the_end_of_its_input_is_offered_a_line(tmp_path: Path) -> None:
    trace = b"1 read(0,0x1000,1024) = 0\n1 exit_group(7)\n"
    run = write_run(tmp_path, parse_trace(trace), reason="exit", argv=["/bin/x"], code=7)
    diagnosis = diagnose(run)
    assert diagnosis.hypotheses[0].cause == "unknown"
    assert _kinds(diagnosis.experiments)[0] == "input"
    assert diagnosis.unknown_next == diagnosis.experiments[0].says
    # It names no cause for what it cannot tell.
    assert "network_wait" in diagnosis.experiments[0].what_it_would_tell


@pytest.mark.parametrize(
    ("output", "argv", "option"),
    [
        (b"Usage: x [-v] [-q]\n -v   verbose output\n", ["/bin/x"], "-v"),
        (b"usage: x\n  -f, --foreground  do not daemonize\n", ["/bin/x"], "-f"),
        (b"usage: x\n  --debug  more output\n", ["/bin/x"], "--debug"),
        (b"usage: x\n -f   log output to debug file instead of stdout\n -d   more debug\n", ["/bin/x"], "-d"),
        (b"usage: x\n -n   verbose, not to daemonize\n -v   verbose output\n", ["/bin/x"], "-v"),
        # It takes an argument, or what it says goes elsewhere.
        (b"usage: x\n -d LEVEL  debug level\n", ["/bin/x"], ""),
        (b"usage: x\n --debug <file>  debug output\n", ["/bin/x"], ""),
        (b"usage: x\n -f   debug messages into the log file\n", ["/bin/x"], ""),
        # What it means is not said, or it was given already.
        (b"usage: x [-v] [-q]\n", ["/bin/x"], ""),
        (b"usage: x\n -v   print the version\n", ["/bin/x"], ""),
        (b"usage: x\n -v   verbose output\n", ["/bin/x", "-v"], ""),
    ],
)
def test_an_option_is_tried_only_where_the_usage_text_explains_it(
    tmp_path: Path, output: bytes, argv: list[str], option: str
) -> None:
    trace = b"1 write(2,0x1000,%d) = %d\n1 exit_group(2)\n" % (len(output), len(output))
    run = write_run(tmp_path, parse_trace(trace), reason="exit", argv=argv, code=2, output=output)
    found = [one for one in diagnose(run).experiments if one.kind == "verbose"]
    assert [one.parameters["option"] for one in found] == ([option] if option else [])


@pytest.mark.parametrize(
    ("usage", "argv", "place"),
    [
        (b"Usage: udhcpc [-f]", ["/bin/busybox", "udhcpc", "-i", "lan0"], "2"),
        (b"usage: tool show [-v]", ["/bin/tool", "show"], "2"),
        (b"usage: x [-v] FILE", ["/bin/x", "file"], "1"),
        (b"usage: x [-v]", ["x"], "1"),
    ],
)
def test_an_option_stands_behind_the_applet(
    tmp_path: Path, usage: bytes, argv: list[str], place: str
) -> None:
    output = usage + b"\n  -v  verbose output\n"
    trace = b"1 write(2,0x1000,%d) = %d\n1 exit_group(2)\n" % (len(output), len(output))
    run = write_run(tmp_path, parse_trace(trace), reason="exit", argv=argv, code=2, output=output)
    (found,) = [one for one in diagnose(run).experiments if one.kind == "verbose"]
    assert found.parameters["place"] == place


def test_a_service_that_was_not_asked_is_asked_first(tmp_path: Path) -> None:
    trace = b"1 nanosleep(0x1000,0x2000) = 0\n" * 40
    run = write_run(tmp_path, parse_trace(trace), reason="time_limit", argv=["/bin/x"])
    run.snapshot.fds = [Descriptor(fd=3, target="socket:[1]", kind="socket", state="listening 0.0.0.0:80")]
    run.snapshot.unavailable = [Unavailable(what="the whole trace", why="100 of 200 syscalls were kept")]
    kinds = _kinds(diagnose(_changed(run)).experiments)
    assert kinds[0] == "probe"
    assert {"longer", "full_trace"} <= set(kinds)


@pytest.mark.parametrize(("spinning", "offered"), [(True, True), (False, False)])
def test_what_computes_may_only_be_slow(tmp_path: Path, spinning: bool, offered: bool) -> None:
    run = write_run(tmp_path, parse_trace(b"1 getppid() = 1\n" * 5), reason="idle", argv=["/bin/x"])
    run.snapshot.trigger.spinning = spinning
    assert ("longer" in _kinds(diagnose(_changed(run)).experiments)) is offered


def test_what_an_experiment_tells_is_greatest_where_the_outcomes_are_even() -> None:
    even = [_hypothesis("network_wait", 0.5), _hypothesis("missing_peer", 0.5)]
    lopsided = [_hypothesis("network_wait", 0.75), _hypothesis("missing_peer", 0.05)]
    causes = frozenset(("network_wait",))

    def bits(hypotheses: list[Hypothesis]) -> float:
        return experiments._entropy(experiments._share(hypotheses, causes, 0.5))

    assert bits(even) > bits(lopsided) > 0
    certain = [_hypothesis("network_wait", 1.0)]
    assert bits(certain) == 0


@pytest.mark.parametrize(
    ("kind", "parameters", "spinning", "unsent", "expected"),
    [
        ("memory", {"windows": "0x1000+16"}, False, False, False),
        ("memory", {"windows": "0x1000+16"}, True, False, True),
        ("memory", {"windows": "0x1000+16"}, False, True, True),
        ("observe", {"syscalls": "ioctl,openat"}, False, False, False),
        ("observe", {"syscalls": "ioctl,sendto"}, False, False, True),
        ("longer", {"factor": "5"}, False, False, True),
    ],
)
def test_what_the_diagnosis_draws_nothing_from_is_worth_little_and_settles_nothing(
    tmp_path: Path, kind: str, parameters: dict[str, str], spinning: bool, unsent: bool, expected: bool
) -> None:
    log = b'1 connect(3,{sa_family=1, sun_path="/dev/log"},110) = -1 errno=2 (No such file or directory)\n'
    trace = (log if unsent else b"") + b"1 getppid() = 1\n" * 5
    run = write_run(tmp_path, parse_trace(trace), reason="idle", argv=["/bin/x"])
    run.snapshot.trigger.spinning = spinning
    run = _changed(run)
    doubt = [_hypothesis("config_error", 0.5), _hypothesis("missing_file", 0.4)]
    one = experiments._rated(kind, "", parameters, run, facts_of(run), doubt, [[kind], []])
    assert (one.gain > 0.2) is expected
    assert one.hypotheses == ([0] if expected else [])


def test_the_same_experiment_has_the_same_id_and_another_one_has_not() -> None:
    first = experiments.identity("memory", {"windows": "0x1000+16"})
    assert first == experiments.identity("memory", {"windows": "0x1000+16"})
    assert first != experiments.identity("memory", {"windows": "0x1000+32"})


def test_the_report_names_the_command_of_each_experiment(tmp_path: Path) -> None:
    run = run_of(load_case("prints-assertion-armhf"), tmp_path)
    diagnosis = diagnose(run)
    diagnosis.experiments = [
        Experiment(id="input-12", kind="input", says="try [this](ev:mem/x)", what_it_would_tell="a", cost="b")
    ]
    text = render_markdown(run, diagnosis)
    assert "`triage-tui experiment RUN input-12`" in text
    # Text of the record cannot pass for a link of ours.
    assert "[this](ev:mem/x)" not in text


def test_who_does_not_know_always_has_something_to_try(tmp_path: Path) -> None:
    run = write_run(tmp_path, parse_trace(b"1 getppid() = 1\n"), reason="signal", argv=["/bin/x"])
    run.snapshot.trigger.ended = True
    run = _changed(run)
    facts, unknown = facts_of(run), [_hypothesis("unknown", 0.2)]
    (found,) = experiments.suggest(run, facts, unknown, [()])
    assert found.kind == "again"
    append_event(run.dir, "experiment_finished", {"id": found.id, "run": run.run_id})
    assert experiments.suggest(load_run(run.dir), facts, unknown, [()]) == []


def test_the_same_once_more_comes_last_and_stays_when_the_rest_is_done(tmp_path: Path) -> None:
    trace = parse_trace(b"1 read(0,0x1000,1024) = 0\n1 exit_group(7)\n")
    run = write_run(tmp_path, trace, reason="exit", argv=["/bin/x"], code=7)
    offered = diagnose(run).experiments
    assert _kinds(offered)[-1] == "again"
    for one in offered[:-1]:
        append_event(run.dir, "experiment_finished", {"id": one.id, "run": run.run_id})
    assert _kinds(diagnose(load_run(run.dir)).experiments) == ["again"]


def test_what_cannot_be_started_again_is_not_offered_to_be(tmp_path: Path) -> None:
    run = run_of(load_case("prints-assertion-armhf"), tmp_path)
    assert _kinds(diagnose(run).experiments) == ["again"]
    (run.dir / START_FILE).unlink()
    assert diagnose(run).experiments == []


def test_what_ran_in_a_root_that_is_gone_cannot_be_run_again(tmp_path: Path) -> None:
    trace = parse_trace(b"1 read(0,0x1000,1024) = 0\n1 exit_group(7)\n")
    root = tmp_path / "root"
    root.mkdir()
    run = write_run(tmp_path / "w", trace, reason="exit", argv=["/bin/x"], code=7, rootfs=root)
    assert _kinds(diagnose(run).experiments)[0] == "input"
    root.rmdir()
    assert diagnose(run).experiments == []
