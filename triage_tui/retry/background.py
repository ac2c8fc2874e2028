"""Retries in the background: processes of their own, how far they are, and how one is stopped."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from triage_tui.runs.events import Event, holder_of, process_start, read_events, told_state

_POLL_S = 0.1
_END_S = 10.0

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: looking it up in a child could wait for a lock that nobody holds there.
_libc = ctypes.CDLL(None)


def spawn_detached(command: list[str], log: Path, *, end_with_us: bool = False) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its output going to `log`.

    It outlives this process, unless `end_with_us`: then it gets SIGTERM when this process ends in any way.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            preexec_fn=end_with_parent if end_with_us else None,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )


def end_with_parent() -> None:
    """In the child: be told when the parent is gone, prctl(2), PR_SET_PDEATHSIG."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class AskedRetry(msgspec.Struct, frozen=True):
    """A retry of a run: by the holder of its guest, or by a process of its own."""

    run_dir: Path
    before: int
    """How many events the run had before it."""
    process: subprocess.Popen[bytes] | None = None
    """The process that was started for it; None when the holder does it."""
    holder: tuple[int, int] | None = None

    @classmethod
    def by_process(
        cls, workspace: Path, run_dir: Path, events: list[Event], options: Sequence[str] = ()
    ) -> AskedRetry:
        """Start a process that retries a run, with more `options`, and then holds its guest.

        Raises:
            OSError: it cannot be started.
        """
        command = [sys.executable, "-m", "triage_tui", "retry", "-C", str(workspace), "--hold", *options]
        command.append(run_dir.name)
        process = spawn_detached(command, run_dir / "logs" / "retry-process.log")
        return cls(run_dir, len(events), process)

    @classmethod
    def by_holder(cls, run_dir: Path, events: list[Event]) -> AskedRetry:
        """Watch the holder of a guest, who was told to retry."""
        return cls(run_dir, len(events), holder=holder_of(events))

    @classmethod
    def by_others(cls, run_dir: Path, events: list[Event]) -> AskedRetry | None:
        """Return the retry of a run that somebody else began last, None when there was none."""
        number = max((n for n, one in enumerate(events) if one.kind == "retry_started"), default=-1)
        if number < 0:
            return None
        pid, start = (events[number].payload.get(name) for name in ("pid", "start"))
        known = (pid, start) if isinstance(pid, int) and isinstance(start, int) else None
        return cls(run_dir, number, holder=known)

    @property
    def alive(self) -> bool:
        """Whether the process that is to do it, or does it, is there."""
        if self.process is not None:
            return self.process.poll() is None
        return self.holder is not None and process_start(self.holder[0]) == self.holder[1]

    @property
    def begins(self) -> bool:
        """Whether it was asked for and has not begun yet."""
        return self.alive and not self._began(read_events(self.run_dir)[0])

    @property
    def under_way(self) -> bool:
        """Whether it was asked for and is not over; who holds its guest afterwards is alive, and not that."""
        if not self.alive:
            return False
        events = read_events(self.run_dir)[0]
        return not self._began(events) or told_state(events) == "retrying"

    def _began(self, events: list[Event]) -> bool:
        return any(event.kind == "retry_started" for event in events[self.before :])

    def wait(self, unwanted: threading.Event) -> bool:
        """Wait until it came to something, or `unwanted` is set; False when it never began."""
        while True:
            # Looked at first: what the process wrote before it ended is then in the log.
            alive = self.alive
            events = read_events(self.run_dir)[0]
            began = self._began(events)
            if not alive or (began and told_state(events) != "retrying"):
                return began
            if unwanted.wait(_POLL_S):
                return True

    def stop_beginning(self) -> bool:
        """End the process that was started for it, whose program does not run yet; False without one."""
        if self.process is None or self.process.poll() is not None:
            return False
        self.process.terminate()
        return True

    def end(self) -> None:
        """End the process that was started for it, in good order and hard if it does not, with its guest."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_END_S)
            except subprocess.TimeoutExpired:
                # Its guest ends with it: the cell does not outlive its supervisor.
                self.process.kill()
                self.process.wait()
