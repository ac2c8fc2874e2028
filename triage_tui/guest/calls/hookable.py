"""Which calls a rule can still hook in a guest that runs: the filter of a process cannot be widened."""

from __future__ import annotations

from collections.abc import Iterable

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.calls.served_calls import CLOCKS, is_told, may_be_told
from triage_tui.guest.cell import policy
from triage_tui.guest.freezing.triggers import CallTrigger
from triage_tui.guest.host import host_syscalls
from triage_tui.runs.model import Syscall

_ALWAYS = frozenset(policy.HOOKABLE.split()) | frozenset(
    ("ioctl", "exit_group", "exit", "kill", "clone", "fork", "vfork", "sendmsg")
)


_INSIDE = frozenset(
    str.split(
        "brk clock_getres clock_getres_time64 rt_sigprocmask sigprocmask sgetmask ssetmask sigaltstack "
        "rt_sigreturn sigreturn set_tid_address set_thread_area get_thread_area set_tls get_tls arch_prctl "
        "cacheflush riscv_flush_icache"
    )
)
"""Guest calls that the emulator answers without a host call, or by one that means something else."""


def never_hookable(names: Iterable[str], logs_calls: bool = True) -> set[str]:
    """Return those guest syscalls of `names` that no rule is ever asked about, on this host.

    `logs_calls`: the emulator logs the guest's calls.
    """
    known = host_syscalls.numbers().keys()
    return {
        name
        for name in names
        if name in _INSIDE
        or (name in CLOCKS and not logs_calls)
        or (policy.host_names(name).isdisjoint(known) and not may_be_told(name, logs_calls))
    }


def check_chosen(calls: Iterable[CallTrigger], observe: str) -> None:
    """Refuse to stop in front of calls that nothing would show.

    Where calls are logged, the log tells of those that the emulator serves by itself.

    Raises:
        TriageError: there are such.
    """
    if observe == "full":
        return
    if unseen := never_hookable((trigger.name for trigger in calls if not trigger.errno), logs_calls=False):
        raise TriageError(
            f"the emulator serves {', '.join(sorted(unseen))} by itself, which only its log shows: "
            "stop there without --observe watched"
        )


def not_hookable(
    names: Iterable[str],
    hooked: Iterable[str],
    first: Arch,
    running: Iterable[Arch],
    history: Iterable[Syscall],
) -> set[str]:
    """Return those guest syscalls of `names` that rules cannot hook without a new start.

    `hooked` are those that were hooked at the start, when a program of `first` was; `running` are the
    architectures of the programs that run now, `history` are the newest calls.
    """
    seen = set(_ALWAYS)
    if not _failed_to_list(history):
        seen |= set(policy.OPENS)
    for name in hooked:
        seen |= policy.host_names(name)
    unseen = {name for name in names if not policy.host_names(name) & seen}
    now, at_start = tuple(running), frozenset(hooked)
    return {name for name in unseen if not is_told(first, name, at_start, now)}


def _failed_to_list(history: Iterable[Syscall]) -> bool:
    """Return whether the guest lately failed to open a directory: rules may be about that."""
    failed = (call for call in history if call.errno is not None)
    return any("O_DIRECTORY" in argument for call in failed for argument in call.arguments[1:3])
