"""What a program waits for: sockets that listen, the last wait for something outside, and its sleeps."""

from __future__ import annotations

import re

from triage_tui.diagnosis import calls as c
from triage_tui.diagnosis.ending import is_passing
from triage_tui.diagnosis.facts import NEVER, Facts, Listening, Sleep, Wait, syscall_source
from triage_tui.diagnosis.trace import Step, Walk
from triage_tui.runs.model import Snapshot, Syscall


def add_waits(facts: Facts, walked: Walk, main: int, steps_after: dict[int, int], snapshot: Snapshot) -> None:
    """Add listening sockets, the last wait and the sleeps."""
    end = facts.end
    reachable = bool(facts.of("listening"))
    for process in walked.processes.values():
        for origin in {id(origin): origin for origin in process.fds.values()}.values():
            if origin.listening or (origin.datagram and origin.bound):
                reachable = True
                what = "accepts datagrams" if origin.datagram else "listens"
                facts.add(
                    "listening",
                    Listening(
                        source=syscall_source(origin.seq),
                        says=f"the program {what} on {origin.bound or 'a socket'}",
                        cite=f"{origin.label} {what}",
                        seq=origin.seq,
                        pid=process.pid,
                        address=origin.bound,
                        datagram=origin.datagram,
                    ),
                )
    waits = [step for step in walked.steps if step.operation in c.WAIT_OPERATIONS and not c.failed(step.call)]
    waits = [
        step
        for step in waits
        if (step.operation != "read" or c.is_under_way(step.call)) and not is_sleep(step)
    ]
    sent = [step for step in walked.steps if is_request(step)]
    mine = [step for step in waits if step.call.pid == main] or waits
    if mine:
        # Input from outside says more than a lock or a child; what has not returned says more than what has.
        step = max(
            mine,
            key=lambda entry: (
                entry.operation in ("poll", "accept", "read"),
                c.is_under_way(entry.call),
                entry.call.seq,
            ),
        )
        idle = [entry for entry in waits if entry.operation == "poll" and entry.call.ret == 0]
        blocked = c.is_under_way(step.call) and end.reason not in ("exit", "signal")
        # Where one thread computes, or all were stopped, a wait is not what the program is at.
        blocked = blocked and not end.spinning and not end.stopped and not is_passing(snapshot, step)
        facts.add(
            "wait",
            Wait(
                source=syscall_source(step.call.seq),
                says=f"it waits for {awaited(step)}" + (" and has not returned" if blocked else ""),
                cite=c.describe(step.call),
                seq=step.call.seq,
                pid=step.call.pid,
                steps=steps_after.get(step.call.seq, NEVER),
                operation=step.operation,
                name=step.call.name,
                blocked=blocked,
                timed_out=len(idle),
                listening=reachable,
                origin=step.origin.label if step.origin else "",
                sent=bool(sent) and sent[-1].call.seq < step.call.seq,
                watching=any(
                    origin.label == c.CHANGES_OF_FILES
                    for origin in walked.processes[step.call.pid].fds.values()
                ),
            ),
        )
    sleeps = [step for step in walked.steps if is_sleep(step)]
    if sleeps:
        last = sleeps[-1]
        facts.add(
            "sleep",
            Sleep(
                source=syscall_source(last.call.seq),
                says=f"it slept {len(sleeps)} time{'s' * (len(sleeps) != 1)}",
                cite=c.describe(last.call),
                seq=last.call.seq,
                pid=last.call.pid,
                steps=steps_after.get(last.call.seq, NEVER),
                name=last.call.name,
                count=len(sleeps),
                seconds=sleep_seconds(last.call),
            ),
        )


def is_request(step: Step) -> bool:
    """Tell whether a call sent something to a peer: the kernel (netlink) and the system log are none."""
    if step.operation != "send" or not c.succeeded(step.call):
        return False
    to = f"{step.call.peer or ''} {step.origin.label if step.origin else ''}"
    connected = step.origin.connected if step.origin else ""
    return "netlink" not in to.lower() and not connected.endswith("/dev/log")


_AWAITED = {
    "lock": "a lock",
    "pause": "a signal",
    "connect": "a connection",
    "accept": "a client",
}
"""Operation of a wait -> what ends it; for the others that is input."""


def awaited(step: Step) -> str:
    """Return what a wait waits for, in words."""
    if step.operation != "child_wait":
        return _AWAITED.get(step.operation, "something from outside")
    # waitid(2) has the kind of its number first: P_PID is 1.
    by_kind = step.call.name == "waitid"
    which = c.number(step.call, 1 if by_kind else 0) or 0
    if by_kind and c.argument(step.call, 0) not in ("1", "P_PID"):
        which = 0
    return f"process {which}, which it started, to end" if which > 0 else "a process that it started to end"


_TIME = re.compile(r"tv_sec = (\d{1,12})")


def sleep_seconds(call: Syscall) -> float:
    """Return for how long a call was to sleep, -1 where its arguments do not tell."""
    found = next((match for text in call.arguments if (match := _TIME.search(text))), None)
    return -1.0 if found is None else float(found[1])


def is_sleep(step: Step) -> bool:
    """Tell whether a call only waits for time: nanosleep, or select/poll without descriptors."""
    if step.operation == "sleep":
        return True
    if step.call.name in c.SELECTS:
        return c.number(step.call, 0) == 0
    return step.call.name in ("poll", "ppoll", "ppoll_time64") and c.number(step.call, 1) == 0
