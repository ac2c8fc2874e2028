"""What rules answered or supplied in a run, and what of its state rests on nothing else."""

from __future__ import annotations

import re
from collections import Counter

import msgspec

from triage_tui.diagnosis.calls import descriptor, number
from triage_tui.runs.call_signatures import subject
from triage_tui.runs.model import AT_START, SFEMU_LAYER, Syscall
from triage_tui.runs.reader import Run

_MADE_UP = frozenset(("open", "openat", "openat2", "creat", "connect"))
"""Calls after which a descriptor is what the rule made of it, whether it answered or helped."""
_GIVEN = frozenset(("socket", "accept", "accept4"))
"""Calls whose descriptor is made up only where the rule answered them itself."""
_CLAIMED = frozenset(("bind", "listen"))
"""Calls that say something untrue of a descriptor where the rule answered them, and nobody can reach it."""
_OPENS = frozenset(("open", "openat", "openat2", "creat", "socket", "accept", "accept4"))
_ON_SOCKETS = frozenset(
    [
        "accept", "accept4", "bind", "listen", "connect", "read", "write", "recv", "recvfrom", "recvmsg",
        "send", "sendto", "sendmsg", "shutdown", "getpeername", "getsockname", "getsockopt", "poll", "ppoll",
        "ppoll_time64", "epoll_ctl",
    ]
)  # fmt: skip
_POLLED = re.compile(r"\bfd\s*=\s*(\d{1,6})")


class Faked(msgspec.Struct):
    """What of one run rests on rules."""

    calls: int = 0
    """Recorded calls that a rule answered or helped with."""
    descriptors: dict[tuple[int, int], Syscall] = msgspec.field(default_factory=dict)
    """(process, descriptor) -> the call by which a rule made it up, of those open at the end."""
    consequences: set[int] = msgspec.field(default_factory=set)
    """Calls of the program's own on a socket that a rule made up."""
    watched: dict[tuple[int, int], set[int]] = msgspec.field(default_factory=dict)
    """(process, epoll instance) -> the descriptors in it."""


def look_at(run: Run) -> Faked:
    """Return what of a run rests on rules."""
    found = Faked()
    sockets: set[tuple[int, int]] = set()
    is_reached = bool(run.snapshot.statistics.listening)
    for call in run.trace():
        found.calls += call.rule is not None
        fd = descriptor(call)
        made = (
            (call.pid, call.ret) if call.name in _OPENS and call.ret is not None and call.ret >= 0 else None
        )
        if made is not None and call.rule is None:
            found.descriptors.pop(made, None)
            sockets.discard(made)
        if call.name == "close" and fd is not None:
            found.descriptors.pop((call.pid, fd), None)
            sockets.discard((call.pid, fd))
        elif call.name == "epoll_ctl" and fd is not None and (other := number(call, 2)) is not None:
            found.watched.setdefault((call.pid, fd), set()).add(other)
        if call.rule is None:
            if fd is not None and (call.pid, fd) in sockets and call.name in _ON_SOCKETS:
                found.consequences.add(call.seq)
            continue
        place = made or ((call.pid, fd) if fd is not None else None)
        if place is None or call.errno:
            continue
        if call.name in _MADE_UP or (call.name in _GIVEN and call.intercepted):
            found.descriptors.setdefault(place, call)
            if call.name == "connect" or call.name in _GIVEN:
                sockets.add(place)
        elif call.name in _CLAIMED and call.intercepted and not is_reached:
            sockets.add(place)
    return found


def made_up_wait(run: Run, faked: Faked) -> Syscall | None:
    """Return the call by which a rule made up all that the program waits for at the end, None where it is
    not so or not known."""
    trigger = run.snapshot.trigger
    call = run.syscall(trigger.seq)
    if run.snapshot.reason != "idle" or call is None or call.name != trigger.syscall_name:
        return None
    fd = descriptor(call)
    polled = {int(text) for text in _POLLED.findall(" ".join(call.arguments))}
    if call.name.startswith("epoll"):
        polled = faked.watched.get((call.pid, fd), set()) if fd is not None else set()
    elif not call.name.startswith(("poll", "ppoll")):
        polled = {fd} if fd is not None else set()
    found = [faked.descriptors.get((call.pid, one)) for one in polled]
    return found[0] if found and None not in found else None


def claimed_to_listen(run: Run) -> Syscall | None:
    """Return the call in which a rule told the program that it listens, where nobody can reach it."""
    if run.snapshot.statistics.listening:
        return None
    return next((call for call in run.trace() if call.name == "listen" and call.intercepted), None)


def bound_elsewhere(run: Run) -> Syscall | None:
    """Return the bind that a rule answered, where the program is reached at another port than it named."""
    ports = {address.rpartition(":")[2] for address in run.snapshot.statistics.listening}
    if not ports:
        return None
    return next(
        (
            call
            for call in run.trace()
            if call.name == "bind"
            and call.intercepted
            and (call.peer or "").startswith("inet")
            and (call.peer or "").rpartition(":")[2] not in ports
        ),
        None,
    )


def forged_end(run: Run) -> Syscall | None:
    """Return the call of the end where a rule changed it."""
    call = run.syscall(run.snapshot.trigger.seq)
    is_end = call is not None and run.snapshot.reason == "exit" and call.name == "exit_group"
    return call if is_end and call is not None and call.rule else None


def switched_off(run: Run) -> dict[str, str]:
    """Return which rules did not act to the end of this run, and why: rule to one line.

    A rule directory of SFEmu has an account for each call, and is switched off as a whole: it is told once.
    """
    told: dict[str, str] = {}
    for hit in run.snapshot.rule_hits:
        if not hit.disabled:
            continue
        whole = hit.layer == SFEMU_LAYER
        what = "the rule directory of SFEmu" if whole else f"rule {hit.rule}"
        line = f"{what} was switched off: {hit.disabled}"
        if not (whole and line in told.values()):
            told[hit.rule] = line
    return told


def masked_calls(run: Run) -> list[str]:
    """Return, one line each, what rules answered or supplied in this run."""
    counts = Counter(
        (f"{subject(call)} {'answered' if call.intercepted else 'helped'}", call.rule)
        for call in run.trace()
        if call.rule
    )
    lines = [
        f"{what} by rule {rule}" + (f", {count} times" if count > 1 else "")
        for (what, rule), count in counts.items()
    ]
    named = {rule for _, rule in counts}
    lines += [
        f"rule {hit.rule} acted on {hit.syscall} {hit.hits} times"
        for hit in run.snapshot.rule_hits
        if hit.hits and hit.syscall != AT_START and hit.rule not in named
    ]
    return [*_hidden_interfaces(run), *lines]


def _hidden_interfaces(run: Run) -> list[str]:
    """Return, one line each, the interfaces that were made for the run and that a rule answered for."""
    starts = run.snapshot.start_settings
    made = {name for one in starts if one.setting == "interfaces" for name in one.says.split()[2:]}
    told = {
        (call.interface, call.rule)
        for call in run.trace()
        if call.intercepted and call.rule and call.interface in made
    }
    return [
        f"network interface {name} was really there, and hidden: what the program was told of it is made up"
        f" by rule {rule}"
        for name, rule in sorted(told, key=str)
    ]


def first_passed(run: Run, blocked: set[str]) -> Syscall | None:
    """Return the call that failed in the run before, where a rule answered or supplied it in this one."""
    subjects = {text.rsplit(" ", 1)[0] for text in blocked}
    return next((call for call in run.trace() if call.rule and subject(call) in subjects), None)
