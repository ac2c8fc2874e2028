"""What is known of a thread, and which number the next one gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from triage_tui.guest.cell import thread_ids
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.checkpoint.taking_threads import clear_address
from triage_tui.runs.model import Syscall

CLONE = "CLONE_VM|CLONE_THREAD|CLONE_CHILD_CLEARTID"


def test_where_the_end_of_a_thread_is_told() -> None:
    calls = [
        Syscall(1, "set_tid_address", arguments=["4096", "0"], ret=2, tid=2),
        Syscall(2, "clone", arguments=[CLONE, "child_stack=0x1", "child_tidptr=0x2000"], ret=4, tid=2),
        Syscall(3, "clone", arguments=["CLONE_VM", "child_stack=0x1", "child_tidptr=0x2000"], ret=5, tid=2),
        Syscall(4, "set_tid_address", arguments=["12288"], ret=6, tid=6),
        Syscall(5, "clone", arguments=[CLONE, "child_tidptr=?"], ret=7, tid=2),
    ]
    found = [clear_address(calls, number, number == 2) for number in (2, 4, 5, 6)]
    assert found == [0x1000, 0x2000, 0, 0x3000]
    assert clear_address([], 2, is_first=True) == 0
    with pytest.raises(Obstacle, match="the call that made it is not known"):
        clear_address(calls, 9, is_first=False)
    with pytest.raises(Obstacle, match="where its end is told is not known"):
        clear_address(calls, 7, is_first=False)


def test_ids_that_were_given_already_are_not_reached(tmp_path: Path) -> None:
    told = tmp_path / "loadavg"
    told.write_text("0.00 0.01 0.05 1/80 40\n")
    fd = os.open(told, os.O_RDONLY)
    try:
        assert thread_ids.reach(fd, 41) == 0
        assert thread_ids.reach(fd, 40) < 0
        assert thread_ids.reach(fd, 42 + thread_ids.MOST) < 0
        told.write_text("nothing")
        assert thread_ids.reach(fd, 41) < 0
    finally:
        os.close(fd)
