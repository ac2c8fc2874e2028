"""Where a frozen thread stands, and how it goes on from there in a new process.

In a system call its registers are exact: the program counter is behind the instruction, the arguments are
still there, and the result is not. Whether the call was not made, has not ended, or has failed, it is made
again from its instruction: what failed has done nothing, and a rule may answer it now.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.emulator.return_stub import stub_for
from triage_tui.guest.host import host_memory, host_syscalls
from triage_tui.guest.host.ptrace import Tracee, TraceeGone
from triage_tui.runs.model import Syscall

if TYPE_CHECKING:
    from triage_tui.guest.supervisor import Guest

_BETWEEN = "it was between a call and its result when it was frozen"
_INTERRUPTED = frozenset((-512, -513, -514, -516, -errno.EINTR))
"""What a call that a stop has interrupted gives: ERESTARTSYS and others of <linux/errno.h>, and EINTR."""
_ENDS = frozenset(("exit", "exit_group"))


class Moment(msgspec.Struct, frozen=True):
    """Where the thread stands."""

    call: Syscall
    waits: bool
    """Whether it has begun: the kernel has it."""
    env: int
    """Host address of the first general register."""
    changes: list[tuple[int, bytes]]
    """What to write where into the emulator's state, in bytes from there, to go on."""


def find_moment(guest: Guest, tid: int, env: int | None) -> Moment:
    """Return where the thread `tid` stands, whose first general register lies at host address `env`.

    Raises:
        Obstacle: it cannot go on from there.
    """
    if env is None:
        raise Obstacle("its registers were not found in the emulator")
    held = guest.held
    waits = False
    call: Syscall | None
    if held is not None and held.notification.tid == tid:
        call = held.call
        if call is None:
            raise Obstacle("the emulator was just ending it")
    else:
        call, waits = pending_call(guest, tid), True
        if not guest.waits_for_answer(tid):
            check_unfinished(tid, tid == guest.tid)
    if call.name in _ENDS:
        raise Obstacle(f"it was just ending ({call.name}), and would only end again")
    arch = guest.arch
    registers = guest.registers_at(tid, env)
    state = host_memory.read_memory(tid, env, arch.env_span)
    pc_offset = guest.location.pc_offset
    values = _again(guest, registers)
    changes = [
        part for name, value in values.items() for part in arch.env_writes(name, value, state, pc_offset)
    ]
    return Moment(call, waits, env, changes)


def pending_call(guest: Guest, tid: int) -> Syscall:
    """Return the call in which a thread waits that nobody holds.

    Raises:
        Obstacle: it is in none.
    """
    log = guest.trace.logs.get(tid)
    pending = guest.trace.pending(log) if log is not None else []
    words: list[str] = []
    with suppress(OSError), open(f"/proc/{tid}/syscall") as file:
        words = file.read().split()
    if not pending or len(words) < 4 or not words[0].isdigit():
        raise Obstacle("it was computing when it was frozen, and its registers are exact in a call only")
    numbers = host_syscalls.numbers()
    if int(words[0]) == numbers.get("write") and int(words[1], 16) >= guest.first_own_fd:
        raise Obstacle(_BETWEEN)
    if int(words[0]) == numbers.get("futex") and "futex" not in pending[-1].name:
        # The emulator waits for itself.
        raise Obstacle(_BETWEEN)
    return pending[-1]


def check_unfinished(tid: int, is_looked_at: bool) -> None:
    """Check that the kernel has done nothing of the call in which a stopped thread is.

    Where that cannot be seen, it is believed of the thread at which the guest was frozen.

    Raises:
        Obstacle: the call has ended, and its result would be lost.
    """
    try:
        tracee = Tracee(tid, seize=False)
        if tracee.entered_call() is not None:
            return
        result = tracee.result(tracee.read_registers())
    except (OSError, TraceeGone):
        if is_looked_at:
            return
        raise Obstacle("the system does not show whether the calls of its threads have ended") from None
    if result not in _INTERRUPTED:
        raise Obstacle(_BETWEEN)


def _again(guest: Guest, registers: dict[str, int]) -> dict[str, int]:
    """Return what to set so that the thread makes its call once more."""
    arch = guest.arch
    pc = registers[arch.pc]
    try:
        stub = stub_for(arch, guest.read_memory(pc - 4, 4))
    except TriageError:
        stub = None
    if stub is None:
        raise Obstacle("the instruction of its call was not recognised")
    return {arch.pc: (pc - stub.step) & arch.word_mask}
