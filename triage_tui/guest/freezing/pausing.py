"""Stop the processes of a guest where they are, and let them go on, by SIGSTOP and SIGCONT.

The kernel restarts most calls that a stop interrupts by itself. Some end with EINTR instead (signal(7),
"Interruption of system calls by stop signals"); these are begun again before their thread goes on, see
`restarts`.
"""

from __future__ import annotations

import ctypes
import signal
import time
from collections.abc import Callable, Iterable

from triage_tui.guest.freezing import restarts
from triage_tui.guest.host import host_syscalls, process

_PATIENCE_S = 1.0
_LOOK_AGAIN_S = 0.0005
_ROUNDS = 3
"""How often new processes are looked for: one may fork while it is being stopped."""

_libc = ctypes.CDLL(None, use_errno=True)


def stop(pids: Iterable[int]) -> None:
    """Ask processes to stop; see `stop_all` for waiting until they have.

    Each thread is asked by itself. Of a process the kernel would ask one thread to stop the others, and may
    choose one that waits for the supervisor's answer: then none of them would stop.
    """
    number = host_syscalls.numbers()["tgkill"]
    for pid in pids:
        for tid in process.threads(pid):
            _libc.syscall(number, pid, tid, int(signal.SIGSTOP))


def let_go(pids: Iterable[int]) -> None:
    """Let stopped processes go on."""
    for pid in pids:
        restarts.begin_again(pid)
        process.send_signal(pid, signal.SIGCONT)


def stop_all(living: Callable[[], list[int]], stopped: set[int], settle: Callable[[], None]) -> None:
    """Stop all processes that `living` tells of, those forked meanwhile too, and add their pids to `stopped`.

    `settle` returns when a tracer, if there is one, has passed on the stops that it was told of: until then a
    thread stands still before it is really stopped. The set is filled as it goes, so that an exception in
    between loses none that must be let go again.
    """
    for _ in range(_ROUNDS):
        running = [pid for pid in living() if pid not in stopped]
        if not running:
            break
        stopped.update(running)
        stop(running)
        _await_stopped(running)
        settle()
        _await_stopped(running)


def _await_stopped(pids: list[int]) -> None:
    """Wait until no thread of `pids` runs; one that waits for the supervisor's answer counts as stopped.

    So does one in an uninterruptible sleep: it stops before the guest's next instruction.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        states = [process.thread_state(pid, tid) for pid in pids for tid in process.threads(pid)]
        if all(state is None or state.state not in "RS" for state in states):
            return
        time.sleep(_LOOK_AGAIN_S)
