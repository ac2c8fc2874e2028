"""Keep a guest's processes from being told that their children are stopped and go on.

A freeze stops all of them by SIGSTOP, and a parent that handles SIGCHLD would get that signal for each child
when it goes on, and EINTR with it. The kernel sends none to a process that has set SA_NOCLDSTOP
(sigaction(2)); QEMU does not pass a guest's own SA_NOCLDSTOP on. waitpid with WUNTRACED works as before;
a guest that stops its own children is not sent SIGCHLD for that.
"""

from __future__ import annotations

import contextlib
import signal
import struct

from triage_tui.guest.host import host_memory
from triage_tui.guest.host.seccomp import Notification, Watch

CALL = "rt_sigaction"
WATCH = Watch(CALL, 0, int(signal.SIGCHLD))
_NO_CHILD_STOP = 1
_FLAGS_OFFSET = 8
"""Of sa_flags in the structure that x86-64 and arm64 kernels read."""


def hide(notification: Notification) -> None:
    """Add the flag to a handler that the emulator is about to install; it is still to be installed."""
    which, action = notification.args[:2]
    if which & 0xFFFFFFFF != signal.SIGCHLD or action == 0:
        return
    with contextlib.suppress(OSError, struct.error):
        (flags,) = struct.unpack("=Q", host_memory.read_memory(notification.tid, action + _FLAGS_OFFSET, 8))
        changed = struct.pack("=Q", flags | _NO_CHILD_STOP)
        host_memory.write_memory(notification.tid, action + _FLAGS_OFFSET, changed)
