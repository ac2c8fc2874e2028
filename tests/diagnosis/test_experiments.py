"""What is suggested when the cause is not sure: from real recorded runs, and rated by what it would tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import load_case, parse_trace, run_of, write_run
from triage_tui.diagnosis import experiments
from triage_tui.diagnosis.report import diagnose, render_markdown
from triage_tui.runs.diagnosis_model import Experiment, Hypothesis
from triage_tui.runs.files import write_atomic
from triage_tui.runs.model import Unavailable
from triage_tui.runs.process_model import Descriptor
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import encode_json


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


def test_what_an_experiment_tells_is_greatest_where_the_outcomes_are_even() -> None:
    even = [_hypothesis("network_wait", 0.5), _hypothesis("missing_peer", 0.5)]
    lopsided = [_hypothesis("network_wait", 0.75), _hypothesis("missing_peer", 0.05)]
    causes = frozenset(("network_wait",))

    def bits(hypotheses: list[Hypothesis]) -> float:
        return experiments._entropy(experiments._share(hypotheses, causes, 0.5))

    assert bits(even) > bits(lopsided) > 0
    certain = [_hypothesis("network_wait", 1.0)]
    assert bits(certain) == 0


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
