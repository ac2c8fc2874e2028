"""What a record lacks, or says in two ways, one sentence each: half a history explains half of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.runs.writer import TRACE_FILE
from triage_tui.text import number_of, safe_line

SFEMU = "SFEmu"
"""The engine of runs that were taken in from there."""


def missing_output(run_dir: Path, snapshot: Snapshot) -> list[str]:
    """Return a sentence when the program printed something and the record has not got it.

    Records of other engines (schema 0) name no output.
    """
    if not snapshot.schema_version or not snapshot.statistics.output_bytes or not snapshot.guest_output:
        return []
    if os.path.lexists(run_dir / snapshot.guest_output):
        return []
    return [f"{safe_line(snapshot.guest_output, 100)} is not there: what the program printed is not known"]


def missing_history(snapshot: Snapshot) -> list[str]:
    """Return a sentence when more calls were made than the snapshot holds, and there is no longer history.

    Of SFEmu's runs see `missing_beginning`: there is none of any.
    """
    if snapshot.engine.name == SFEMU:
        return []
    known, made = len(snapshot.recent_syscalls), snapshot.statistics.syscalls
    if made <= known:
        return []
    last = f"only the last {known}" if known else "none"
    return [f"{TRACE_FILE} is not there: of {number_of(made, 'call')} {last} can be read"]


def history_gap(snapshot: Snapshot, calls: Sequence[Syscall]) -> list[str]:
    """Return a sentence when calls are missing between a history and the snapshot's last calls."""
    recent = snapshot.recent_syscalls
    if not recent:
        return []
    first = min(call.seq for call in recent)
    last = max((call.seq for call in calls), default=0)
    if last >= first - 1:
        return []
    end = f"ends at call {last}" if calls else "has no calls"
    return [f"{TRACE_FILE} {end}, and the snapshot begins at call {first}: what is between them is not known"]


def missing_beginning(snapshot: Snapshot, calls: Sequence[Syscall]) -> str:
    """Return a sentence when a history of SFEmu's, which keeps the latest calls only, begins late; else "".

    Our own histories begin at the start, or the record says what was left out.
    """
    first = min((call.seq for call in calls), default=0)
    if snapshot.engine.name != SFEMU or first <= 1:
        return ""
    made = max(snapshot.statistics.syscalls, len(calls))
    return f"of {number_of(made, 'call')} only the last {len(calls)}, from call {first} on, were kept"


def disagreements(snapshot: Snapshot, calls: Sequence[Syscall]) -> list[str]:
    """Return what a history and the snapshot's last calls say differently."""
    recent = {call.seq: call for call in snapshot.recent_syscalls}
    if not recent:
        return []
    found: list[str] = []
    told = {call.seq: call for call in calls if call.seq in recent}
    other = [seq for seq, call in told.items() if _what(call) != _what(recent[seq])]
    if other:
        differ = number_of(len(other), "call differs", "calls differ")
        found.append(
            f"{differ} between {TRACE_FILE} and the snapshot, the first is call {min(other)}: the causes are"
            f" looked for in {TRACE_FILE}, a link leads to the snapshot's"
        )
    end = recent[max(recent)]
    if end.name == "exit_group" and snapshot.reason == "exit":
        # Other processes go on while the end of one is recorded.
        after = sum(call.seq > end.seq and (call.pid, call.tid) == (end.pid, end.tid) for call in calls)
        if after:
            made = number_of(after, "call", "calls")
            found.append(
                f"{TRACE_FILE} has {made} of the program after its last one, exit_group, call {end.seq}"
            )
    return found


def _what(call: Syscall) -> tuple[object, ...]:
    return call.name, call.ret, call.errno, call.pid
