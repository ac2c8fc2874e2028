"""Results, descriptors, directories and the stack tie a failed call to the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.facts import FailedCall
from triage_tui.diagnosis.knowledge import load_knowledge
from triage_tui.diagnosis.report import diagnose
from triage_tui.diagnosis.ties import NAMES
from triage_tui.resources import recorded_runs
from triage_tui.runs.files import write_atomic
from triage_tui.runs.frame_model import Backtrace, Frame
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import encode_json

ENOENT = "-1 errno=2 (No such file or directory)"
EBADF = "-1 errno=9 (Bad file descriptor)"
EROFS = "-1 errno=30 (Read-only file system)"
ENOTCONN = "-1 errno=107 (Transport endpoint is not connected)"
EINPROGRESS = "-1 errno=115 (Operation now in progress)"


def _run(tmp_path: Path, trace: str) -> Run:
    return write_run(tmp_path, parse_trace(trace.encode()), reason="exit", argv=["/bin/x"], code=1)


def _failed(run: Run) -> dict[str, FailedCall]:
    return {fact.name: fact for fact in gather(run, load_knowledge().causality).failed}


def test_the_shipped_file_weighs_every_tie() -> None:
    assert set(load_knowledge().causality.ties) == set(NAMES)


def test_a_result_that_was_used_as_a_descriptor_points_back(tmp_path: Path) -> None:
    trace = (
        f'2 openat(AT_FDCWD,"/dev/gpio",O_RDWR) = {ENOENT}\n'
        '2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = 3\n2 close(3) = 0\n'
        f"2 ioctl(-1,0x1234,0x1000) = {EBADF}\n2 exit_group(1)\n"
    )
    # A descriptor was made in between, so that the -1 may be of something else.
    assert "ioctl was then given its result, -1" not in _failed(_run(tmp_path / "a", trace))["openat"].reasons
    failed = _failed(
        _run(tmp_path / "b", trace.replace('2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = 3\n2 close(3) = 0\n', ""))
    )
    assert "ioctl was then given its result, -1" in failed["openat"].reasons
    assert failed["openat"].relevance > failed["ioctl"].relevance


def test_a_descriptor_that_was_only_half_made_ready(tmp_path: Path) -> None:
    trace = (
        "2 socket(PF_INET,SOCK_STREAM,IPPROTO_IP) = 3\n"
        '2 connect(3,{sa_family=AF_INET,sin_port=htons(80),sin_addr=inet_addr("10.0.0.1")},16) = '
        f"{EINPROGRESS}\n2 recv(3,0x1000,100,0) = {ENOTCONN}\n2 exit_group(1)\n"
    )
    failed = _failed(_run(tmp_path, trace))
    assert "recv failed on its descriptor afterwards" in failed["connect"].reasons


def test_a_directory_that_could_not_be_made_is_above_what_fails_below_it(tmp_path: Path) -> None:
    trace = (
        f'2 mkdir("/var/run/x",0755) = {EROFS}\n'
        f'2 openat(AT_FDCWD,"/var/run/x/sub/pid",O_WRONLY|O_CREAT,0644) = {ENOENT}\n'
        f'2 openat(AT_FDCWD,"/var/run/xy",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n'
    )
    failed = _failed(_run(tmp_path, trace))
    assert "openat failed below it afterwards" in failed["mkdir"].reasons


def _with_stack(run: Run, site: int, *, name: str = "work") -> Run:
    """Let main call work, which exits; the failed call was made at `site`."""
    frames = [
        Frame(idx=0, addr=0x9000, addr_hex="0x9000", module_name="libc.so.6", func_name="_Exit"),
        Frame(idx=1, addr=0x1180, addr_hex="0x1180", module_name="x", func_name=name, func_offset=0x80),
        Frame(idx=2, addr=0x1340, addr_hex="0x1340", module_name="x", func_name="main", func_offset=0x40),
    ]
    run.snapshot.backtrace = Backtrace(frames=frames)
    for call in run.snapshot.recent_syscalls:
        if call.errno:
            call.return_address = site
    write_atomic(run.dir / "snapshot.json", encode_json(run.snapshot))
    return load_run(run.dir)


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        (0x1120, "it was made by the same function that exits"),
        # The lowest bit is that of Thumb code.
        (0x1121, "it was made by the same function that exits"),
        (0x1320, "it was made by main, through which the function that exits was called"),
        # Behind the place where the function stands: it may be another function.
        (0x1190, ""),
        (0x8000, ""),
    ],
)
def test_the_function_that_exits_made_the_call(tmp_path: Path, site: int, reason: str) -> None:
    trace = f'2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n'
    plain = _failed(_run(tmp_path / "a", trace))["openat"]
    run = _with_stack(_run(tmp_path / "b", trace), site)
    found = _failed(run)["openat"]
    told = [one for one in found.reasons if one.startswith("it was made by")]
    assert told == ([reason] if reason else [])
    assert (found.relevance > plain.relevance) is bool(reason)
    if reason:
        assert any(reason in entry.explanation for entry in diagnose(run).hypotheses)


def test_what_the_deciding_branch_compares_is_tied_to_the_call_that_failed() -> None:
    run_dir = next(path for path in recorded_runs() if path.name.endswith("05"))
    run = load_run(run_dir)
    reason = "the branch that led to the end looks at what open returned"
    tied = [fact for fact in gather(run, load_knowledge().causality).failed if reason in fact.reasons]
    assert [(fact.name, fact.path) for fact in tied] == [("openat", "/var/run/xl2tpd/l2tp-control")]


def test_hostile_frames_tie_nothing(tmp_path: Path) -> None:
    trace = f'2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n'
    run = _with_stack(_run(tmp_path, trace), 0x1320)
    first, second = run.snapshot.backtrace.frames[1:]
    first.func_offset = 1 << 60
    second.func_name = "[a](ev:mem/x)\x1b[2J"
    write_atomic(run.dir / "snapshot.json", encode_json(run.snapshot))
    for entry in diagnose(load_run(run.dir)).hypotheses:
        assert "\x1b" not in entry.explanation
        assert "](ev:mem/x)" not in entry.explanation
