"""Which calls of the guest the hooks of a rule directory see, and under which names."""

from __future__ import annotations

from triage_tui.guest.arch import Arch, syscalls
from triage_tui.guest.calls.hookable import never_hookable
from triage_tui.guest.calls.served_calls import CLOCKS

NAMED = frozenset(
    str.split(
        "read write open openat close stat fstat lstat poll lseek mmap mprotect munmap brk ioctl access "
        "execve execveat exit exit_group fork clone getpid socket connect accept bind listen"
    )
)
"""Calls whose name SFEmu gives its hooks; of all others they get nil (get_syscall_name of its syscall.c)."""

NEVER_ASKED = frozenset(("futex", "futex_time64", "sched_yield"))
"""Calls that the emulator makes for itself all the time, so that each of a guest with threads would be held
several times over."""


def seen_calls(arch: Arch, logs_calls: bool = True) -> frozenset[str]:
    """Return the calls of `arch` that the hooks see: all that show at the host or in the emulator's log.

    Not seen are those that the emulator answers without a trace, readings of the clock, and `NEVER_ASKED`.
    """
    names = frozenset(syscalls.numbers(arch.syscall_table)) - CLOCKS - NEVER_ASKED
    return names - never_hookable(names, logs_calls)
