"""What the kernel and the emulator know of a process beside its memory and its files.

Its name, priority, limits, root directory, the stack of its signal handlers, and when its alarm is due: taken
from a frozen guest, and given to one that goes on from there.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from triage_tui.guest.checkpoint.injecting import Injector
from triage_tui.guest.checkpoint.model import Attributes
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.checkpoint.task_state import set_handler_stack
from triage_tui.guest.host import process
from triage_tui.runs.model import Syscall

if TYPE_CHECKING:
    from triage_tui.guest.supervisor import Guest

TIMERS = frozenset(("alarm", "setitimer"))
_VALUE = re.compile(
    r"\{it_interval=\{tv_sec = (\d+),tv_usec = (\d+)\},it_value=\{tv_sec = (\d+),tv_usec = (\d+)\}"
)
"""An itimerval as QEMU's log has it (linux-user/strace.c)."""
_SECOND = 1_000_000
_PR_SET_NAME = 15
_PRCTL = frozenset((1, 8, 29, 38))
"""Requests of prctl(2) that set a number: PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_TIMERSLACK and
PR_SET_NO_NEW_PRIVS."""
_LIMITS = 16
"""Numbers of limits, getrlimit(2)."""


def take_attributes(guest: Guest, env: int, timer: tuple[int, int], calls: Iterable[Syscall]) -> Attributes:
    """Return those of a frozen guest, whose first general register is at the host address `env`.

    `timer` is when its alarm is due, `calls` are all of its calls that are kept.

    Raises:
        OSError: it is gone.
    """
    pid = guest.pid
    known = guest.processes_known.by_pid[pid]
    state = guest.task_state
    limits = own_limits(pid)
    return Attributes(
        name=os.fsdecode(_name(pid)),
        nice=os.getpriority(os.PRIO_PROCESS, pid),
        root=os.fsdecode(os.fsencode(os.readlink(f"/proc/{pid}/root"))),
        handler_stack=state.handler_stack(pid, env, guest.arch) if state is not None else (0, 0),
        limits={
            number: limits[number]
            for number in limits
            if number not in known.limits.wishes and limits[number] != guest.first_limits.get(number)
        },
        wishes=dict(known.limits.wishes),
        timer=timer,
        prctl=_requests(calls, process.inner_pid(pid)),
    )


def _requests(calls: Iterable[Syscall], inner: int) -> dict[int, int]:
    """Return what process `inner` has asked of prctl(2)."""
    asked = [call.arguments[:2] for call in calls if call.name == "prctl" and call.pid == inner]
    numbers = [
        tuple(map(int, words)) for words in asked if len(words) == 2 and all(map(str.isdecimal, words))
    ]
    return {option: value for option, value in numbers if option in _PRCTL}


def _name(pid: int) -> bytes:
    with open(f"/proc/{pid}/comm", "rb") as file:
        return file.read(64).removesuffix(b"\n")


def own_limits(pid: int) -> dict[int, tuple[int, int]]:
    """Return the limits that the host has for a process: number -> soft, hard.

    Raises:
        OSError: it is gone.
    """
    mask = (1 << 64) - 1
    found = {}
    for number in range(_LIMITS):
        # Of descriptors the emulator has some of its own.
        if number != resource.RLIMIT_NOFILE:
            soft, hard = resource.prlimit(pid, number)
            found[number] = soft & mask, hard & mask
    return found


