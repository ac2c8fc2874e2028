"""Ask the Lua compiler about rule texts, in the rule host process and without running them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from queue import SimpleQueue

from triage_tui.rulehost import wire
from triage_tui.rulehost.process import HostDied, HostProcess, HostTooSlow
from triage_tui.rulehost.sources import Limits

_ENOSYS = 38


def check_syntax(sources: Sequence[tuple[str, bytes]], limits: Limits | None = None) -> list[str | None]:
    """Return for each (name, text) the compiler's message ("name:LINE: ..."), or None when it compiles.

    One process serves them all; a text that makes the compiler hang or fall costs that text only.

    Raises:
        TriageError: the rule host cannot be started.
    """
    return list(_checked(sources, limits or Limits()))


def check_each(sources: Sequence[tuple[str, bytes]], limits: Limits | None = None) -> Iterator[str | None]:
    """Yield the same one by one. While the caller works on one, the process compiles the next ones.

    Raises:
        TriageError: the rule host cannot be started.
    """
    found: SimpleQueue[str | BaseException | None] = SimpleQueue()
    unwanted = threading.Event()

    def work() -> None:
        try:
            for problem in _checked(sources, limits or Limits()):
                found.put(problem)
                if unwanted.is_set():
                    return
        except BaseException as error:
            found.put(error)

    worker = threading.Thread(target=work, name="compile-rules")
    worker.start()
    try:
        for _ in sources:
            problem = found.get()
            if isinstance(problem, BaseException):
                raise problem
            yield problem
    finally:
        unwanted.set()
        worker.join()


def _checked(sources: Sequence[tuple[str, bytes]], limits: Limits) -> Iterator[str | None]:
    process: HostProcess | None = None
    try:
        for name, source in sources:
            process = process or HostProcess(limits, enosys=_ENOSYS, rule_bytes=limits.memory_bytes)
            problem = _check_one(process, wire.Check(name, source), limits)
            if problem.died:
                process.end()
                process = None
            yield problem.message
    finally:
        if process is not None:
            process.end()


class _Problem:
    def __init__(self, message: str | None, died: bool = False) -> None:
        self.message = message
        self.died = died


def _check_one(process: HostProcess, message: wire.Check, limits: Limits) -> _Problem:
    deadline = time.monotonic() + limits.wall_seconds
    try:
        process.send(message, deadline)
        done = process.receive(deadline)
    except HostTooSlow:
        return _Problem("the compiler took too long", died=True)
    except HostDied as error:
        return _Problem(f"the compiler failed: {error}", died=True)
    if not isinstance(done, wire.Done):
        return _Problem("the compiler's answer was not understood", died=True)
    return _Problem(done.message or "it does not compile" if done.kind else None)
