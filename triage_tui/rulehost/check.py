"""Ask the Lua compiler about rule texts, in the rule host process and without running them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from triage_tui.rulehost import wire
from triage_tui.rulehost.process import HostDied, HostProcess, HostTooSlow
from triage_tui.rulehost.protocol import Limits

_ENOSYS = 38


def check_syntax(sources: Sequence[tuple[str, bytes]], limits: Limits | None = None) -> list[str | None]:
    """Return for each (name, text) the compiler's message ("name:LINE: ..."), or None when it compiles.

    One process serves them all; a text that makes the compiler hang or fall costs that text only.

    Raises:
        TriageError: the rule host cannot be started.
    """
    limits = limits or Limits()
    results: list[str | None] = []
    process: HostProcess | None = None
    try:
        for name, source in sources:
            process = process or HostProcess(limits, enosys=_ENOSYS, rule_bytes=limits.memory_bytes)
            problem = _check_one(process, wire.Check(name, source), limits)
            if problem.died:
                process.end()
                process = None
            results.append(problem.message)
    finally:
        if process is not None:
            process.end()
    return results


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
