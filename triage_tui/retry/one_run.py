"""Run a program once, record where it stops, and end it: what experiments and trials of rules share."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

from triage_tui.diagnosis.report import check_knowledge
from triage_tui.errors import Stopped, TriageError
from triage_tui.retry.guests import RunningGuest
from triage_tui.retry.record import record_stop
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.limits import CaptureLimits, DiskUsage, allowance
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

Tell = Callable[[str], None]

_TICK_S = 2.0
_LAST_BYTES = 1 << 16
"""What is read of the end of the output."""


def run_once(
    workspace: Workspace,
    run: Run,
    start: Start,
    tell: Tell,
    cancel: threading.Event,
    *,
    what: str = "the experiment",
    recording: AbstractContextManager[object] | None = None,
    before: Run | None = None,
) -> Run:
    """Run the program of `run` once with the rules of `workspace`, record where it stops, and end it.

    `what` names what is being done, for who cancels it. `recording` is held while the stop is recorded: who
    runs several guests at a time lets one be recorded after the other. With `before` it goes on from the
    checkpoint of that run.

    Raises:
        Stopped: `cancel` was set; nothing of it is kept.
        TriageError: it cannot be started or recorded.
    """
    workspace.check_writable()
    check_knowledge()
    usage = DiskUsage(workspace.runs_dir)
    limits = CaptureLimits.of({})
    if limits.disk_bytes:
        usage.bytes()
    guest = RunningGuest(workspace, start, tell, cancel, before=before)
    try:
        with _telling(tell, start.triggers.time_limit_s):
            stop = guest.run(cancel, lambda: False)
        with recording or nullcontext():
            if stop.cancelled or cancel.is_set():
                raise Stopped(f"{what} was stopped, and nothing of it is kept")
            tell("recording where it stopped")
            return record_stop(
                workspace,
                guest,
                stop,
                start,
                parent=run,
                number=run.snapshot.round + 1,
                holds=False,
                allowed=allowance(limits, workspace.runs_dir, usage),
            )
    finally:
        guest.end()


@contextlib.contextmanager
def _telling(tell: Tell, limit_s: float) -> Iterator[None]:
    """Tell every few seconds for how long the program has been running; from a thread of its own."""
    over = threading.Event()
    began = time.monotonic()

    def work() -> None:
        while not over.wait(_TICK_S):
            tell(f"it runs for {time.monotonic() - began:.0f} s, {limit_s:g} s at most")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def how_it_stopped(run: Run) -> str:
    """Return where a run stopped, in words that follow "it"."""
    trigger, reason = run.snapshot.trigger, run.snapshot.reason
    if reason == "exit":
        return f"ended with code {trigger.exit_code}"
    if reason == "signal":
        return f"died of {safe_line(trigger.signal or 'a signal', 20)}"
    words = {
        "loop": "repeats its calls",
        "sleep_loop": "sleeps and tries again",
        "time_limit": "still ran when its time was over",
        "idle": "computes without a call" if trigger.spinning else "waits",
    }
    return words.get(reason, "was frozen")


def last_printed(run: Run, most: int) -> list[str]:
    """Return the last lines that a program printed, raw text without empty ones; none where none is kept."""
    with contextlib.suppress(TriageError):
        lines = run.text_file(run.snapshot.guest_output, _LAST_BYTES, tail=True).split("\n")
        return [line for line in lines if line.strip()][-most:]
    return []
