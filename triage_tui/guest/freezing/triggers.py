"""When a guest is to be frozen: the limits of each trigger, and the calls that a person chose."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable
from typing import Literal, get_args

import msgspec
from msgspec.structs import replace

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch, syscalls
from triage_tui.guest.cell.policy import host_names
from triage_tui.runs import errnos
from triage_tui.runs.model import Syscall

MAX_PERIOD = 64
"""Longest sequence that may be looked for."""
_MAX_SECONDS = 1e9

Switchable = Literal["exit", "signal", "loop", "sleep_loop", "idle"]
"""Triggers that can be switched off, by the reason that they give a stop."""
_ALONE = frozenset(("munmap", "exit", "exit_group"))
"""Calls that are seen through the host call of another one, which does something else."""
_SETS, _GETS = frozenset(("setrlimit",)), frozenset(("getrlimit", "ugetrlimit"))
SWITCHABLE: tuple[Switchable, ...] = get_args(Switchable)


class CallTrigger(msgspec.Struct, frozen=True):
    """A call at which the guest is to be frozen.

    Without `errno` it is frozen in front of the call, with it at the call's return with that error ("*": any
    error), before the program sees it. `name` and `about` may hold the wildcards of fnmatch(3).
    """

    name: str
    errno: str = ""
    about: str = ""
    """What the call must be about: its path, peer, interface or ioctl request; "" for anything."""

    def names(self, call: str) -> bool:
        """Tell whether the guest syscall `call` is meant; open also means openat, and so on."""
        if any(letter in self.name for letter in "*?["):
            return fnmatch.fnmatchcase(call, self.name)
        both = {call, self.name}
        if len(both) > 1 and (both & _ALONE or (both & _SETS and both & _GETS)):
            return False
        return call == self.name or bool(host_names(call) & host_names(self.name))

    def is_about(self, call: Syscall) -> bool:
        """Tell whether what `call` is about is meant."""
        number = call.arguments[1] if call.name == "ioctl" and len(call.arguments) > 1 else None
        objects = (call.path, call.peer, call.interface, call.request, number)
        return not self.about or any(
            text is not None and fnmatch.fnmatchcase(text, self.about) for text in objects
        )

    def fails(self, call: Syscall, errno: str | None) -> bool:
        """Tell whether `call` failing with `errno` is the trigger."""
        if not self.errno or not errno or self.errno not in ("*", errno):
            return False
        return self.names(call.name) and self.is_about(call)

    def __str__(self) -> str:
        """Return the form that `parse_call_trigger` reads."""
        return ":".join(filter(None, (self.name, self.errno or ("" if not self.about else "-"), self.about)))


_NAME = re.compile(r"[a-z_*?\[][a-z0-9_*?\[\]-]*")
_ERRNO = re.compile(r"E[A-Z0-9]{1,20}|\*")


def parse_call_trigger(text: str) -> CallTrigger:
    """Read NAME, NAME:ERRNO or NAME:ERRNO:ABOUT; ERRNO "-" freezes in front of the call.

    Raises:
        TriageError: it is none of these.
    """
    name, _, rest = text.partition(":")
    errno, _, about = rest.partition(":")
    errno = "" if errno == "-" else errno
    if not _NAME.fullmatch(name) or (errno and not _ERRNO.fullmatch(errno)):
        raise TriageError(
            f"{text[:80]!r} names no call to stop at: say NAME, NAME:ERRNO or NAME:ERRNO:PATTERN, "
            "as connect:ECONNREFUSED or openat:ENOENT:/etc/*"
        )
    if not errno and not name.replace("_", "").isalnum():
        raise TriageError(f"{text[:80]!r}: a pattern of calls needs an error, as {name[:40]}:*")
    return CallTrigger(name, errno, about)


class TriggerLimits(msgspec.Struct, frozen=True):
    """When to freeze a guest. Times are seconds of real time."""

    loop_repeats: int = 64
    """Rounds of one syscall sequence that make a loop."""
    loop_calls: int = 256
    """Calls that these rounds must have in all: short sequences need more rounds."""
    loop_span_s: float = 30.0
    """Time within which these rounds must happen: what repeats more slowly is no loop."""
    sleep_repeats: int = 3
    """Rounds that make a loop when there is a sleep in them."""
    sleep_span_s: float = 60.0
    """Time within which these rounds must happen: who sleeps longer has nothing to do."""
    max_period: int = 16
    """Longest sequence that is looked for, in calls."""
    idle_s: float = 3.0
    """No syscall for so long: blocked or spinning."""
    sleep_patience: float = 4.0
    """Who does nothing but sleep is idle after so many times `idle_s`: it may go round slowly. Who sleeps now
    and then, and makes only calls that it made before, goes round after the same time."""
    grace_s: float = 1.0
    """How long a loop or an idle state must go on after it was noticed, and after the service was probed."""
    stable_s: float = 0.0
    """How long a service that has answered twice must go on before it is asked for the last time."""
    time_limit_s: float = 60.0
    calls: tuple[CallTrigger, ...] = ()
    """Calls at which a person wants it frozen."""
    off: frozenset[Switchable] = frozenset()
    """Triggers that are switched off."""

    @property
    def routine_s(self) -> float:
        """How long a thread that sleeps must have made no new kind of call to go round."""
        return self.idle_s * self.sleep_patience

    def check(self) -> None:
        """Refuse limits that are none.

        Raises:
            TriageError: a time that is no time, or a number that is too small or too large.
        """
        for what, seconds in (
            ("time limit", self.time_limit_s),
            ("idle time", self.idle_s),
            ("time span of a loop", self.loop_span_s),
            ("time span of a sleep loop", self.sleep_span_s),
            ("patience with sleepers", self.sleep_patience),
        ):
            if not 0 < seconds <= _MAX_SECONDS:
                raise TriageError(f"the {what} must be a number of seconds above 0, not {seconds:g}")
        for what, seconds in (
            ("time of grace", self.grace_s),
            ("time for which a service is to be stable", self.stable_s),
        ):
            if not 0 <= seconds <= _MAX_SECONDS:
                raise TriageError(f"the {what} must be 0 or more seconds, not {seconds:g}")
        if not 1 <= self.max_period <= MAX_PERIOD:
            raise TriageError(
                f"the longest sequence must have 1 to {MAX_PERIOD} calls, not {self.max_period}"
            )
        for what, rounds in (("loop", self.loop_repeats), ("sleep loop", self.sleep_repeats)):
            if rounds < 2:
                raise TriageError(f"a {what} needs at least 2 rounds, not {rounds}")
        if self.loop_calls < 0:
            raise TriageError(f"the calls of a loop must be 0 or more, not {self.loop_calls}")


def resolve_calls(calls: Iterable[CallTrigger], arch: Arch) -> tuple[CallTrigger, ...]:
    """Return the triggers in the words that the records of guests of `arch` use.

    Raises:
        TriageError: the architecture has no such syscall, or no such error.
    """
    known = syscalls.numbers(arch.syscall_table)
    resolved = []
    for trigger in calls:
        if not any(trigger.names(name) for name in known):
            raise TriageError(f"{arch.name} has no syscall {trigger.name!r}, so nothing can stop there")
        if trigger.errno not in ("", "*"):
            number = arch.errno_number(trigger.errno)
            name = None if number is None else arch.errno_name(number)
            if name is None:
                raise TriageError(f"{arch.name} has no error {trigger.errno!r}, so nothing can stop at it")
            trigger = replace(trigger, errno=name)
        resolved.append(trigger)
    return tuple(resolved)


def failure_text(arch: Arch, errno: str) -> bytes:
    """Return what QEMU's log says of a call that failed with `errno`.

    See print_syscall_err of linux-user/strace.c. The text is written in one piece,
    after the call was executed and before the guest has its result.
    """
    number = arch.errno_number(errno) or 0
    return f"-1 errno={number} ({os.strerror(arch.to_host(number))})".encode()


def failure_lengths(calls: Iterable[CallTrigger], arch: Arch) -> frozenset[int]:
    """Return the lengths of the log's texts at which a chosen failure may be under way."""
    names: set[str] = set()
    for trigger in calls:
        names |= set(errnos.numbers(arch.errno_kind)) if trigger.errno == "*" else {trigger.errno} - {""}
    return frozenset(len(failure_text(arch, errno)) for errno in names)
