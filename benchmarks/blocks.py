"""What a person does in the app, and for how long its event loop could not take a key meanwhile."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.keys import DOWN, END, HERE, HOME, PAGE_DOWN, go_to, opened
from benchmarks.terminal import Terminal
from benchmarks.watched_loop import Block, read_blocks
from benchmarks.workspaces import HEAP, MEMORY_BYTES, add_run

_WORK_S = 30.0


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done, and the times in which the loop was blocked, longest first."""

    what: str
    blocks: list[Block]


class Session:
    """The app under watch in a terminal, and what was done with it."""

    def __init__(self, workspace: Path, environment: dict[str, str], report: Path) -> None:
        self._report = report
        self.workspace = workspace
        watch = [sys.executable, "-m", "benchmarks.watched_loop", str(report)]
        self.terminal = Terminal([*watch, "ui", "-C", str(workspace)], HERE, environment=environment)
        self.steps: list[Step] = []

    @contextmanager
    def step(self, what: str) -> Iterator[Terminal]:
        """Note the blocks of what is done in the context, and until the app rests after it."""
        begin = time.monotonic()
        yield self.terminal
        self.terminal.settle(0.6, _WORK_S)
        self.steps.append(Step(what, read_blocks(self._report, begin, time.monotonic())))


def _many_runs(session: Session) -> None:
    terminal = session.terminal
    terminal.wait_for_frame()
    with session.step("start with 10,000 runs, after the first frame"):
        opened(terminal)
    with session.step("a key held down in 10,000 runs"):
        terminal.hold(DOWN, 45)
    with session.step("pages held down in 10,000 runs"):
        terminal.hold(PAGE_DOWN, 45)
    with session.step("a filter over 10,000 runs"):
        for text in ("/", "h", "a", "v", "-", "1", "\x1b"):
            terminal.hold(text, 1, 0.1)
    with session.step("10,000 runs sorted"):
        terminal.hold("s", 5, 0.2)
    with session.step("a new run"):
        run_dir = add_run(session.workspace)
    shutil.rmtree(run_dir)
    with session.step("all panes of a run"):
        for key in "1234567890":
            terminal.hold(key, 1, 0.15)
    with session.step("the terminal resized"):
        for columns, rows in ((80, 24), (160, 48), (60, 14), (120, 40)):
            terminal.resize(columns, rows)
            terminal.hold("j", 4)


def _large_run(session: Session) -> None:
    terminal = session.terminal
    terminal.wait_for_frame()
    with session.step("a run of 100,000 calls and 1 GiB, read"):
        opened(terminal)
    with session.step("the timeline, to and fro"):
        terminal.hold("3", 1)
        for keys in (HOME, PAGE_DOWN, END, DOWN):
            terminal.hold(keys, 10)
    with session.step("a filter over 100,000 calls"):
        for text in ("/", "r", "e", "a", "d", "\x1b"):
            terminal.hold(text, 1, 0.1)
    with session.step("only failed calls, and all again"):
        terminal.hold("f", 4, 0.3)
    with session.step("the hex view, to and fro"):
        terminal.hold("7", 1)
        for place in (0, MEMORY_BYTES // 2, MEMORY_BYTES - 64):
            go_to(terminal, HEAP + place)
            terminal.hold(PAGE_DOWN, 15)


def _huge_run(session: Session) -> None:
    terminal = session.terminal
    terminal.wait_for_frame()
    opened(terminal)
    with session.step("a run at all limits is read, keys held down"):
        terminal.hold("j", 1)
        terminal.hold("2", 1, 0.3)
        terminal.hold("j", 150)
    with session.step("all panes of a run at all limits"):
        for key in "1234567890":
            terminal.hold(key, 1, 0.2)
            terminal.hold(DOWN, 8)
    with session.step("a run at all limits left and opened again"):
        terminal.hold("0", 1)
        for key in "kjkj":
            terminal.hold(key, 1, 0.3)


def measure_blocks(workspaces: dict[str, Path], environment: dict[str, str], scratch: Path) -> list[Step]:
    """Do these things with the workspaces "many", "large" and "huge"."""
    doings: dict[str, Callable[[Session], None]] = {
        "many": _many_runs,
        "large": _large_run,
        "huge": _huge_run,
    }
    steps: list[Step] = []
    for name, work in doings.items():
        session = Session(workspaces[name], environment, scratch / f"{name}.blocks")
        with session.terminal:
            work(session)
        steps += session.steps
    return steps
