"""What a record says that cannot all be true, one sentence each: whoever reads on knows what was believed."""

from __future__ import annotations

from triage_tui.runs.model import Loop, Snapshot
from triage_tui.text import number_of, safe_line


def is_possible(loop: Loop) -> bool:
    """Tell whether a loop can be what it says: at least one call, in rounds, between two numbers in order."""
    return loop.period > 0 and loop.repeats > 0 and 0 <= loop.first_seq <= loop.last_seq


def contradictions(snapshot: Snapshot) -> list[str]:
    """Return what contradicts itself in a snapshot, in words; nothing for a sound one."""
    trigger = snapshot.trigger
    found: list[str] = []
    if trigger.exit_code is not None and trigger.signal:
        both = f"exited with code {trigger.exit_code} and died of {safe_line(trigger.signal, 20)}"
        believed = {"exit": "the exit is believed", "signal": "the signal is believed"}
        found.append(
            f"the record says that the program {both}: {believed.get(snapshot.reason, 'neither is believed')}"
        )
    if snapshot.loop is not None and not is_possible(snapshot.loop):
        loop = snapshot.loop
        found.append(
            f"the record's loop is none ({loop.repeats} rounds of {loop.period} calls,"
            f" from {loop.first_seq} to {loop.last_seq}): it is looked for in the calls"
        )
    found += contradicted_end(snapshot)
    numbers = [call.seq for call in snapshot.recent_syscalls]
    if negative := sum(number < 0 for number in numbers):
        found.append(
            f"{number_of(negative, 'call has', 'calls have')} a negative number: their order is not known"
        )
    if twice := len(numbers) - len(set(numbers)):
        shares = number_of(twice, "call has", "calls have")
        found.append(f"{shares} the number of another one: of each number one call is shown")
    if any(frame.idx < 0 or frame.addr < 0 for frame in snapshot.backtrace.frames):
        found.append("the call stack has frames with negative numbers or addresses: no evidence leads there")
    return found


_AFTER_EXIT = ("signal", "loop", "sleep_loop", "idle")
"""Reasons that a program which has called exit_group cannot give any more."""


def contradicted_end(snapshot: Snapshot) -> list[str]:
    """Return what is wrong with a reason that the last call contradicts."""
    last = snapshot.recent_syscalls[-1] if snapshot.recent_syscalls else None
    if last is None or last.name != "exit_group" or snapshot.reason not in _AFTER_EXIT:
        return []
    if last.pid != snapshot.trigger.pid:
        return []
    words = snapshot.reason.replace("_", " ")
    return [f"the record says that the program was stopped by {words}, and its last call is exit_group"]
