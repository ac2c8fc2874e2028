"""The main process was killed: by which signal, and by whom.

SIGKILL kills a process where it is: it makes no further call and the emulator has no chance to tell. What is
left is its wait status, which the cell's init has, and the call that sent the signal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from triage_tui.guest.freezing.stops import Stop, make_trigger
from triage_tui.guest.host import process
from triage_tui.guest.host.signals import signal_name
from triage_tui.runs.model import Syscall

if TYPE_CHECKING:
    from triage_tui.guest.supervisor import Guest

_SENDS = {"kill": 1, "tkill": 1, "tgkill": 2, "rt_sigqueueinfo": 1, "rt_tgsigqueueinfo": 2}
"""Call that sends a signal -> which of its arguments is the signal; the first is the process."""


def _number(text: str) -> int | None:
    try:
        value = int(text, 0)
    except ValueError:
        return None
    return value - (1 << 32) if 1 << 31 <= value < 1 << 32 else value


def sender_of(history: Iterable[Syscall], pid: int, signal: str, number: int) -> Syscall | None:
    """Return the last call that sent the process `pid` the signal; both are as the guest sees them.

    `number` is that of the signal, for calls whose arguments are known as numbers only. A call that named
    the process is preferred to one that was for a group or for all.
    """
    to_group: Syscall | None = None
    for call in reversed(list(history)):
        place = _SENDS.get(call.name)
        if place is None or call.errno or len(call.arguments) <= place:
            continue
        sent = call.arguments[place]
        if sent != signal and _number(sent) != number:
            continue
        whom = _number(call.arguments[0])
        if whom == pid:
            return call
        if to_group is None and whom is not None and whom <= 0:
            to_group = call
    return to_group


def killed_stop(guest: Guest, pid: int, number: int, *, ended: bool) -> Stop:
    """Return the stop of a guest whose main process `pid` (as it sees it) was killed by the signal `number`.

    `ended`: nothing of the guest is left.
    """
    name = signal_name(number)
    call = sender_of(guest.trace.history, pid, name, number)
    if call is None:
        last = guest.trace.history[-1] if guest.trace.history else None
        trigger = make_trigger(last, f"killed by {name}", pid=pid)
    else:
        by = "it sent itself" if call.pid == pid else f"process {call.pid} sent"
        trigger = make_trigger(call, f"process {pid} was killed by {name}, which {by} with {call.name}")
        trigger.pid, trigger.sender = pid, call.pid
        # Its registers may be those of a later call by now, so they say nothing of its arguments.
        known = [_number(text) for text in call.arguments]
        trigger.args = trigger.args or [number if value is None else value for value in known]
    trigger.signal = name
    return Stop("signal", trigger, ended=ended, signal=name)


def main_killed(guest: Guest) -> Stop | None:
    """Return the stop of a guest whose main process was killed while others of it go on, None otherwise."""
    main = guest.processes_known.main
    if main is None or main.exiting or "signal" in guest.spec.triggers.off:
        return None
    status = guest.wait_status(main.inner)
    if status is None or not os.WIFSIGNALED(status) or process.threads(main.pid):
        return None
    guest.trace.drain_all(complete=True)
    return killed_stop(guest, main.inner, os.WTERMSIG(status), ended=False)


def gone(guest: Guest) -> Stop:
    """Return the stop of a guest that ended without being held at its exit."""
    main = guest.processes_known.main
    status = guest.wait_status(main.inner) if main is not None else None
    last = guest.trace.history[-1] if guest.trace.history else None
    if main is None or status is None:
        return Stop("unknown", make_trigger(last, "the guest is gone"), ended=True)
    if os.WIFSIGNALED(status):
        return killed_stop(guest, main.inner, os.WTERMSIG(status), ended=True)
    code = os.waitstatus_to_exitcode(status)
    trigger = make_trigger(last, f"ended with code {code}")
    trigger.exit_code = code
    return Stop("exit", trigger, ended=True, exit_code=code)
