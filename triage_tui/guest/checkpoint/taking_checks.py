"""What only the kernel knows of a guest, and a new process could not be given: each is an `Obstacle`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triage_tui.guest.checkpoint.attributes import TIMERS, real_timer
from triage_tui.guest.checkpoint.changed_files import IdMap
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.host import process, process_state
from triage_tui.runs import process_model
from triage_tui.runs.model import Syscall

if TYPE_CHECKING:
    from triage_tui.guest.supervisor import Guest

_OF_PROCESS = {
    "timer_create": "it has set a timer (timer_create), which only the kernel knows",
    "ptrace": "it traces or is traced",
    "capset": "it has changed its capabilities",
    "setgroups": "it has set supplementary groups",
    "setgroups32": "it has set supplementary groups",
}
"""Calls of the process itself that leave something in the kernel -> what to say."""
_IPC = "it uses System V shared memory, semaphores or messages, which are in its name space and not in it"
_OF_GUEST = {
    **dict.fromkeys(("shmget", "semget", "msgget", "ipc"), _IPC),
    "mq_open": "it uses POSIX message queues, which are in its name space and not in it",
    **dict.fromkeys(
        ("mount", "umount", "umount2", "pivot_root", "move_mount", "fsmount"), "mounts were changed"
    ),
    **dict.fromkeys(("unshare", "setns"), "name spaces were changed"),
    **dict.fromkeys(("sethostname", "setdomainname"), "the name of the host was changed"),
    "seccomp": "it has set a filter on its own calls",
}
"""The same of calls of any process, also one that has ended."""
_CONFIGURES = ("SIOCS", "SIOCD", "SIOCADD", "SIOCBRADD", "SIOCBRDEL")
_CONFIGURES_NOT = frozenset(("SIOCSPGRP", "SIOCDEVPRIVATE"))
"""Requests of netdevice(7) that begin like one that changes something."""


def check_calls(guest: Guest, calls: Sequence[Syscall]) -> None:
    """Check what the calls of a guest have left in the kernel; `calls` are all that are kept.

    Raises:
        Obstacle: it is something that a new one would not have.
    """
    if guest.spec.observe != "full":
        raise Obstacle("it was run with --observe watched, so that it is not known what its calls did to it")
    inner = process.inner_pid(guest.pid)
    own, of_all = _names(calls, inner)
    if not _are_all_known(guest):
        # The names of all kinds of calls are known, but not each call.
        names = {str(signature[0]) for signature in guest.trace.signatures if signature[-1] is None}
        own, of_all = own | names, of_all | names
        if timers := sorted(names & TIMERS):
            raise Obstacle(f"it has set a timer ({timers[0]}), which only the kernel knows")
    found = [why for name, why in _OF_PROCESS.items() if name in own]
    found += [why for name, why in _OF_GUEST.items() if name in of_all]
    if found:
        raise Obstacle(found[0])
    for call in calls:
        request = call.request or ""
        if request.startswith(_CONFIGURES) and _has_done(call) and request not in _CONFIGURES_NOT:
            raise Obstacle(f"the network was configured ({request})")


def _names(calls: Iterable[Syscall], inner: int) -> tuple[set[str], set[str]]:
    """Return the names of the calls that did something: those of process `inner`, and all."""
    did = [call for call in calls if _has_done(call)]
    return {call.name for call in did if call.pid == inner}, {call.name for call in did}


def _has_done(call: Syscall) -> bool:
    """Return whether the kernel did what was asked; what a rule answered, it was not asked."""
    return call.errno is None and call.ret is not None and not call.intercepted


def _are_all_known(guest: Guest) -> bool:
    return not guest.trace.passed_over and not guest.calls_left_out()


def check_status(guest: Guest, fields: Mapping[str, str], calls: Sequence[Syscall]) -> tuple[int, int]:
    """Check signals and ids of a process by its status (proc(5)), and return when its alarm is due.

    In microseconds, and after how many again; (0, 0) where none is.

    Raises:
        Obstacle: a signal is on its way, a timer runs that is not known, or it has other ids.
    """
    pending = [*process_state.mask(fields, "SigPnd"), *process_state.mask(fields, "ShdPnd")]
    timer = real_timer(
        calls,
        process.inner_pid(guest.pid),
        time.monotonic_ns(),
        "SIGALRM" in pending,
        guest.first_timer,
    )
    # What freezes it is ours; its alarm is given to it again.
    for name in pending:
        if name != "SIGSTOP" and not (name == "SIGALRM" and timer[0]):
            raise Obstacle(f"a signal is about to be delivered to it ({name})")
    users, groups = fields.get("Uid", "").split(), fields.get("Gid", "").split()
    kinds = [ids(guest.pid, kind) for kind in ("uid", "gid")]
    found = {kinds[0].inside(int(one)) for one in users} | {kinds[1].inside(int(one)) for one in groups}
    if found != {guest.spec.user}:
        raise Obstacle("it has taken another user or group id than it was started with")
    return timer


def ids(pid: int, kind: str) -> IdMap:
    """Return the map of user ids ("uid") or group ids ("gid") of a process.

    Raises:
        OSError: it is gone.
    """
    return IdMap(Path(f"/proc/{pid}/{kind}_map").read_text())


def check_areas(areas: Iterable[process_model.Mapping]) -> None:
    """Check that each mapping can be had again.

    Raises:
        Obstacle: one cannot.
    """
    for area in areas:
        if area.path and not area.path.startswith("/"):
            raise Obstacle(
                f"the mapping at 0x{area.start:x} is of a kind that is not made again ({area.path})"
            )
        if area.path.endswith(" (deleted)") or area.path.startswith(("/SYSV", "/memfd:")):
            raise Obstacle(f"the mapping at 0x{area.start:x} is of a file without a name")
        if area.path.startswith("/dev/") and not area.path == "/dev/zero":
            raise Obstacle(f"the mapping at 0x{area.start:x} is of a device ({area.path})")
