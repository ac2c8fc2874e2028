"""The main process of a guest that goes on without it: what is known of a process that is gone.

Its registers, memory and descriptors went with it. What is left is what the supervisor knows: who it was,
what it was executing, its wait status, and the call that killed it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from triage_tui.guest.freezing.senders import sender_of
from triage_tui.guest.host.signals import signal_name
from triage_tui.runs.process_model import Process
from triage_tui.text import recordable

if TYPE_CHECKING:
    from triage_tui.guest.state.views import FrozenViews


def ended_main(guest: FrozenViews, living: Collection[int]) -> Process | None:
    """Return the main process where it is not among the `living` (ids as the guest sees them) any more."""
    main = guest.processes_known.main
    if main is None or main.inner in living:
        return None
    program = main.program
    return Process(
        pid=main.inner,
        parent=main.parent,
        program=recordable(program.path),
        argv=[recordable(argument) for argument in program.argv],
        arch=program.arch.name,
        ended=_how(guest, main.inner),
    )


def _how(guest: FrozenViews, pid: int) -> str:
    """Say how a process (its id as the guest sees it) ended, as far as it is known."""
    status = guest.wait_status(pid)
    if status is None:
        return "ended, and how is not known"
    if not os.WIFSIGNALED(status):
        return f"ended with code {os.waitstatus_to_exitcode(status)}"
    name = signal_name(os.WTERMSIG(status))
    call = sender_of(guest.trace.history, pid, name, os.WTERMSIG(status))
    if call is None:
        return f"killed by {name}"
    by = "it" if call.pid == pid else f"process {call.pid}"
    return f"killed by {name}, which {by} sent with {call.name} (syscall {call.seq})"
