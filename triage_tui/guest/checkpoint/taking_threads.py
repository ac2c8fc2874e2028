"""The threads of a frozen process: where each stands, and what makes it that thread.

Their ids are the same after a restore, so that locks which hold an id (recursive and error-checking mutexes,
those that inherit priority, the C library's own) are owned by whom they were.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from triage_tui.guest.arch import Arch
from triage_tui.guest.checkpoint.float_registers import FloatRegisters
from triage_tui.guest.checkpoint.model import Thread
from triage_tui.guest.checkpoint.moment import Moment, find_moment
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.checkpoint.restoring_threads import MOST_THREADS
from triage_tui.guest.checkpoint.task_state import TaskState
from triage_tui.guest.host import host_memory, process, process_state
from triage_tui.runs.model import Syscall

if TYPE_CHECKING:
    from triage_tui.guest.supervisor import Guest

_MASKED_WAITS = {"ppoll": 3, "pselect6": 5, "epoll_pwait": 4, "rt_sigsuspend": 0, "sigsuspend": 0}
"""Calls that let other signals through while they wait -> the argument that says which."""
_CLEARS = "CLONE_CHILD_CLEARTID"


class Stands(msgspec.Struct, frozen=True):
    """A thread, and at which moment it was caught."""

    thread: Thread
    moment: Moment


def take_threads(
    guest: Guest, calls: Sequence[Syscall], floats: FloatRegisters, signals: TaskState
) -> dict[int, Stands]:
    """Return the threads of the process that is looked at, by their host ids, its first one first.

    Raises:
        Obstacle: one of them cannot go on from where it stands.
        OSError: it is gone.
    """
    pid = guest.pid
    # The emulator has one thread of its own.
    hosts = {process.inner_pid(tid): tid for tid in process.threads(pid)}
    entry = next((entry for entry in guest.census().processes if entry.looked_at), None)
    ids = sorted(thread.tid for thread in entry.threads) if entry is not None else []
    inner = process.inner_pid(pid)
    if inner not in ids or any(thread.state == "ended" for thread in (entry.threads if entry else ())):
        raise Obstacle("its first thread has ended")
    if len(ids) > 1:
        if len(ids) > MOST_THREADS:
            raise Obstacle(f"it has {len(ids)} threads, more than the {MOST_THREADS} of a checkpoint")
        if len(hosts) != len(ids) + 1:
            raise Obstacle("it was just making a thread")
    places = guest.thread_places(pid, {tid: number for number, tid in hosts.items()})
    found: dict[int, Stands] = {}
    for number in sorted(ids, key=lambda one: (one != inner, one)):
        tid = hosts[number]
        try:
            found[tid] = _take_one(guest, tid, number, places.get(tid), calls, floats, signals)
        except Obstacle as error:
            if len(ids) == 1:
                raise
            raise Obstacle(f"of its thread {number} this holds: {error}") from None
    return found


def _take_one(
    guest: Guest,
    tid: int,
    number: int,
    place: int | None,
    calls: Sequence[Syscall],
    floats: FloatRegisters,
    signals: TaskState,
) -> Stands:
    arch, pc_offset = guest.arch, guest.location.pc_offset
    moment = find_moment(guest, tid, place)
    _check_wait(moment)
    if tid != guest.pid and signals.handler_stack(guest.pid, moment.env, arch)[1]:
        raise Obstacle("it has given its signal handlers a stack of its own (sigaltstack)")
    fields = process_state.status(f"/proc/{guest.pid}/task/{tid}")
    pending = [name for name in process_state.mask(fields, "SigPnd") if name != "SIGSTOP"]
    if pending:
        raise Obstacle(f"a signal is about to be delivered to it ({pending[0]})")
    state = bytearray(host_memory.read_memory(tid, moment.env, floats.end(pc_offset)))
    for offset, content in moment.changes:
        state[offset : offset + len(content)] = content
    registers = arch.registers_from_env(bytes(state), pc_offset)
    thread = Thread(
        tid=number,
        registers=registers,
        floats=floats.values(bytes(state)),
        state=bytes(state),
        tls=_tls(arch, guest.thread_pointer, bytes(state), registers),
        blocked=signals.blocked(guest.pid, moment.env, arch),
        clear_tid=clear_address(calls, number, tid == guest.pid),
        name=fields.get("Name", ""),
        call=moment.call.name,
    )
    return Stands(thread, moment)


def _tls(arch: Arch, place: int | None, state: bytes, registers: dict[str, int]) -> int:
    """Return the thread pointer, 0 where it is not known apart; the emulator's state has it in any case."""
    if place is not None and place + arch.word <= len(state):
        return int.from_bytes(state[place : place + arch.word], sys.byteorder)
    return registers.get("fs_base", 0)


def _check_wait(moment: Moment) -> None:
    index = _MASKED_WAITS.get(moment.call.name)
    if index is not None and moment.waits:
        given = moment.call.arguments[index] if index < len(moment.call.arguments) else "NULL"
        if given not in ("NULL", "0", "(nil)"):
            raise Obstacle(f"it waits in {moment.call.name} with other signals let through than usual")


def clear_address(calls: Sequence[Syscall], number: int, is_first: bool) -> int:
    """Return where the end of a thread is told (set_tid_address(2)), 0 for nowhere.

    Raises:
        Obstacle: the call that made it is not in the trace.
    """
    found: int | None = 0 if is_first else None
    for call in calls:
        if call.name == "clone" and call.ret == number and not is_first and call.arguments:
            wish = next((one for one in call.arguments if one.startswith("child_tidptr=")), "")
            found = _number(wish.partition("=")[2]) if _CLEARS in call.arguments[0] else 0
        elif call.name == "set_tid_address" and call.tid == number and call.arguments:
            found = _number(call.arguments[0])
    if found is None:
        raise Obstacle("the call that made it is not known")
    return found


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise Obstacle("where its end is told is not known") from None
