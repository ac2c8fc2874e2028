"""Whether a run meets the success criterion of its case (docs/evaluation.md): what is not met, in words.

A criterion speaks of how the program ends or stays (`outcome`, `code`, `signal`, `how`), of what it printed,
of its calls as `qemu -strace` writes them, and of the answer that a client gets (`probe`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.guest.log.full_trace import FILE, read_full_trace
from triage_tui.runs.call_signatures import SLEEPS
from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.runs.reader import Run

_MAX_OUTPUT = 4 << 20
_HOW = {"sleep_loop": "sleep_loop", "loop": "syscall_loop"}
PARTS = frozenset(("outcome", "code", "signal", "how", "output", "strace", "probe"))


def mistake_in(success: object) -> str:
    """Return what is wrong with a criterion, "" for nothing."""
    if not isinstance(success, Mapping):
        return "success: needs a mapping"
    for name in success:
        if name not in PARTS:
            return f"success: {name!r} is no part of a criterion; known are {', '.join(sorted(PARTS))}"
    for name in ("output", "strace"):
        try:
            re.compile(str(success.get(name, "")))
        except (re.error, RecursionError, OverflowError) as error:
            return f"success: {name} is no regular expression: {error}"
    return ""


def unmet(success: Mapping[str, Any], run: Run, answered: bool | None) -> list[str]:
    """Return the parts of a criterion that `run` does not meet; `answered` is what its client found.

    Raises:
        TriageError: the full trace of the run cannot be read.
    """
    snapshot = run.snapshot
    code = exit_code(run)
    told: dict[str, object] = {
        "outcome": "exit" if code is not None else outcome(snapshot),
        "code": code,
        "signal": snapshot.trigger.signal,
        "how": how(snapshot),
    }
    found = [
        f"{name} is {told[name]!r}, not {success[name]!r}"
        for name in told
        if name in success and success[name] != told[name]
    ]
    if "output" in success and not re.search(str(success["output"]), _output(run)):
        found.append(f"the output does not match {success['output']!r}")
    if "strace" in success:
        wanted = re.compile(str(success["strace"]))
        if not any(wanted.search(strace_line(call)) for call in calls(run)):
            found.append(f"no call matches {success['strace']!r}")
    if success.get("probe") and not answered:
        found.append("the client got no right answer")
    return found


def exit_code(run: Run) -> int | None:
    """Return with what the first process ended, None while it is there or where a signal ended it.

    A program that went into the background has ended for who started it.
    """
    if run.snapshot.reason == "exit" and run.snapshot.trigger.exit_code is not None:
        return run.snapshot.trigger.exit_code
    first = 0
    for call in calls(run):
        first = first or call.pid
        if call.name == "exit_group" and call.pid == first:
            return _status(call)
    return None


def _status(call: Syscall) -> int | None:
    """Return the exit code that a call of exit_group gives."""
    if call.args:
        return call.args[0] & 0xFF
    text = call.arguments[0] if call.arguments else ""
    return int(text, 0) & 0xFF if re.fullmatch(r"-?(0x[0-9a-f]+|\d+)", text) else None


def outcome(snapshot: Snapshot) -> str:
    """Return "signal", or "hang" for what had not ended."""
    return "signal" if snapshot.reason == "signal" else "hang"


def how(snapshot: Snapshot) -> str:
    """Return how the program spent its time when it was frozen, in the words of the corpus."""
    if snapshot.reason in _HOW:
        return _HOW[snapshot.reason]
    if snapshot.trigger.spinning:
        return "spin"
    return "sleep_loop" if snapshot.trigger.syscall_name in SLEEPS else "blocked"


def calls(run: Run) -> Iterator[Syscall]:
    """Yield the calls of a run in their order, every one where the run kept a full trace.

    Raises:
        TriageError: the full trace cannot be read.
    """
    path = Path(run.dir) / FILE
    yield from read_full_trace(path) if path.is_file() else run.trace()


def strace_line(call: Syscall) -> str:
    """Return a call as `qemu -strace` writes it: `3 openat(AT_FDCWD,"/etc/x",O_RDONLY) = 4`."""
    arguments = call.arguments or [hex(arg) for arg in call.args]
    if call.ret is None:
        result = ""
    elif call.errno:
        result = f" = -1 errno={-call.ret} ({call.errno})"
    else:
        result = f" = {call.ret}"
    return f"{call.tid or call.pid} {call.name}({','.join(arguments)}){result}"


def _output(run: Run) -> str:
    try:
        return run.text_file(run.snapshot.guest_output, _MAX_OUTPUT)
    except TriageError:
        return ""
