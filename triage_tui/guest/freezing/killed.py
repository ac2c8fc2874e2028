"""The main process was killed: by which signal, and by whom.

SIGKILL kills a process where it is: it makes no further call and the emulator has no chance to tell. What is
left is its wait status, which the cell's init has, and the call that sent the signal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from triage_tui.guest.freezing.senders import number_of, sender_of
from triage_tui.guest.freezing.stops import Stop, make_trigger
from triage_tui.guest.host import process
from triage_tui.guest.host.signals import signal_name

if TYPE_CHECKING:
    from triage_tui.guest.supervisor import Guest
    from triage_tui.runs.model import Syscall


_OF_FAILURES = frozenset(("SIGABRT", "SIGSEGV", "SIGBUS", "SIGILL", "SIGTRAP"))
"""What an emulator may die of that failed."""


def _last_of(guest: Guest, pid: int) -> Syscall | None:
    """Return the last call of the process `pid` (as the guest sees it): others may have gone on."""
    return next((call for call in reversed(guest.trace.history) if call.pid == pid), None)


def killed_stop(guest: Guest, pid: int, number: int, *, ended: bool) -> Stop:
    """Return the stop of a guest whose main process `pid` (as it sees it) was killed by the signal `number`.

    `ended`: nothing of the guest is left.
    """
    name = signal_name(number)
    call = sender_of(guest.trace.history, pid, name, number)
    failure = guest.emulators_words() if call is None and name in _OF_FAILURES else ""
    if failure:
        trigger = make_trigger(_last_of(guest, pid), f"the emulator failed: {failure}")
        trigger.pid, trigger.ended = pid, True
        return Stop("emulator", trigger, ended=ended)
    if call is None:
        trigger = make_trigger(_last_of(guest, pid), f"killed by {name}")
        trigger.pid = pid
    else:
        by = "it sent itself" if call.pid == pid else f"process {call.pid} sent"
        trigger = make_trigger(call, f"process {pid} was killed by {name}, which {by} with {call.name}")
        trigger.pid, trigger.sender = pid, call.pid
        # Its registers may be those of a later call by now, so they say nothing of its arguments.
        known = [number_of(text) for text in call.arguments]
        trigger.args = trigger.args or [number if value is None else value for value in known]
    trigger.signal, trigger.ended = name, True
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
    last = None if main is None else _last_of(guest, main.inner)
    if main is None or status is None:
        return Stop("unknown", make_trigger(last, "the guest is gone"), ended=True)
    if os.WIFSIGNALED(status):
        return killed_stop(guest, main.inner, os.WTERMSIG(status), ended=True)
    code = os.waitstatus_to_exitcode(status)
    trigger = make_trigger(last, f"ended with code {code}")
    trigger.pid, trigger.exit_code, trigger.ended = main.inner, code, True
    return Stop("exit", trigger, ended=True, exit_code=code)
