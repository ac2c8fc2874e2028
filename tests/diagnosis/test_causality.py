"""Which failed call led to the end: nearness, messages, loops, noise, later success."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.diagnosis.causality import _names_file
from triage_tui.diagnosis.cite import ago
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


def test_words_about_lacking_support_point_to_the_call_that_is_not_supported(tmp_path: Path) -> None:
    facts = facts_of(
        run_of(
            "2 get_mempolicy(0,0,0,0,0,0) = -1 errno=38 (Function not implemented)\n"
            f'2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = {ENOENT}\n'
            "2 write(2,0x1000,42) = 42\n2 exit_group(1)\n",
            tmp_path,
            b"No NUMA support available on this system.\n",
        )
    )
    call = next(fact for fact in facts.failed if fact.name == "get_mempolicy")
    assert call.mentioned
    assert call.named_in == "No NUMA support available on this system."
    assert not by_path(facts, "/etc/x").mentioned


@pytest.mark.parametrize(
    ("said", "directory"),
    [
        ("No valid directory: /var/flows", True),
        ("cannot read directory for tables (/var/flows): (2) No such file or directory", True),
        ("No such file or directory: /var/flows", False),
        ("cannot open configuration file/directory /var/flows", False),
        ("/var/flows: No such file or directory", False),
    ],
)
def test_what_a_message_calls_a_directory_is_one(tmp_path: Path, said: str, directory: bool) -> None:
    trace = (
        f'2 statx(AT_FDCWD,"/var/flows",0) = {ENOENT}\n2 write(2,0x1000,{len(said) + 1}) = {len(said) + 1}\n'
    )
    run = run_of(f"{trace}2 exit_group(1)\n", tmp_path, f"{said}\n".encode())
    assert by_path(facts_of(run), "/var/flows").directory is directory
    assert diagnose(run).hypotheses[0].cause == ("missing_dir" if directory else "missing_file")


@pytest.mark.parametrize(
    ("verdict", "first"), [("no configuration, giving up", "app.conf"), ("error", "motd")]
)
def test_the_last_words_of_the_process_that_ends_choose_among_what_its_children_miss(
    tmp_path: Path, verdict: str, first: str
) -> None:
    said = [f"cat: can't open '/etc/{name}': No such file or directory\n" for name in ("app.conf", "motd")]
    said.append(f"x: {verdict}\n")
    run = run_of(
        f'3 openat(AT_FDCWD,"/etc/app.conf",O_RDONLY) = {ENOENT}\n'
        f"3 write(2,0x1000,{len(said[0])}) = {len(said[0])}\n"
        f'4 openat(AT_FDCWD,"/etc/motd",O_RDONLY) = {ENOENT}\n'
        f"4 write(2,0x1000,{len(said[1])}) = {len(said[1])}\n"
        f"2 write(2,0x1000,{len(said[2])}) = {len(said[2])}\n2 exit_group(1)\n",
        tmp_path,
        "".join(said).encode(),
    )
    run.snapshot.trigger.pid = 2
    assert facts_of(run).failed[0].base == first


def test_what_speaks_against_one_file_is_shown_by_the_call_for_it(tmp_path: Path) -> None:
    run = run_of(
        f'2 openat(AT_FDCWD,"/run/a.conf",O_RDONLY) = {ENOENT}\n2 getpid() = 2\n'
        f'2 openat(AT_FDCWD,"/run/a.conf",O_WRONLY) = -1 errno=13 (Permission denied)\n2 exit_group(1)\n',
        tmp_path,
        b"x: cannot open /run/a.conf\n",
    )
    found = next(one for one in diagnose(run).hypotheses if one.entry == "missing-file")
    (against,) = [one for one in found.contrary if "below /run" in one.says]
    assert against.link.startswith("ev:syscall/1~")


@pytest.mark.parametrize(("closed", "says"), [(2, "just before"), (40, "40 calls before")])
def test_the_distance_that_is_told_is_that_in_calls(tmp_path: Path, closed: int, says: str) -> None:
    """Calls without weight make it no nearer to a reader who looks it up."""
    between = "".join(f"2 close({number}) = 0\n" for number in range(closed))
    run = run_of(f'2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = {ENOENT}\n{between}2 exit_group(1)\n', tmp_path)
    (fact,) = facts_of(run).failed
    assert fact.steps == 0
    assert (fact.behind, ago(fact)) == (closed, says)


@pytest.mark.parametrize(
    ("said", "base", "named"),
    [
        ("cannot open stat", "stat", True),
        ("no such device: tty", "tty", True),
        ("/proc/1/stat is gone", "stat", True),
        ("nginx.pid failed", "nginx.pid", True),
        ("Unknown keyword 'stat'", "stat", False),
        ("Configure options: --with-tty " + "--build tty " * 40, "tty", False),
    ],
)
def test_a_common_word_alone_names_no_file(said: str, base: str, named: bool) -> None:
    assert _names_file(said, base) is named
