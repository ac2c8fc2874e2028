"""Which failed call led to the end: nearness, messages, loops, noise, later success."""

from __future__ import annotations

from pathlib import Path

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.facts import Facts, FailedCall, Message
from triage_tui.diagnosis.knowledge import load_knowledge
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.model import Reason
from triage_tui.runs.reader import Run

ENOENT = "-1 errno=2 (No such file or directory)"


def run_of(
    trace: str, tmp_path: Path, output: bytes = b"", reason: Reason = "exit", code: int | None = 1
) -> Run:
    calls = parse_trace(trace.encode())
    return write_run(tmp_path, calls, reason=reason, argv=["/sbin/x"], output=output, code=code)


def facts_of(run: Run) -> Facts:
    return gather(run, load_knowledge().causality)


def by_path(facts: Facts, path: str) -> FailedCall:
    return next(fact for fact in facts.failed if fact.path == path)


def test_the_failure_that_the_message_names_beats_a_nearer_one(tmp_path: Path) -> None:
    facts = facts_of(
        run_of(
            f'2 openat(AT_FDCWD,"/etc/app.conf",O_RDONLY) = {ENOENT}\n'
            f'2 openat(AT_FDCWD,"/etc/other",O_RDONLY) = {ENOENT}\n'
            "2 write(2,0x1000,33) = 33\n2 exit_group(1)\n",
            tmp_path,
            b"x: cannot open '/etc/app.conf'...\n",
        )
    )
    assert facts.failed[0].path == "/etc/app.conf"
    assert facts.failed[0].mentioned
    assert "a message of the program names its path" in facts.failed[0].reasons


def test_a_path_that_is_found_elsewhere_later_explains_nothing(tmp_path: Path) -> None:
    facts = facts_of(
        run_of(
            f'2 openat(AT_FDCWD,"/lib/libz.so.1",O_RDONLY) = {ENOENT}\n'
            '2 openat(AT_FDCWD,"/usr/lib/libz.so.1",O_RDONLY) = 3\n2 close(3) = 0\n'
            f'2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n',
            tmp_path,
        )
    )
    assert by_path(facts, "/lib/libz.so.1").later_ok
    assert by_path(facts, "/lib/libz.so.1").relevance < 0.1 < by_path(facts, "/etc/x").relevance


def test_noise_stays_below_even_when_it_comes_last(tmp_path: Path) -> None:
    facts = facts_of(
        run_of(
            f'2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = {ENOENT}\n'
            f'2 openat(AT_FDCWD,"/etc/localtime",O_RDONLY) = {ENOENT}\n'
            "2 ioctl(1,TCGETS,0x1000) = -1 errno=25 (Inappropriate ioctl for device)\n2 exit_group(1)\n",
            tmp_path,
        )
    )
    assert facts.failed[0].path == "/etc/x"
    # What only tells the system log or asks for the time does not count as distance.
    assert facts.failed[0].steps == 0


def test_one_object_asked_for_in_several_ways_is_one_fact(tmp_path: Path) -> None:
    facts = facts_of(
        run_of(
            f'2 stat64("/etc/x",0x1000) = {ENOENT}\n2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = {ENOENT}\n'
            "2 exit_group(1)\n",
            tmp_path,
        )
    )
    assert [(fact.path, fact.names, fact.count) for fact in facts.failed] == [("/etc/x", "openat,stat64", 2)]


def test_relative_paths_follow_the_working_directory(tmp_path: Path) -> None:
    facts = facts_of(
        run_of(
            f'2 chdir("/www") = 0\n2 openat(AT_FDCWD,"index.html",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n',
            tmp_path,
        )
    )
    assert facts.failed[0].absolute == "/www/index.html"


def test_the_device_behind_a_descriptor_is_known(tmp_path: Path) -> None:
    run = run_of(
        '2 openat(AT_FDCWD,"/dev/gpio",O_RDWR) = 3\n'
        "2 ioctl(3,0x4700,0x1000) = -1 errno=25 (Inappropriate ioctl for device)\n2 exit_group(1)\n",
        tmp_path,
    )
    assert facts_of(run).failed[0].origin == "/dev/gpio"


def test_lines_are_placed_at_the_writes_that_made_them(tmp_path: Path) -> None:
    facts = facts_of(
        run_of(
            "2 write(1,0x1000,6) = 6\n2 getpid() = 2\n2 write(2,0x1000,4) = 4\n2 write(2,0x1000,4) = 4\n"
            "2 exit_group(1)\n",
            tmp_path,
            b"hello\nbad thing",
        )
    )
    placed = [
        (message.text, message.seq, message.from_last)
        for message in facts.of("message")
        if isinstance(message, Message)
    ]
    assert placed == [("hello", 1, 1), ("bad thing", 4, 0)]


def test_a_daemon_whose_parent_ends_is_healthy(tmp_path: Path) -> None:
    run = run_of(
        "2 clone(CLONE_CHILD_SETTID|0x11,child_stack=0x00000000) = 4\n4 setsid() = 4\n2 exit_group(0)\n",
        tmp_path,
        code=0,
    )
    diagnosis = diagnose(run)
    assert diagnosis.healthy
    assert diagnosis.hypotheses[0].cause == "normal_exit"
    assert any(
        "still running" in item.says or "background" in item.says for item in diagnosis.hypotheses[0].evidence
    )


def test_nothing_known_is_said_to_be_unknown_with_an_experiment(tmp_path: Path) -> None:
    diagnosis = diagnose(run_of("2 getpid() = 2\n2 uname(0x1000) = 0\n2 exit_group(3)\n", tmp_path, code=3))
    assert diagnosis.hypotheses[0].cause == "unknown"
    assert diagnosis.unknown_next
    assert "No known cause fits" in diagnosis.headline


def test_a_run_without_any_call_is_still_answered(tmp_path: Path) -> None:
    diagnosis = diagnose(run_of("", tmp_path, reason="unknown", code=None))
    assert diagnosis.hypotheses[0].cause == "unknown"


def test_the_help_on_an_option_complains_of_nothing(tmp_path: Path) -> None:
    run = run_of(
        f'2 write(2,0x1000,30) = 30\n2 openat(AT_FDCWD,"/etc/passwd",O_RDONLY) = {ENOENT}\n'
        "2 write(2,0x1000,59) = 59\n2 exit_group(1)\n",
        tmp_path,
        b"logger: invalid option -- 'n'\nUsage: logger\n\n\t-t TAG\tLog as TAG (defaults to user name)\n\n\n",
    )
    assert not by_path(facts_of(run), "/etc/passwd").mentioned
    assert diagnose(run).hypotheses[0].cause == "arguments"


def test_nothing_is_called_unexplained_beside_an_explanation(tmp_path: Path) -> None:
    diagnosis = diagnose(
        run_of(f'2 openat(AT_FDCWD,"/etc/app.conf",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n', tmp_path)
    )
    assert diagnosis.hypotheses[0].confidence >= 0.5
    assert "unknown" not in [hypothesis.cause for hypothesis in diagnosis.hypotheses]


def test_a_link_is_about_the_path_that_it_makes(tmp_path: Path) -> None:
    run = run_of(
        f'2 symlink("/a","/var/run/x/link") = {ENOENT}\n2 write(2,0x1000,20) = 20\n2 exit_group(1)\n',
        tmp_path,
        b"ln: failed on '/var/run/x/link'\n",
    )
    best = diagnose(run).hypotheses[0]
    assert (best.cause, best.parameters["directory"]) == ("missing_dir", "/var/run/x")
