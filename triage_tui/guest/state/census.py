"""Describe every process and thread of a frozen guest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.host import process, process_state
from triage_tui.guest.host.process_state import ThreadFacts
from triage_tui.guest.log.syscall_record import to_text
from triage_tui.guest.state import address_space
from triage_tui.guest.state.descriptors import MAX_DESCRIPTORS
from triage_tui.guest.state.ended import ended_main
from triage_tui.guest.state.initial_stack import read_initial_stack
from triage_tui.runs.model import Unavailable
from triage_tui.runs.process_model import Mapping, Process, Thread
from triage_tui.text import recordable

if TYPE_CHECKING:
    from triage_tui.guest.state.views import FrozenViews

MAX_THREADS = 4096
"""Threads described in all."""
MAX_MAPPINGS = 65_536
"""Mappings recorded in all."""

_Entry = TypeVar("_Entry")


class Census(msgspec.Struct):
    """All processes, the values of their environments, and what could not be had."""

    processes: list[Process] = msgspec.field(default_factory=list)
    environments: dict[int, list[str]] = msgspec.field(default_factory=dict)
    """Process id as the guest sees it -> "NAME=value" entries."""
    missing: list[Unavailable] = msgspec.field(default_factory=list)

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """Note a part that cannot be had, and go on with the others."""
        try:
            yield
        except OSError as error:
            self.note(what, error.strerror or str(error))
        except (TriageError, ValueError) as error:
            self.note(what, str(error))

    def note(self, what: str, why: str) -> None:
        """Say that something could not be had."""
        self.missing.append(Unavailable(what=what, why=why))


def take_census(guest: FrozenViews) -> Census:
    """Describe the processes of a frozen guest, parents before children, and last a main one that is gone."""
    census = Census()
    pids = guest.processes()
    inner = {pid: process.inner_pid(pid) for pid in pids}
    room = _Room()
    for pid in pids:
        entry = Process(
            pid=inner[pid], parent=inner.get(process.parent_of(pid), 0), looked_at=pid == guest.pid
        )
        what = f"process {entry.pid}"
        program = guest.program_of(pid)
        entry.program, entry.argv = recordable(program.path), list(program.argv)
        entry.arch = program.arch.name
        with census.part(f"state of {what}"):
            _describe(guest, pid, entry)
        with census.part(f"arguments and environment of {what}"):
            _describe_start(census, guest, pid, entry)
        with census.part(f"threads of {what}"):
            _describe_threads(census, guest, pid, entry, room)
        if not entry.looked_at:
            with census.part(f"mappings of {what}"):
                maps = guest.maps(pid)
                name_thread_stacks(guest.program_of(pid).arch, entry, maps)
                entry.maps = room.mappings.take(census, f"mappings of {what}", maps)
            with census.part(f"descriptors of {what}"):
                entry.fds = room.descriptors.take(census, f"descriptors of {what}", guest.fds(pid))
        census.processes.append(entry)
    gone = ended_main(guest, inner.values())
    if gone is not None:
        census.processes.append(gone)
        what = f"registers, memory, descriptors and environment of process {gone.pid}"
        census.note(what, "it had ended before the guest was frozen")
    return census


class _Bound(msgspec.Struct):
    """How many entries of one kind may still be recorded."""

    left: int

    def take(self, census: Census, what: str, entries: list[_Entry]) -> list[_Entry]:
        """Return as many of the entries as there is room for; a rest is noted."""
        kept = entries[: self.left]
        if len(kept) < len(entries):
            census.note(f"all {what}", f"{len(kept)} of {len(entries)} are recorded")
        self.left -= len(kept)
        return kept


class _Room:
    """Bounds of one census."""

    def __init__(self) -> None:
        self.threads = _Bound(MAX_THREADS)
        self.mappings = _Bound(MAX_MAPPINGS)
        self.descriptors = _Bound(MAX_DESCRIPTORS)


def _describe(guest: FrozenViews, pid: int, entry: Process) -> None:
    """Fill in what the kernel tells of the process itself."""
    fields = process_state.status(f"/proc/{process.living_id(pid)}")
    known = guest.processes_known.by_pid.get(pid)
    entry.umask = process_state.umask(fields)
    entry.ignored_signals = process_state.mask(fields, "SigIgn")
    entry.caught_signals = process_state.caught(fields)
    entry.pending_signals = process_state.mask(fields, "ShdPnd")
    entry.cwd = process_state.directory(pid, "cwd")
    entry.root = process_state.directory(pid, "root")
    entry.limits = process_state.limits(pid, known.limits.wishes if known else {})


def _describe_start(census: Census, guest: FrozenViews, pid: int, entry: Process) -> None:
    """Fill in what the program was started with."""
    read = partial(guest.read_process_memory, pid)
    found = read_initial_stack(read, guest.program_of(pid).arch, guest.location_of(pid).auxv)
    entry.program = to_text(found.program)
    entry.argv = [to_text(argument) for argument in found.argv]
    entry.auxv = found.auxv
    environment = [to_text(variable) for variable in found.env]
    entry.env_keys = [variable.partition("=")[0] for variable in environment]
    census.environments[entry.pid] = environment
    if found.left_out:
        why = f"{found.left_out} strings are too long, too many, or not readable"
        census.note(f"all arguments and environment variables of process {entry.pid}", why)


def _describe_threads(census: Census, guest: FrozenViews, pid: int, entry: Process, room: _Room) -> None:
    facts: dict[int, ThreadFacts] = {}
    for tid in process.threads(pid)[: room.threads.left + 1]:
        with suppress(OSError):
            facts[tid] = process_state.thread_facts(pid, tid)
    places = guest.thread_places(pid, {tid: fact.inner for tid, fact in facts.items()})
    # What has no registers at all and is in no call of the guest is the emulator's own.
    own = [tid for tid in facts if tid in places or tid in guest.trace.logs or tid == pid]
    threads = [_thread(guest, pid, facts[tid], places.get(tid)) for tid in own]
    entry.threads = room.threads.take(census, f"threads of process {entry.pid}", threads)


def _thread(guest: FrozenViews, pid: int, facts: ThreadFacts, place: int | None) -> Thread:
    entry = Thread(tid=facts.inner, looked_at=facts.tid == guest.tid)
    entry.blocked_signals, entry.pending_signals = facts.blocked, facts.pending
    if facts.ended:
        entry.state, entry.why = "ended", "it has ended, the process goes on without it"
        return entry
    log = guest.trace.logs.get(facts.tid)
    entry.computed = guest.computed_by(facts.tid)
    pending = guest.trace.pending(log) if log is not None else []
    if facts.in_call is False:
        entry.state = "computing"
    elif pending:
        entry.state, entry.call, entry.seq = "in call", pending[-1].name, pending[-1].seq
    if place is None:
        entry.why = "its registers were not found in the emulator"
        return entry
    try:
        entry.registers = guest.registers_at(facts.tid, place)
    except TriageError as error:
        entry.why = str(error)
    return entry


def name_thread_stacks(arch: Arch, entry: Process, maps: list[Mapping]) -> None:
    """Name the mappings that hold the stacks of threads other than the first."""
    stacks = {
        thread.registers[arch.sp]: f"[stack of thread {thread.tid}]"
        for thread in entry.threads
        if thread.tid != entry.pid and arch.sp in thread.registers
    }
    address_space.name_stacks(maps, stacks)
