"""Have a thread that waits in a notification make its call with other arguments.

Nothing of the call has been executed by then, so it is only set back to its beginning. What it was to be
decided about comes again, as a notification with the new arguments; they are in the thread's host registers,
which nothing of the guest can change.
"""

from __future__ import annotations

import errno
import signal

from triage_tui.guest.host import host_memory, process, seccomp
from triage_tui.guest.host.ptrace import Tracee, TraceeGone
from triage_tui.guest.host.seccomp import Notification


def change_arguments(listener: int, notification: Notification, arguments: tuple[int, ...]) -> None:
    """Answer a notification so that its call is made again with `arguments`.

    Raises:
        OSError: the thread cannot be taken hold of; the notification still has to be answered.
    """
    tid = notification.tid
    try:
        tracee = Tracee(tid)
    except TraceeGone:
        return
    try:
        tracee.interrupt()
        seccomp.answer(listener, notification, -errno.EINTR)
        event = tracee.await_event()
        before = tracee.read_registers()
        where, code = tracee.instruction_before(before)
        if host_memory.read_memory(tid, where, len(code)) != code:
            raise OSError(errno.EFAULT, "the thread is not where it made its system call")
        tracee.write_registers(tracee.with_call(before, notification.nr, arguments))
        tracee.let_go(event.signal)
    except TraceeGone:
        tracee.release(process.process_of(tid) or tid)
    except BaseException as error:
        # It is in an unknown state: what it would do next is not known either.
        process.send_signal(tid, signal.SIGKILL)
        tracee.release(process.process_of(tid) or tid)
        if not isinstance(error, Exception):
            raise
