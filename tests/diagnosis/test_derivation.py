"""Each scene has an analyzer of its own that leads from the end to the cause, with evidence for each step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.diagnosis.derivation import ANALYZERS, MAX_STEPS
from triage_tui.diagnosis.knowledge_base.cases import case_path, load_case, write_as_run
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.report import diagnose
from triage_tui.resources import shipped
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.evidence import resolve

SCENES = {
    "applet-echo": ("healthy exit", ["what the end shows", "what the program said before it"]),
    "httpd-answers": ("healthy idle", ["what it answered", "how it can be reached", "what it waits for"]),
    "conntrack-segv-ppc64el": (
        "crash after failure",
        ["what the end shows", "what the program said before it", "the failed call behind it"],
    ),
    "applet-wget-peer": ("peer protocol", ["what the end shows", "whom it asked"]),
    "ash-wait-pid-armhf": ("spin", ["what is repeated", "what each round tests"]),
    "ntpd-root-ppc64el": ("permission", ["what the end shows", "who it found itself to be"]),
    "mii-tool-i386": ("unsupported call", ["what the end shows", "the failed call behind it"]),
    "applet-cat-missing": (
        "missing resource",
        ["what the end shows", "what the program said before it", "the failed call behind it"],
    ),
    "lighttpd-conf-ppc64el": (
        "its own words",
        ["what the end shows", "what the program said before it", "what it had read before"],
    ),
    "openvpn-resolve-mipsel": ("wait loop", ["what each round tests"]),
}


@pytest.fixture(params=SCENES)
def derived(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Diagnosis, Path]:
    case = load_case(case_path(shipped("rules"), request.param))
    run = write_as_run(case, tmp_path / "20260101_000000_00000001")
    return request.param, diagnose(run), run.dir


def test_a_scene_is_derived_in_its_own_way(derived: tuple[str, Diagnosis, Path], tmp_path: Path) -> None:
    name, diagnosis, _ = derived
    kind, roles = SCENES[name]
    assert diagnosis.scene_kind == kind
    found = [step.role for step in diagnosis.derivation]
    assert [role for role in found if role in roles] == roles
    assert len(found) <= MAX_STEPS
    run = write_as_run(load_case(case_path(shipped("rules"), name)), tmp_path / "20260101_000000_00000002")
    for step in diagnosis.derivation:
        there = resolve(run, step.link)
        assert there.exists
        assert there.hash_ok
        assert there.link.hash
    text = render_markdown(run, diagnosis)
    assert f"From the end back to the cause ({kind}):" in text
    assert f"1. {found[0]}: " in text


@pytest.mark.parametrize(
    ("output", "role"),
    [
        (b"please set HOME for it to fail no more\nbye\n", "please set HOME"),
        (b"one\nthe audit system is off\n", "the audit system is off"),
        (b"cannot open /etc/passwd\n", ""),
    ],
    ids=["a complaint before other words", "no complaint", "words that name the object"],
)
def test_what_the_program_said_is_never_left_out(tmp_path: Path, output: bytes, role: str) -> None:
    trace = (
        b'1 openat(AT_FDCWD,"/etc/passwd",O_RDONLY) = -1 errno=2 (No such file or directory)\n'
        + f"1 write(2,0x1000,{len(output)}) = {len(output)}\n1 exit_group(1)\n".encode()
    )
    run = write_run(tmp_path, parse_trace(trace), reason="exit", argv=["/bin/x"], code=1, output=output)
    diagnosis = diagnose(run)
    assert diagnosis.hypotheses[0].cause == "missing_file"
    untied = [step for step in diagnosis.derivation if step.role.startswith("the last thing it said")]
    assert len(untied) == bool(role)
    for step in untied:
        assert role in step.says
        assert resolve(run, step.link).exists
    assert any("said" in step.role for step in diagnosis.derivation)


@pytest.mark.parametrize(
    ("name", "scene"),
    [
        ("sleep-long", "long sleep"),
        ("sleep-after-complaint", "long sleep"),
        ("applet-sleep", "wait loop by the clock"),
    ],
)
def test_who_sleeps_once_and_for_long_goes_round_no_loop(tmp_path: Path, name: str, scene: str) -> None:
    case = load_case(case_path(shipped("rules"), name))
    diagnosis = diagnose(write_as_run(case, tmp_path / "20260101_000000_00000001"))
    assert diagnosis.scene == scene
    assert diagnosis.hypotheses[0].proximate == "sleep_loop"


def test_every_scene_that_was_asked_for_has_an_analyzer() -> None:
    assert {name for name, _, _ in ANALYZERS} >= {
        "wait loop", "missing resource", "peer protocol", "spin", "permission", "unsupported call",
        "crash after failure", "healthy idle", "healthy exit",
    }  # fmt: skip


def test_a_library_that_is_looked_for_in_many_places_is_one_thing(tmp_path: Path) -> None:
    missing = 'openat(AT_FDCWD,"{}/libz.so.1",O_RDONLY|O_CLOEXEC) = -1 errno=2 (No such file or directory)'
    output = b"x: error while loading shared libraries: libz.so.1: cannot open shared object file\n"
    trace = "".join(f"1 {missing.format(place)}\n" for place in ("/lib", "/usr/lib", "/opt/lib"))
    trace += f"1 write(2,0x1000,{len(output)}) = {len(output)}\n1 exit_group(127)\n"
    argv = ["/bin/x"]
    run = write_run(tmp_path, parse_trace(trace.encode()), reason="exit", argv=argv, code=127, output=output)
    diagnosis = diagnose(run)
    assert [one.cause for one in diagnosis.hypotheses].count("missing_library") == 1
    assert "/opt/lib/libz.so.1" in diagnosis.hypotheses[0].explanation, "the last place stands for all"
    assert not any("not taken for the cause" in step.role for step in diagnosis.derivation)


def test_what_was_read_before_is_the_file_that_is_spoken_of(tmp_path: Path) -> None:
    output = b"syntax error in /etc/x.conf line 3: unknown keyword 'stat'\n"
    trace = (
        b'1 openat(AT_FDCWD,"/etc/x.conf",O_RDONLY) = 3\n1 read(3,0x1000,99) = 99\n1 close(3) = 0\n'
        b'1 openat(AT_FDCWD,"/etc/group",O_RDONLY) = 3\n1 close(3) = 0\n'
        b'1 openat(AT_FDCWD,"/etc/",O_RDONLY|O_DIRECTORY) = 3\n1 getdents64(3,0x1000,99) = 0\n'
        + f"1 write(2,0x1000,{len(output)}) = {len(output)}\n1 exit_group(1)\n".encode()
    )
    run = write_run(tmp_path, parse_trace(trace), reason="exit", argv=["/bin/x"], code=1, output=output)
    diagnosis = diagnose(run)
    assert diagnosis.hypotheses[0].cause == "config_error"
    (had,) = [step for step in diagnosis.derivation if step.role == "what it had read before"]
    assert "/etc/x.conf" in had.says


def test_words_are_told_as_words(tmp_path: Path) -> None:
    output = b"app: another instance is running\n"
    trace = b'1 mkdirat(AT_FDCWD,"/var/lock/app",0777) = -1 errno=2 (No such file or directory)\n'
    trace += f"1 write(2,0x1000,{len(output)}) = {len(output)}\n1 exit_group(1)\n".encode()
    run = write_run(tmp_path, parse_trace(trace), reason="exit", argv=["/bin/x"], code=1, output=output)
    diagnosis = diagnose(run)
    for step in diagnosis.derivation:
        assert ("the program said" in step.says) == ("said" in step.role)
    assert any("said" in step.role for step in diagnosis.derivation)
    assert not any("No call failed" in one.explanation for one in diagnosis.hypotheses)


def test_an_answer_that_is_an_error_speaks_against_health(tmp_path: Path) -> None:
    case = load_case(case_path(shipped("rules"), "httpd-answers"))
    run = write_as_run(case, tmp_path / "20260101_000000_00000001")
    before = diagnose(run).hypotheses[0].confidence
    sure = []
    for status in (404, 500):
        for probe in run.snapshot.probes:
            probe.status = status
        best = next(one for one in diagnose(run).hypotheses if one.entry == "service-answers")
        assert any(one.says.startswith("it answers that") for one in best.contrary)
        sure.append(best.confidence)
    assert before > sure[0] > sure[1]
    assert sure[1] < 0.5


def test_a_place_in_a_text_is_no_complaint_about_it(tmp_path: Path) -> None:
    output = b'  File "x.py", line 1, in <module>\nNo such file or directory: /etc/own\n'
    trace = b'1 openat(AT_FDCWD,"/etc/own",O_RDONLY) = -1 errno=2 (No such file or directory)\n'
    trace += f"1 write(2,0x1000,{len(output)}) = {len(output)}\n1 exit_group(1)\n".encode()
    run = write_run(tmp_path, parse_trace(trace), reason="exit", argv=["/bin/x"], code=1, output=output)
    best = diagnose(run).hypotheses[0]
    assert best.cause == "missing_file"
    assert best.contrary == []


def test_a_process_of_its_own_that_crashed_is_the_cause_with_a_link_to_its_last_call(tmp_path: Path) -> None:
    case = load_case(case_path(shipped("rules"), "helper-crashes-armel"))
    run = write_as_run(case, tmp_path)
    diagnosis = diagnose(run)
    best = diagnosis.hypotheses[0]
    assert (best.entry, best.cause) == ("child-crashed", "crash_signal")
    assert diagnosis.scene_kind == "crash of a child"
    (step,) = [one for one in diagnosis.derivation if "crashed" in one.role]
    assert "SIGSEGV was delivered" in resolve(run, step.link).text
    assert any("status 139" in one.says for one in diagnosis.derivation)
