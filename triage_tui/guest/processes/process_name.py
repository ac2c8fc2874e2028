"""Give a process the name that its program has on a device: what `ps`, `pidof` and `killall` go by.

The kernel names a process after the file that it executes (/proc/<pid>/comm, TASK_COMM_LEN of
linux/sched.h), which is the emulator. Only the process itself can change that (PR_SET_NAME of prctl(2)), so a
thread that waits in a notification is made to do it, and then makes its own call again.
"""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Callable

from triage_tui.guest.host import host_memory, host_syscalls, process, seccomp
from triage_tui.guest.host.ptrace import Event, Tracee, TraceeGone
from triage_tui.guest.host.seccomp import Notification

_PR_SET_NAME = 15
_SIZE = 16
_RED_ZONE = 256
"""Bytes below the stack pointer that compilers may use (System V psABI: 128 on x86-64)."""


def name_of(path: str) -> bytes:
    """Return the name that executing `path` gives a process."""
    return os.fsencode(path).rsplit(b"/", 1)[-1][: _SIZE - 1]


def give_name(
    listener: int, notification: Notification, name: bytes, defer: Callable[[Notification], None]
) -> bool:
    """Name the process whose first thread waits with `notification`.

    True: the call will be made again, with a notification of its own. False: nothing was done, and the
    notification still has to be answered. Notifications of others that come meanwhile go to `defer`.

    Raises:
        OSError: it could not be done, and the process was killed.
    """
    tid = notification.tid
    try:
        tracee = Tracee(tid)
    except OSError:
        return False
    except TraceeGone:
        return True
    try:
        tracee.interrupt()
        seccomp.answer(listener, notification, -errno.EINTR)
        event = tracee.await_event()
        before = tracee.read_registers()
        mask = tracee.hold_signals()
        if event.kind == "asked":
            address = (tracee.stack_pointer(before) - _RED_ZONE - _SIZE) & ~(_SIZE - 1)
            host_memory.write_memory(tid, address, name.ljust(_SIZE, b"\0"))
            number = host_syscalls.numbers()["prctl"]
            tracee.write_registers(tracee.with_call(before, number, (_PR_SET_NAME, address, 0, 0, 0)))
            tracee.resume()
            event = tracee.await_event()
            if event.kind == "call":
                tracee.resume()
                event = _await_end(listener, tracee, defer)
        tracee.write_registers(tracee.with_call(before, notification.nr, notification.args))
        tracee.set_signal_mask(mask)
        tracee.let_go(event.signal)
    except TraceeGone:
        tracee.release(tid)
    except BaseException:
        # It is in an unknown state: what it would do next is not known either.
        process.send_signal(tid, signal.SIGKILL)
        tracee.release(tid)
        raise
    return True


def _await_end(listener: int, tracee: Tracee, defer: Callable[[Notification], None]) -> Event:
    """Wait for the end of the thread's call, which the filter may show us as well."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        if poll.poll(0):
            notification = seccomp.receive(listener)
            if notification is not None and notification.tid == tracee.tid:
                seccomp.proceed(listener, notification)
            elif notification is not None:
                defer(notification)
        event = tracee.poll_event(0.0005)
        if event is not None:
            return event
