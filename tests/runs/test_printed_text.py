"""Which call printed what."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.runs.model import Printed, Syscall, Unavailable
from triage_tui.runs.printed_text import printed_text
from triage_tui.runs.reader import load_run


def _write(seq: int, fd: int, size: int, printed: Printed | None = None) -> Syscall:
    return Syscall(seq=seq, name="write", arguments=[str(fd), "0x1", str(size)], ret=size, printed=printed)


def _log(run_dir: Path, name: str, data: bytes) -> None:
    (run_dir / "logs" / name).write_bytes(data)


def test_the_record_says_it(tmp_path: Path) -> None:
    calls = [
        _write(1, 1, 4, Printed(stream="stdout", offset=0, size=4)),
        _write(2, 2, 3, Printed(stream="stderr", offset=0, size=3)),
        _write(3, 1, 5, Printed(stream="stdout", offset=4, size=5)),
        _write(4, 1, 5, Printed(stream="../guest", offset=0, size=5)),
    ]
    run_dir = write_run(tmp_path, calls)
    _log(run_dir, "stdout.log", b"one\ntwo!\n")
    _log(run_dir, "stderr.log", b"\x1b[c")
    found = printed_text(load_run(run_dir), calls)
    assert found.texts == {1: b"one\n", 2: b"\x1b[c", 3: b"two!\n"}
    assert found.why == ""


def test_what_was_left_out_in_the_middle_is_not_made_up(tmp_path: Path) -> None:
    sizes = [4, 96, 4, 4]
    calls = []
    for seq, size in enumerate(sizes, 1):
        offset = sum(sizes[: seq - 1])
        calls.append(_write(seq, 1, size, Printed(stream="stdout", offset=offset, size=size)))
    run_dir = write_run(tmp_path, calls)
    _log(run_dir, "stdout.log", b"one\nxx\n[... 92 bytes left out ...]\nyytwo\nend\n")
    assert printed_text(load_run(run_dir), calls).texts == {1: b"one\n", 2: b"xx", 3: b"two\n", 4: b"end\n"}


def test_an_older_record_is_lined_up_by_the_sizes_of_its_writes(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, calls := [_write(1, 2, 17), _write(2, 5, 9), _write(3, 1, 4)])
    found = printed_text(load_run(run_dir), calls)
    assert found.texts == {1: b"no configuration\n", 3: b"bye\n"}


@pytest.mark.parametrize("size", [3, 40])
def test_sizes_that_do_not_add_up_say_nothing(tmp_path: Path, size: int) -> None:
    run_dir = write_run(tmp_path, calls := [_write(1, 1, size)])
    found = printed_text(load_run(run_dir), calls)
    assert found.texts == {}
    assert found.why == "this record does not say which call printed what"


def test_the_reason_of_the_record_is_told(tmp_path: Path) -> None:
    missing = [Unavailable(what="which call printed what", why="at least 9 syscalls were not kept")]
    run_dir = write_run(tmp_path, calls := [_write(1, 1, 21)], unavailable=missing)
    assert "at least 9 syscalls were not kept" in printed_text(load_run(run_dir), calls).why