def real_timer(
    calls: Iterable[Syscall],
    inner: int,
    now_ns: int,
    pending: bool,
    before: tuple[int, int, int],
) -> tuple[int, int]:
    """Return when the timer of process `inner` is due that sends SIGALRM, and after how long again.

    Microseconds, (0, 0) where it does not run. `calls` are all that were made since the timer was as `before`
    says: at which time (nanoseconds), in how many microseconds it was due, and after how many again.
    `pending` says that its signal is about to be delivered.

    Raises:
        Obstacle: a timer of another kind runs, or how it was set is not known.
    """
    set_ns, left, interval = before
    for call in calls:
        if call.name not in TIMERS or call.pid != inner or call.errno is not None or call.intercepted:
            continue
        if call.ret is None:
            continue
        words = call.arguments
        if call.name == "alarm":
            left, interval = int(words[0]) * _SECOND if words and words[0].isdecimal() else 0, 0
        else:
            found = _VALUE.match(words[1]) if len(words) > 1 else None
            if len(words) > 1 and words[1] in ("NULL", "0"):
                continue
            if found is None:
                raise Obstacle("it has set a timer (setitimer), and how is not known")
            numbers = [int(text) for text in found.groups()]
            due, again = numbers[2] * _SECOND + numbers[3], numbers[0] * _SECOND + numbers[1]
            if words[0] != "ITIMER_REAL":
                if due:
                    raise Obstacle(f"it has set a timer ({words[0]}), which only the kernel knows")
                continue
            left, interval = due, again if due else 0
        set_ns = call.ts_mono_ns
    if not left:
        return 0, 0
    gone = max(0, (now_ns - set_ns) // 1000)
    if pending:
        return 1, interval
    if gone < left:
        return left - gone, interval
    return (interval - (gone - left) % interval, interval) if interval else (0, 0)


def give_attributes(injector: Injector, pid: int, attributes: Attributes) -> None:
    """Give a guest, in whose place `injector` makes calls, what is set by calls of its own.

    Its directory becomes that of its root: it is to be set before.

    Raises:
        TriageError: something cannot be had again.
        OSError: it is gone.
    """
    arch = injector.arch
    if os.fsencode(attributes.name) != _name(pid):
        set_name(injector, attributes.name)
    for option, value in attributes.prctl.items():
        injector.call("prctl", option, value)
    if attributes.root != "/":
        injector.call("chroot", injector.put(os.fsencode(attributes.root) + b"\0"))
    if attributes.handler_stack[1]:
        set_handler_stack(injector, *attributes.handler_stack)
    left, interval = attributes.timer
    if left:
        values = (interval // _SECOND, interval % _SECOND, left // _SECOND, left % _SECOND)
        words = b"".join(value.to_bytes(arch.word, arch.endian) for value in values)
        injector.call("setitimer", 0, injector.put(words), 0)


def set_name(injector: Injector, name: str) -> None:
    """Name the thread in whose place calls are made.

    Raises:
        TriageError: it cannot be named.
    """
    injector.call("prctl", _PR_SET_NAME, injector.put(os.fsencode(name)[:15] + b"\0"))


def limit(pid: int, attributes: Attributes) -> None:
    """Give the process that a guest runs in its priority, and the limits that the host knows of.

    What may not be had here is left as it is: it was had there by the same guest.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, attributes.nice)
    for number, (soft, hard) in attributes.limits.items():
        with suppress(OSError, ValueError):
            resource.prlimit(pid, number, (_signed(soft), _signed(hard)))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def check_attributes(attributes: Attributes) -> Sequence[str]:
    """Return what is wrong with attributes from elsewhere, one sentence each."""
    wrong = []
    limits = [*attributes.limits.items(), *attributes.wishes.items()]
    numbers, values = [number for number, _ in limits], [value for _, both in limits for value in both]
    if "\0" in attributes.name or len(attributes.name) > _LIMITS or not is_encodable(attributes.name):
        wrong.append("its name is none")
    if not _PRCTL.issuperset(attributes.prctl) or not all(
        0 <= one < 1 << 64 for one in attributes.prctl.values()
    ):
        wrong.append("a request of it to prctl is none")
    if not -20 <= attributes.nice < 20:
        wrong.append("its priority is none")
    if not all(0 <= number < _LIMITS for number in numbers) or not all(0 <= one < 1 << 64 for one in values):
        wrong.append("one of its limits is none")
    if not all(0 <= one < 1 << 63 for one in (*attributes.handler_stack, *attributes.timer)):
        wrong.append("a stack or a timer of it is none")
    return wrong


def is_encodable(text: str) -> bool:
    """Return whether a text stands for bytes: surrogates only in the place of bytes that are no UTF-8."""
    try:
        os.fsencode(text)
    except UnicodeError:
        return False
    return True
