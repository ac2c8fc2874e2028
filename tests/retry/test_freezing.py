"""A person wants to look at a guest that runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.retry.freezing import FreezeSwitch, ask_to_end, ask_to_freeze, running_guests


def test_a_switch_works_only_while_a_guest_runs(tmp_path: Path) -> None:
    switch = FreezeSwitch()
    assert not switch.set()
    assert not switch.is_set()
    with switch.armed(tmp_path / "running", ["/bin/x"]):
        assert not switch.is_set()
        assert switch.set()
        assert switch.is_set()
        # The second time is for ending it.
        assert not switch.set()
    assert not switch.is_set()


def test_another_process_can_ask(tmp_path: Path) -> None:
    directory = tmp_path / "running"
    switch = FreezeSwitch()
    with switch.armed(directory, ["/bin/x", "-y"]):
        (mark,) = running_guests(directory)
        assert (mark.pid, mark.argv) == (os.getpid(), ["/bin/x", "-y"])
        assert "/bin/x -y" in ask_to_freeze(directory, os.getpid())
        assert switch.is_set()
    assert list(directory.iterdir()) == []
    with pytest.raises(TriageError, match="no guest runs"):
        ask_to_freeze(directory)


def test_who_is_gone_or_never_was_is_not_asked(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from triage_tui.retry.freezing import FreezeSwitch\n"
        "switch = FreezeSwitch().armed(pathlib.Path(sys.argv[1]), ['/bin/x'])\n"
        "switch.__enter__(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    (tmp_path / "1-2.json").write_text('{"pid": 1, "start": 2')
    (tmp_path / "3-4.json").write_text("[" * 100_000)
    (tmp_path / f"{os.getpid()}-1.json").write_text(f'{{"pid": {os.getpid()}, "start": 1}}')
    os.mkfifo(tmp_path / "5-6.json")
    assert len(list(tmp_path.glob("*.json"))) == 5
    assert running_guests(tmp_path) == []
    with pytest.raises(TriageError, match=f"process {os.getpid()} supervises no running guest"):
        ask_to_freeze(tmp_path, os.getpid())


def test_arguments_of_any_bytes(tmp_path: Path) -> None:
    with FreezeSwitch().armed(tmp_path, ["/bin/\udcff", "\x1b[31m"]):
        assert "\x1b" not in ask_to_freeze(tmp_path)


def test_another_process_can_have_a_retry_ended(tmp_path: Path) -> None:
    ended = threading.Event()
    switch = FreezeSwitch()
    with pytest.raises(TriageError, match="no program runs in the retry of run r1"):
        ask_to_end(tmp_path, "r1")
    # Nobody holds this one afterwards, so it can be ended and not frozen.
    with switch.armed(tmp_path, ["/bin/x"], freezes=False, retries="r1", end=ended.set):
        assert not switch.set()
        with pytest.raises(TriageError, match="no guest runs"):
            ask_to_freeze(tmp_path)
        with pytest.raises(TriageError, match="retry of run r2"):
            ask_to_end(tmp_path, "r2")
        assert not switch.is_set()
        assert not ended.is_set()
        assert "/bin/x is recorded as it is" in ask_to_end(tmp_path, "r1")
        assert not switch.is_set(), "it is to be ended, not frozen"
        assert ended.is_set()
    assert list(tmp_path.iterdir()) == []


def test_a_wish_of_the_last_moment_counts(tmp_path: Path) -> None:
    ended = threading.Event()
    with FreezeSwitch().armed(tmp_path, ["/bin/x"], retries="r1", end=ended.set):
        ask_to_end(tmp_path, "r1")
    assert ended.is_set()
    assert list(tmp_path.iterdir()) == []
