"""What checkpoints need of a guest beyond what its record shows."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingABC
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.calls.carrier import Carrier
from triage_tui.guest.calls.held_call import Held
from triage_tui.guest.calls.returns import NO_RESULT, RESTART
from triage_tui.guest.emulator.return_stub import MARKER_ARGUMENT, MARKER_CALL, MARKER_WHENCE
from triage_tui.guest.emulator.startup import EmulatorStart
from triage_tui.guest.freezing.pausing import Holder
from triage_tui.guest.host import host_syscalls, process
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.guest.state.views import FrozenViews
from triage_tui.runs.model import Syscall

if TYPE_CHECKING:
    from triage_tui.guest.checkpoint.action_table import ActionTable
    from triage_tui.guest.checkpoint.float_registers import FloatRegisters
    from triage_tui.guest.checkpoint.model import Attributes, Checkpoint
    from triage_tui.guest.checkpoint.restoring_threads import Waiting
    from triage_tui.guest.checkpoint.served_stub import ServedStub
    from triage_tui.guest.checkpoint.task_state import TaskState
    from triage_tui.guest.launch import Launched


_THUMB = 0x20
_UNFINISHED = "it had not ended at the checkpoint, and is made again"


def _with_made_again(calls: Sequence[Syscall], checkpoint: Checkpoint) -> list[Syscall]:
    """Return the calls up to a checkpoint, with a note at those in which its threads were."""
    pending = {one.tid: one.call for one in checkpoint.threads}
    if pending:
        pending[checkpoint.pid] = checkpoint.facts.first_call
    found: list[Syscall] = []
    for call in reversed(calls):
        if pending.get(call.tid) == call.name and call.ret is None:
            call = msgspec.structs.replace(call, note=_UNFINISHED)
        pending.pop(call.tid, None)
        found.append(call)
    return found[::-1]


class GoesOn(msgspec.Struct, frozen=True):
    """What a guest goes on from: a checkpoint, and what its run showed up to there."""

    directory: Path
    checkpoint: Checkpoint
    calls: Sequence[Syscall] = ()
    """Those of the run, oldest first."""
    streams: MappingABC[str, bytes] = {}
    """What it had printed, by stream."""
    output: bytes = b""
    """The same in the order of arrival."""


class CheckpointSide(FrozenViews):
    """The part of a guest that checkpoints are taken of and restored into."""

    _held: Held | None
    _carrier: Carrier
    _emulator_start: EmulatorStart
    float_registers: FloatRegisters | None = None
    """Where the emulator has the guest's floating-point registers, None where they were not looked for."""
    action_table: ActionTable | None = None
    """Where it has what the guest does at its signals, None where that was not looked for."""
    thread_pointer: int | None = None
    """Where it has the thread pointer, in bytes from the first general register; None: not known."""
    task_state: TaskState | None = None
    """Where it has what a thread's signals are, None where that was not looked for."""
    _next_mapping: int | None = None
    """Where it has from where it looks for room for mappings, None where that was not found."""
    first_limits: MappingABC[int, tuple[int, int]] = {}
    """The host's limits at its first instruction."""
    first_timer: tuple[int, int, int] = (0, 0, 0)
    """When a restored one was given its alarm (nanoseconds), in how many microseconds it was due, and after
    how many again."""
    emulator_pages: frozenset[int] = frozenset()
    """Where the emulator itself has given it pages of code, before its first instruction."""
    _made_again: dict[int, Notification]
    _release: Callable[[], None] | None
    restored_by: int = 0
    """Calls that were made in its place to restore a checkpoint, 0 for a guest that was started."""
    restored_ms: float = 0.0
    """How long restoring it took, the start of its emulator left out."""

    @property
    def held(self) -> Held | None:
        """The call at which it is frozen and that is not answered, if that is so."""
        return self._held

    @property
    def holder(self) -> Holder:
        """What holds its threads while it is frozen."""
        return self._carrier.holder

    @property
    def first_own_fd(self) -> int:
        """Descriptors from this one on are the emulator's."""
        return self._first_own_fd

    @property
    def changes(self) -> int:
        """Descriptor of the directory with what it has changed below its root, -1 for none."""
        return self._cell.changes

    @property
    def last_id(self) -> int:
        """The id that a process or thread in its cell got last, 0 where that cannot be told."""
        return max(0, self._cell.last_id())

    @property
    def next_mapping(self) -> int:
        """From where its emulator looks for room for mappings, 0 where that is not known."""
        from triage_tui.guest.checkpoint.next_mapping import read_next_mapping

        return read_next_mapping(self.pid, self._next_mapping, self.first_program.arch.word)

    @property
    def output_pipes(self) -> MappingABC[int, str]:
        """Read ends of the pipes behind its stdout and stderr -> their names."""
        return self._output.pipes

    @property
    def input_pipes(self) -> Sequence[int]:
        """Write ends of the pipe behind its stdin."""
        return self._cell.kept

    def open_diagnosis(self) -> int:
        """Return a descriptor that tells of the guest's sockets (sock_diag(7)), or a negative host errno."""
        return self._cell.open_socket(socket.AF_NETLINK, socket.SOCK_RAW)

    def _prepare(self, launched: Launched, goes_on: GoesOn | None) -> None:
        """Look for what only the emulator's stub shows, while the guest waits at its first instruction.

        With `goes_on` it is made what the checkpoint is.

        Raises:
            TriageError: it cannot be.
        """
        if goes_on is None and not self.spec.checkpoint:
            return
        # Only here: the many modules of checkpoints are needed by few runs.
        from triage_tui.guest.checkpoint.action_table import find_action_table, find_thread_pointer
        from triage_tui.guest.checkpoint.attributes import own_limits
        from triage_tui.guest.checkpoint.float_registers import find_float_registers
        from triage_tui.guest.checkpoint.injecting import PAGE, Injector
        from triage_tui.guest.checkpoint.next_mapping import find_next_mapping
        from triage_tui.guest.checkpoint.served_stub import ServedStub
        from triage_tui.guest.checkpoint.taking_memory import emulator_pages
        from triage_tui.guest.checkpoint.task_state import find_task_state

        self.first_limits = own_limits(launched.pid)
        self.emulator_pages = emulator_pages(self.maps())
        stub = ServedStub(launched.stub, launched.carrier, self._serve_restoring)
        # First: writing registers through the stub would cut those of MIPS.
        with suppress(OSError):
            self.float_registers = find_float_registers(
                launched.pid, self.first_program.arch, stub, launched.location.env
            )
            injector = Injector(launched.pid, self.first_program.arch, launched.location, stub)
            before = injector.registers()
            with injector.borrowed(before[self.first_program.arch.pc] & -PAGE):
                self.action_table = find_action_table(launched.pid, injector)
                self.thread_pointer = find_thread_pointer(launched.pid, launched.location.env, injector)
                self.task_state = find_task_state(launched.pid, launched.location.env, injector)
                self._next_mapping = find_next_mapping(launched.pid, injector)
            injector.set_registers(before)
        if goes_on is not None:
            self._restore(launched, stub, goes_on)
            return
        self._forget_own_calls()

    def _forget_own_calls(self) -> None:
        """Leave out of the record what was called in the guest's place."""
        full, self.trace.full = self.trace.full, None
        self.trace.drain_all(complete=True)
        self.trace.full = full
        self.trace.continue_after((), 0)

    def _serve_restoring(self, notification: Notification) -> None:
        """Answer a call of the emulator's while calls are made in the guest's place: these are ours."""
        known = self.processes_known.main
        name = host_syscalls.names().get(notification.nr, "")
        if name == MARKER_CALL and notification.args[MARKER_ARGUMENT] & 0xFFFFFFFF == MARKER_WHENCE:
            self._made_again[notification.tid] = notification
        elif known is not None and self._emulator_start.is_log_open(notification.tid, name, notification):
            self._open_log(known, notification)
        else:
            self._carrier.proceed(notification)

    def waits_for_answer(self, tid: int) -> bool:
        """Return whether a thread of the frozen guest waits in a call that was not made yet."""
        return tid in self._answered_tids()

    def _answered_tids(self) -> set[int]:
        """Return the threads that wait for an answer."""
        raise NotImplementedError

    def _give(self, notification: Notification, value: int) -> None:
        """Answer a marker so that the guest gets `value`."""
        raise NotImplementedError

    def _places_of_made(self) -> MappingABC[int, int]:
        """Return where the registers of the threads are that were made again, by their host ids."""
        return self.thread_places(self.pid, {tid: process.inner_pid(tid) for tid in self._made_again})

    def _know(self, other: Waiting) -> None:
        """Have a thread that was made again go on with the guest, and its last call of ours be forgotten."""
        tid = other.notification.tid
        known, log = self.processes_known.main, self.trace.logs.get(tid)
        if known is None or log is None:
            raise TriageError("a new thread has no log: start over")
        known.envs |= {tid: self._places_of_made()[tid]}
        log.markers += 1
        release = self._release

        def let_go() -> None:
            if release is not None:
                release()
            self._call_again(other)

        self._release = let_go

    def _call_again(self, other: Waiting) -> None:
        """Have a thread that was made again make its call."""
        arch, tid = self.first_program.arch, other.notification.tid
        registers = other.thread.registers
        if arch.word == 4:
            # The emulator goes back by one instruction: where it has two sizes, by that of the set in use.
            is_short = arch.name == "i386" or (arch.name.startswith("arm") and registers["cpsr"] & _THUMB)
            step = 2 if is_short else 4
            self.write_register(arch.pc, registers[arch.pc] + step, tid)
            self._carrier.answer(other.notification, NO_RESULT)
        elif arch.name.startswith("mips"):
            # A result would take the place of an argument, too.
            self.write_register(arch.pc, registers[arch.pc] + 4, tid)
            self._carrier.answer(other.notification, RESTART)
        else:
            self._give(other.notification, registers[arch.syscall_return])

    def _open_log(self, known: GuestProcess, notification: Notification) -> None:
        """Give a thread of the emulator its log."""
        raise NotImplementedError

    def _restore(self, launched: Launched, stub: ServedStub, goes_on: GoesOn) -> None:
        """Make the guest what the checkpoint is, and its record that of the run up to there."""
        from triage_tui.guest.checkpoint.next_mapping import write_next_mapping
        from triage_tui.guest.checkpoint.restoring import restore

        facts = goes_on.checkpoint.facts
        floats, place = self.float_registers, launched.location.pc_offset
        signals = self.task_state
        if (
            signals is None
            or floats is None
            or floats.end(place) != facts.state_end
            or place != facts.pc_offset
        ):
            # What lies behind is the emulator's own, and nothing that a checkpoint may change.
            raise TriageError(
                "the emulator keeps its state elsewhere than the one of the checkpoint: start over"
            )
        began = time.monotonic()
        program = self.first_program
        try:
            self.restored_by, others = restore(
                pid=launched.pid,
                arch=program.arch,
                location=launched.location,
                stub=stub,
                cell=self._cell,
                maps=self.maps,
                open_files=self.spec.limits.open_files,
                checkpoint=goes_on.checkpoint,
                directory=goes_on.directory,
                waiting=self._made_again,
                places=self._places_of_made,
            )
            places = self._places_of_made()
            for one in others:
                env = places[one.notification.tid]
                signals.block(launched.pid, env, program.arch, one.thread.blocked)
            write_next_mapping(launched.pid, self._next_mapping, program.arch.word, facts.next_mapping)
            signals.block(launched.pid, launched.location.env, program.arch, goes_on.checkpoint.blocked)
        except OSError as error:
            raise TriageError(f"the checkpoint cannot be restored: {error.strerror or error}") from error
        self._limit_restored(launched, facts.attributes)
        self.restored_ms = (time.monotonic() - began) * 1000
        for other in others:
            self._know(other)
        self._forget_own_calls()
        calls = _with_made_again(goes_on.calls, goes_on.checkpoint)
        self.trace.continue_after(calls, facts.last_seq or facts.seq - 1)
        self._output.continue_after(goes_on.streams, goes_on.output, facts.output)

    def _limit_restored(self, launched: Launched, attributes: Attributes) -> None:
        """Give it the limits that no calls are made for, now that nothing is to be opened for it any more."""
        from triage_tui.guest.checkpoint.attributes import limit

        limit(launched.pid, attributes)
        self.first_timer = (time.monotonic_ns(), *attributes.timer)
        main = self.processes_known.main
        if main is not None:
            main.limits.wishes |= attributes.wishes
            launched.open_files = main.limits.open_files(launched.start.open_files)
