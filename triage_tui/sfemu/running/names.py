"""Which calls of the guest the hooks of a rule directory see; `NAMED` are those whose names they get."""

from __future__ import annotations

from triage_tui.guest.arch import Arch, syscalls
from triage_tui.guest.calls.hookable import never_hookable
from triage_tui.guest.calls.served_calls import CLOCKS
from triage_tui.sfemu.asked import NAMED as NAMED

NEVER_ASKED = frozenset(("futex", "futex_time64", "sched_yield"))
"""Calls that the emulator makes for itself all the time, so that each of a guest with threads would be held
several times over."""


def seen_calls(arch: Arch, logs_calls: bool = True) -> frozenset[str]:
    """Return the calls of `arch` that the hooks see: all that show at the host or in the emulator's log.

    Not seen are those that the emulator answers without a trace, readings of the clock, and `NEVER_ASKED`.
    """
    names = frozenset(syscalls.numbers(arch.syscall_table)) - CLOCKS - NEVER_ASKED
    return names - never_hookable(names, logs_calls)
