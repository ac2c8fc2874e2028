"""How a run ended, as one fact: which call, signal or state it was frozen at."""

from __future__ import annotations

import re

from triage_tui.diagnosis import calls as c
from triage_tui.diagnosis.facts import End, Source, syscall_source
from triage_tui.diagnosis.fault import fault_address
from triage_tui.diagnosis.probes import is_well
from triage_tui.diagnosis.trace import Step, Walk
from triage_tui.runs.model import Snapshot, Trigger
from triage_tui.runs.reader import Run

_WAIT_NS = 1_000_000_000
_WAITS_BY_NATURE = frozenset(("poll", "accept", "sleep", "child_wait", "pause", "connect"))


def is_passing(snapshot: Snapshot, step: Step) -> bool:
    """Tell whether a call that had not returned at the freeze was only caught on its way.

    A guest that is idle has waited in its calls. Any other may have been frozen in the middle of one that
    returns at once, as opening and reading a file do.
    """
    frozen = snapshot.trigger.ts_mono_ns
    if snapshot.reason == "idle" or not frozen or step.operation in _WAITS_BY_NATURE:
        return False
    return frozen - step.call.ts_mono_ns < _WAIT_NS


_FAULTS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE")
"""Signals of faults, which have an address: sigaction(2), si_addr."""


def end_of(run: Run, walked: Walk, main: int) -> End:
    """Return the fact that says how the run ended."""
    snapshot = run.snapshot
    trigger = snapshot.trigger
    mine = [step for step in walked.steps if step.call.pid == main]
    last = _last_of(mine, trigger.seq)
    if trigger.spinning and (of_thread := [step for step in mine if step.call.tid == trigger.tid]):
        last = of_thread[-1]
    if snapshot.reason == "syscall":
        # Other threads, or processes, went on until all were held: what they did last is not what was chosen.
        chosen = [step for step in walked.steps if step.call.seq == trigger.seq]
        of_thread = [step for step in mine if step.call.tid == trigger.tid]
        last = next(reversed(chosen or of_thread), last)
    blocked = ""
    if last is not None and c.is_under_way(last.call) and last.operation != "exit":
        waits = (*c.WAIT_OPERATIONS, "sleep", "open")
        blocked = last.operation if last.operation in waits else "call"
    if blocked and last is not None and is_passing(snapshot, last):
        blocked = ""
    if snapshot.reason == "syscall" or trigger.spinning or trigger.stopped:
        # It is where a person wanted it, or where a signal stopped it, not where it waits; and of threads of
        # which one computes the others tell nothing.
        blocked = ""
    # Records of before it was measured have only the calls to tell by.
    spins = trigger.spinning if trigger.spinning is not None else not blocked
    # A process that was killed from outside is gone: what there is to see is the call that did it.
    sent = (step.call for step in walked.steps if step.call.seq == trigger.seq) if trigger.sender else ()
    killing = next(iter(sent), None)
    sent_by = ""
    if trigger.sender:
        sent_by = ", which " + (
            "it sent itself" if trigger.sender == main else f"process {trigger.sender} sent"
        )
    code = trigger.exit_code if trigger.exit_code is not None else -1
    if snapshot.reason == "emulator":
        says = cite = trigger.detail
    elif snapshot.reason == "exit":
        how = "has ended" if trigger.ended else "is about to end"
        says = f"the program {how} with exit code {code}"
        cite = f"{trigger.syscall_name}({code})"
    elif snapshot.reason == "signal":
        how = "died of" if trigger.ended else "is about to be killed by"
        says = f"the program {how} {trigger.signal or 'a signal'}{_fault(trigger)}{_handled(snapshot)}"
        cite = (trigger.signal or "fatal signal") + _fault(trigger)
        if killing is not None:
            says = f"the program was killed by {trigger.signal or 'a signal'}{sent_by}"
            cite = c.describe(killing)
    elif trigger.stopped:
        says = f"the program is stopped by {trigger.stopped}{sent_by}"
        cite = c.describe(killing) if killing is not None else f"stopped by {trigger.stopped}"
    elif trigger.spinning:
        says = f"thread {trigger.tid} of the program computes, and made no call for a while"
        cite = c.describe(last.call) if last else "computing"
    elif blocked:
        says = f"the program is inside {last.call.name if last else 'a call'}, which has not returned"
        cite = c.describe(last.call) if last else "waiting"
    else:
        says = "the program was frozen while it went on"
        cite = c.describe(last.call) if last else "frozen"
    known = {step.call.seq for step in mine}
    seq = last.call.seq if last and (blocked or trigger.seq not in known) else trigger.seq
    source = syscall_source(seq)
    if killing is not None:
        seq, source = killing.seq, syscall_source(killing.seq)
    elif snapshot.reason == "signal" and snapshot.backtrace.frames:
        source = Source(kind="frame", id=str(snapshot.backtrace.frames[0].idx))
    return End(
        source=source,
        says=says,
        cite=cite,
        seq=seq,
        pid=main,
        steps=0,
        reason=snapshot.reason,
        code=code,
        signal=trigger.signal or "",
        blocked_in=blocked,
        background=_in_background(walked, main),
        killed_by=trigger.sender if killing is not None and snapshot.reason == "signal" else 0,
        stopped=trigger.stopped,
        spinning=snapshot.reason == "idle" and spins and not any(map(is_well, snapshot.probes)),
    )


def _last_of(mine: list[Step], trigger_seq: int) -> Step | None:
    """Return the call that shows where a process is: the last one, or of several under way the telling one.

    Of a process whose threads all wait, one that waits for input or time says more than those that wait for
    work from another thread.
    """
    if not mine:
        return None
    by_thread = {step.call.tid: step for step in mine}
    gone = {tid for tid, step in by_thread.items() if step.call.name == "exit"}
    if gone != set(by_thread):
        # A thread that ended tells nothing of those that go on.
        mine = [step for step in mine if step.call.tid not in gone]
        by_thread = {tid: step for tid, step in by_thread.items() if tid not in gone}
    under_way = [step for step in by_thread.values() if c.is_under_way(step.call)]
    if mine[-1] not in under_way:
        return mine[-1]
    return max(
        under_way, key=lambda step: (step.call.seq == trigger_seq, step.operation != "lock", step.call.seq)
    )


def _fault(trigger: Trigger) -> str:
    """Return the clause that says at which address a fault was, as the emulator logged it, "" for none."""
    found = fault_address(trigger.detail) if trigger.signal in _FAULTS else None
    return f" at address 0x{found:x}" if found is not None else ""


def without_fault(text: str) -> str:
    """Return what `_fault` put into `text` taken out again."""
    return re.sub(r" at address 0x[0-9a-f]{1,16}\b", "", text, count=1)


def _handled(snapshot: Snapshot) -> str:
    """Return the clause that names the program's own handler of the signal that kills it, "" without one."""
    for process in snapshot.processes:
        for action in process.signal_actions:
            if process.looked_at and action.signal == snapshot.trigger.signal and action.action == "handle":
                name = f" ({action.func_name})" if action.func_name else ""
                return f", which it handles itself at 0x{action.addr:x}{name}"
    return ""


def _in_background(walked: Walk, main: int) -> bool:
    """Tell whether `main` was left behind by a process that ended with code 0."""
    if not walked.steps or walked.steps[0].call.pid == main:
        return False
    first = walked.steps[0].call.pid
    exits = [step for step in walked.steps if step.call.pid == first and step.call.name == "exit_group"]
    return bool(exits) and c.number(exits[-1].call, 0) == 0
