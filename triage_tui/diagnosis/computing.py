"""Threads that computed for a while and made no call, as facts."""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.diagnosis import calls as c
from triage_tui.diagnosis.facts import Computing, syscall_source
from triage_tui.runs.model import Snapshot, Syscall


def computing_threads(snapshot: Snapshot, calls: Sequence[Syscall]) -> list[Computing]:
    """Return a fact for each thread that was measured to compute, the one that did so for longest first."""
    found = [
        (process.pid, thread.tid, thread.computed)
        for process in snapshot.processes
        for thread in process.threads
        if thread.computed is not None
    ]
    found.sort(key=lambda entry: -entry[2].seconds)
    known = {call.seq: call for call in calls}
    facts: list[Computing] = []
    for pid, tid, computed in found:
        last = known.get(computed.last_seq) if computed.last_seq is not None else None
        time = f"for {computed.seconds:.1f} s ({computed.processor_seconds:.1f} s of processor time)"
        facts.append(
            Computing(
                source=syscall_source(last.seq) if last is not None else None,
                says=f"thread {tid} of process {pid} computed {time} and made no call after this one",
                cite=c.describe(last) if last is not None else f"thread {tid}",
                seq=last.seq if last is not None else -1,
                pid=pid,
                steps=0,
                tid=tid,
                seconds=computed.seconds,
                processor_seconds=computed.processor_seconds,
                threads=len(found),
            )
        )
    return facts
