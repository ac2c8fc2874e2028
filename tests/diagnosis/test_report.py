"""The report: hostile text stays harmless, files are complete, the record decides."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.diagnosis.recorded import load_case, parse_trace, run_of, write_run
from tests.runs import build as runs
from triage_tui.diagnosis.cite import inert
from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.knowledge import load_knowledge
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.report import diagnose, write_report
from triage_tui.proposals.build import propose
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.evidence import links_in, resolve
from triage_tui.runs.model import Syscall
from triage_tui.runs.process_model import Process, SignalAction
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json

HOSTILE = "/etc/\x1b]52;c;eA==\x07\u202e[ok](ev:syscall/1)`\u200b"


def test_hostile_paths_and_messages_become_neither_control_sequences_nor_links(tmp_path: Path) -> None:
    trace = f'2 openat(AT_FDCWD,"{HOSTILE}",O_RDONLY) = -1 errno=2 (No such file or directory)\n'
    run = write_run(
        tmp_path,
        parse_trace(trace.encode() + b"2 write(2,0x1000,40) = 40\n2 exit_group(1)\n"),
        reason="exit",
        argv=["/sbin/\x1b[31mx"],
        output=b"\x1b[2J[red](ev:syscall/2) error in /etc/ " + "\u202e".encode(),
        code=1,
    )
    diagnosis = diagnose(run)
    diagnosis.proposals = propose(run, diagnosis)
    text = render_markdown(run, diagnosis)
    for part in (text, diagnosis.headline, *(h.title for h in diagnosis.hypotheses)):
        assert not any(char in part for char in "\x1b\x07\u202e\u200b")
    for shown, link in links_in(text):
        assert shown not in ("ok", "red"), "guest text became a link"
        assert resolve(run, link).hash_ok


def test_both_files_are_written_and_read_back(tmp_path: Path) -> None:
    run = run_of(load_case("haveged-poolsize-armhf"), tmp_path)
    diagnosis = diagnose(run)
    write_report(run, diagnosis)
    again = load_run(run.dir)
    assert again.diagnosis == diagnosis
    raw = (run.dir / "diagnosis.json").read_bytes()
    assert msgspec.json.decode(raw, type=Diagnosis).headline == diagnosis.headline
    text = (run.dir / "diagnosis.md").read_text()
    assert "missing_file" in text
    assert diagnosis.headline in text


def test_a_claim_whose_evidence_was_changed_is_detected(tmp_path: Path) -> None:
    run = run_of(load_case("haveged-poolsize-armhf"), tmp_path)
    link = diagnose(run).hypotheses[0].evidence[0].link
    trace = run.dir / "trace.jsonl"
    trace.write_text(trace.read_text().replace("poolsize", "poolsave"))
    snapshot = run.dir / "snapshot.json"
    snapshot.write_text(snapshot.read_text().replace("poolsize", "poolsave"))
    assert not resolve(load_run(run.dir), link).hash_ok


def test_half_a_run_is_still_diagnosed(tmp_path: Path) -> None:
    run = run_of(load_case("haveged-poolsize-armhf"), tmp_path)
    (run.dir / "logs" / "guest.log").unlink()
    (run.dir / "trace.jsonl").write_bytes((run.dir / "trace.jsonl").read_bytes()[:700])
    again = load_run(run.dir)
    assert diagnose(again).hypotheses[0].cause == "missing_file"


def test_a_headline_says_each_thing_once(tmp_path: Path) -> None:
    waiting = Syscall(seq=1, name="poll", pid=2, arguments=["0x40800000", "2", "3000"])
    text = diagnose(load_run(runs.write_run(tmp_path, [waiting], reason="idle", exit_code=None))).headline
    assert text.count("poll(") == 1


def test_a_guest_caught_computing_is_told_so(tmp_path: Path) -> None:
    done = Syscall(seq=1, name="brk", pid=2, arguments=["0"], ret=4096)
    run_dir = runs.write_run(tmp_path, [done], reason="time_limit", exit_code=None)
    path = run_dir / "snapshot.json"
    path.write_bytes(path.read_bytes().replace(b'"exit_group"', b'""'))
    assert "was computing when its time was over" in diagnose(load_run(run_dir)).headline


def test_a_peer_that_is_a_path_is_named_once(tmp_path: Path) -> None:
    calls = [
        Syscall(seq=1, name="socket", pid=2, arguments=["PF_UNIX", "SOCK_STREAM", "IPPROTO_IP"], ret=3),
        Syscall(
            seq=2,
            name="connect",
            pid=2,
            arguments=["3", "0x1000", "110"],
            ret=-2,
            errno="ENOENT",
            peer="unix:/run/ubus.sock",
        ),
        Syscall(seq=3, name="exit_group", pid=2, arguments=["1"]),
    ]
    diagnosis = diagnose(load_run(runs.write_run(tmp_path, calls)))
    assert "Nobody answers at unix:/run/ubus.sock" in [one.title for one in diagnosis.hypotheses]


@pytest.mark.parametrize(
    ("handled", "words"),
    [
        ("SIGSEGV", "killed by SIGSEGV, which it handles itself at 0x10400 (on_fault)"),
        ("SIGTERM", "killed by SIGSEGV"),
    ],
)
def test_a_handler_of_the_fatal_signal_is_named(tmp_path: Path, handled: str, words: str) -> None:
    action = SignalAction(signal=handled, addr=0x10400, func_name="on_fault")
    process = Process(pid=2, looked_at=True, signal_actions=[action])
    directory = runs.write_run(tmp_path, reason="signal", exit_code=None, processes=[process])
    snapshot = load_run(directory).snapshot
    snapshot.trigger.signal = "SIGSEGV"
    (directory / "snapshot.json").write_bytes(encode_json(snapshot))
    end = gather(load_run(directory), load_knowledge().causality).end
    assert end.says.endswith(words)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('nginx: [emerg] open() "/run/a" failed', 'nginx: [emerg] open() "/run/a" failed'),
        ("listens on inet6:[::1]:80", "listens on inet6:[::1]:80"),
        ("[ok](ev:syscall/1)", "(ok)(ev:syscall/1)"),
        ("ends with [a]", "ends with (a)"),
        ("open [a", "open (a"),
        ("a](ev:reg/pc)", "a)(ev:reg/pc)"),
        ("[[a] b] c", "((a) b) c"),
    ],
)
def test_brackets_stay_where_they_make_no_link(text: str, shown: str) -> None:
    assert inert(text) == shown
