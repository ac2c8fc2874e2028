"""Start triage-tui with a watch over its event loop: `python -m benchmarks.watched_loop REPORT ARGUMENTS...`.

A beat of a few milliseconds runs in the loop; when it comes late, the loop did something else meanwhile. Each
late beat is one line of REPORT, see `Block`. What a thread waits for a processor that other programs use is
not the app's doing and is taken off.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import msgspec

_BEAT_S = 0.004
_LEAST_S = 0.010
_OWN_DELAYS = "/proc/thread-self/schedstat"


class Block(msgspec.Struct):
    """A time in which the loop could not take a key."""

    end: float
    """CLOCK_MONOTONIC, in seconds."""
    seconds: float
    """How long, without the time in which the kernel gave the processor to other programs."""
    computing: float
    """How much of it the loop's own thread computed; the rest it waited for another thread of the app."""
    collecting: float
    """How long the interpreter looked for garbage meanwhile, in any thread."""
    what: str
    """The longest call of it."""


def _name(handle: asyncio.Handle) -> str:
    callback: Any = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return f"{task.get_name()} {getattr(task.get_coro(), '__qualname__', '')}"
    return str(getattr(callback, "__qualname__", callback))


def _kernel_delay() -> float:
    """Return the seconds that this thread was ready and had no processor."""
    with open(_OWN_DELAYS) as file:
        return int(file.read().split()[1]) / 1e9


class Watch:
    """The beat in a running loop."""

    def __init__(self, report: TextIO) -> None:
        self._report = report
        self._longest = (0.0, "")
        self._begun = False
        self._collection = 0.0
        self._collected = 0.0

    def watch(self) -> None:
        """Time every call of every event loop of this process."""
        run = asyncio.Handle._run
        gc.callbacks.append(self._collecting)

        def timed(self_: asyncio.Handle) -> None:
            if not self._begun:
                self._begun = True
                self._schedule()
            begin = time.perf_counter()
            run(self_)
            if (took := time.perf_counter() - begin) > self._longest[0]:
                self._longest = took, _name(self_)

        setattr(asyncio.Handle, "_run", timed)  # noqa: B010, because it is no method that may be assigned

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        """Note how long the interpreter looked for garbage, in whatever thread."""
        if phase == "start":
            self._collection = time.perf_counter()
        else:
            self._collected += time.perf_counter() - self._collection

    def _schedule(self) -> None:
        due, delay, computed = time.monotonic() + _BEAT_S, _kernel_delay(), time.thread_time()
        self._longest, self._collected = (0.0, ""), 0.0

        def beat() -> None:
            now = time.monotonic()
            late = now - due - (_kernel_delay() - delay)
            if late > _LEAST_S:
                computing = time.thread_time() - computed
                block = Block(now, late, computing, self._collected, self._longest[1])
                self._report.write(msgspec.json.encode(block).decode() + "\n")
                self._report.flush()
            self._schedule()

        asyncio.get_running_loop().call_later(_BEAT_S, beat)


def read_blocks(report: Path, since: float, until: float) -> list[Block]:
    """Return the blocks that ended between two times, longest first."""
    blocks = [msgspec.json.decode(line, type=Block) for line in report.read_bytes().splitlines()]
    return sorted((one for one in blocks if since <= one.end <= until), key=lambda one: -one.seconds)


def main() -> int:
    """Run the app under watch."""
    from triage_tui.cli.main import main as command

    with open(sys.argv[1], "w") as report:
        Watch(report).watch()
        return command(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
