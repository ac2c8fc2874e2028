"""How a program was when it was frozen: in words, and compared with another run of it."""

from __future__ import annotations

from triage_tui.retry.judging.accidents import replaced
from triage_tui.runs.model import Reason
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

GONE: frozenset[Reason] = frozenset(("exit", "signal", "emulator", "unknown"))
"""Reasons after which nothing of the program goes on."""
_CHOSEN: frozenset[Reason] = frozenset(("requested", "syscall", "time_limit"))
"""Reasons that say nothing of how the program is."""
SHORT_CYCLE = "short cycle"
"""How the detail of a stop begins that ended a retry early."""


def is_healthy(run: Run) -> bool:
    """Tell whether the diagnosis of a run calls the program well."""
    return run.diagnosis is not None and run.diagnosis.healthy


def ended_badly(run: Run) -> bool:
    """Tell whether a program was stopped by what it did itself, and is not well by its diagnosis."""
    return run.snapshot.reason not in _CHOSEN and run.diagnosis is not None and not run.diagnosis.healthy


def same_end(before: Run, after: Run) -> bool:
    """Tell whether both runs stopped for the same reason at the same kind of call with the same result."""
    first, second = before.snapshot, after.snapshot
    return (
        first.reason == second.reason
        and first.trigger.syscall_name == second.trigger.syscall_name
        and first.trigger.exit_code == second.trigger.exit_code
        and first.trigger.signal == second.trigger.signal
    )


def same_place(before: Run, after: Run) -> bool:
    """Tell whether both ended in the same way, loops of other calls told apart."""
    first, second = before.snapshot.loop, after.snapshot.loop
    return same_end(before, after) and (set(first.names) if first else None) == (
        set(second.names) if second else None
    )


def failing_ends(before: Run, after: Run) -> bool:
    """Tell whether both ended by themselves and neither with code 0, whatever the codes are."""
    return all(run.snapshot.reason == "exit" and run.snapshot.trigger.exit_code for run in (before, after))


def in_words(run: Run) -> str:
    """Return how a program was at the end, "exits with 1"."""
    snapshot = run.snapshot
    trigger = snapshot.trigger
    match snapshot.reason:
        case "exit":
            return f"exits with {trigger.exit_code}"
        case "signal":
            return f"dies of {trigger.signal}"
        case "loop":
            return "repeats a syscall sequence"
        case "sleep_loop":
            return "sleeps and repeats"
        case "idle":
            return f"waits in {trigger.syscall_name}"
        case "emulator":
            return "ends because the emulator failed"
        case "syscall":
            return f"was frozen at {trigger.syscall_name}, as was wanted"
        case "requested":
            return "was frozen on request"
        case "unknown":
            return "was gone before it could be looked at"
        case _:
            return "was still running when its time was over"


def waits_now(before: Run, after: Run) -> tuple[str, int]:
    """Say that a call which was repeated without a pause lets its thread wait now, and which call that is.

    "" and 0 where that is not so.
    """
    loop = before.snapshot.loop
    if before.snapshot.reason != "loop" or loop is None or loop.sleeps or after.snapshot.reason != "idle":
        return "", 0
    if after.snapshot.trigger.spinning:
        return "", 0
    last = {call.tid: call for call in after.trace()}
    waits = next((one for one in last.values() if one.ret is None and one.name in loop.names), None)
    if waits is None:
        return "", 0
    text = f"the busy loop is gone: {waits.name}, which was repeated without a pause, waits now"
    return text, waits.seq


def lives_on(before: Run, after: Run) -> bool:
    """Tell whether the program ended before, by itself or by a signal, and waits now without a processor.

    One that was asked as a service and gave no answer lives on in name only.
    """
    ended = before.snapshot.reason in ("exit", "signal")
    now = after.snapshot
    waits = now.reason == "idle" and not now.trigger.spinning
    return ended and waits and all(probe.outcome == "answered" for probe in now.probes)


def loop_gone(before: Run, after: Run) -> str:
    """Say that the loop of the run before is gone; "" where it is not, or there was none."""
    first, second = before.snapshot.loop, after.snapshot.loop
    if first is None or before.snapshot.reason not in ("loop", "sleep_loop"):
        return ""
    if second is not None and set(second.names) == set(first.names):
        return ""
    return f"the loop is gone: {', '.join(list(dict.fromkeys(first.names))[:6])}"


def ended_early(run: Run) -> str:
    """Return why a retry was ended in its short cycle, "" for one that had its full time."""
    detail = run.snapshot.trigger.detail
    early = run.snapshot.reason == "time_limit" and detail.startswith(SHORT_CYCLE)
    return safe_line(detail, 300) if early else ""


def another_program(before: Run, after: Run) -> str:
    """Say that the runs are of different programs or commands, which do not compare; "" when they are not.

    A program of many names (busybox, git) is told what to do by its first argument, which is no option.
    """
    if other := replaced(before, after):
        return other
    first, second = before.snapshot.target, after.snapshot.target
    size = 2 if len(first.argv) > 1 and not first.argv[1].startswith("-") else 1
    if first.argv[:size] == second.argv[:size]:
        return ""
    was, now = (" ".join(argv[:2]) for argv in (first.argv, second.argv))
    return f"it was started as {now} and before as {was}: what is new is another command's, no progress"
