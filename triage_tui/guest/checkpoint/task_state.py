"""What the emulator keeps of a thread's signals: those that it blocks, and the stack of its handlers.

They are in QEMU's `TaskState` (linux-user/qemu.h), to which the processor's state has a pointer. In the place
of the guest, at its first instruction, both are set to values that are then looked for.

Signals are blocked there as the host numbers them. The emulator itself needs some of the host's, so that what
the kernel says of a thread's blocked signals is less than what the guest has blocked.
"""

from __future__ import annotations

import secrets
import signal
import sys

import msgspec

from triage_tui.guest.arch import Arch
from triage_tui.guest.checkpoint.action_table import guest_mask_bytes, mask_size
from triage_tui.guest.checkpoint.injecting import PAGE, Injector
from triage_tui.guest.emulator.signal_actions import signal_numbers
from triage_tui.guest.host import host_memory, process
from triage_tui.guest.host.signals import signals_of_mask

_MAX_HEAP = 64 << 20
_BEFORE = 0x8000
"""Bytes before the first general register in which the processor's state has its pointers (QEMU 7.2: 0x28 to
0x3000)."""
_MAX_TASK = 0x10000
_REAL_TIME = 32
"""The first real-time signal, the guest's and the kernel's own."""
_SS_DISABLE = 2
EVERY_SIGNAL = (1 << 64) - 1
_STACK_SIZE = 0x2BEE000
_REAL_TIMES = 24
"""How many of them are tried; the last ones are the emulator's own."""
_MOST_ADDED = 8
_HOST = {"SIGEMT": "SIGSTKFLT"}
"""Signal that the host has not -> the one that QEMU has in its place (linux-user/mips/target_signal.h)."""
_GUEST = {host: name for name, host in _HOST.items()}
_COMMON = frozenset(("SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGCHLD"))
"""Signals that are tried: no emulator has a use of its own for them."""


class TaskState(msgspec.Struct, frozen=True):
    """Where it is."""

    pointer: int
    """Where the pointer to it is, in bytes from the first general register: negative."""
    mask: int
    """Where the blocked signals are in it, 8 bytes."""
    stack: int
    """Where the address of the stack of signal handlers is in it, -1 where that was not found."""
    stack_size: int
    """Where the size of that stack is in it."""
    real_time: int
    """What the emulator adds to the number of a real-time signal for the host."""

    def blocked(self, pid: int, env: int, arch: Arch) -> int:
        """Return the signals that the thread with the first general register at `env` blocks.

        Bit 0 is signal 1, as the guest numbers them.

        Raises:
            OSError: process `pid` is gone.
        """
        host = _number(pid, self._place(pid, env) + self.mask, 8)
        numbers = signal_numbers(arch)
        names = signals_of_mask(host & ((1 << _REAL_TIME - 1) - 1))
        names = [name if name in numbers else _GUEST.get(name, name) for name in names]
        found = sum(1 << numbers[name] - 1 for name in names if name in numbers)
        first = _REAL_TIME + self.real_time
        return found | host >> first - 1 << _REAL_TIME - 1

    def block(self, pid: int, env: int, arch: Arch, blocked: int) -> None:
        """Have the thread with the first general register at `env` block signals, as `blocked` gives them.

        Raises:
            OSError: process `pid` is gone.
        """
        host = 0
        for name, number in signal_numbers(arch).items():
            if blocked >> number - 1 & 1 and name not in ("SIGKILL", "SIGSTOP"):
                host |= 1 << signal.Signals[_HOST.get(name, name)] - 1
        host |= blocked >> _REAL_TIME - 1 << _REAL_TIME + self.real_time - 1
        data = (host & (1 << 64) - 1).to_bytes(8, sys.byteorder)
        host_memory.write_memory(pid, self._place(pid, env) + self.mask, data)

    def handler_stack(self, pid: int, env: int, arch: Arch) -> tuple[int, int]:
        """Return address and size of the stack of its signal handlers, (0, 0) for none.

        Raises:
            OSError: process `pid` is gone.
        """
        if self.stack < 0:
            return 0, 0
        task = self._place(pid, env)
        start, size = (_number(pid, task + at, arch.word) for at in (self.stack, self.stack_size))
        return (start, size) if size else (0, 0)

    def _place(self, pid: int, env: int) -> int:
        return _number(pid, env + self.pointer, 8)


def _number(pid: int, address: int, size: int) -> int:
    return int.from_bytes(host_memory.read_memory(pid, address, size), sys.byteorder)


def set_blocked(injector: Injector, blocked: int) -> None:
    """Have the guest block signals while calls are made in its place: bit 0 is signal 1.

    Raises:
        TriageError: the call cannot be made.
    """
    arch = injector.arch
    size = mask_size(arch)
    place = injector.put(guest_mask_bytes(arch, blocked.to_bytes(16, "little")[:size]))
    injector.call("rt_sigprocmask", 3 if arch.name.startswith("mips") else 2, place, 0, size)


def set_handler_stack(injector: Injector, start: int, size: int) -> None:
    """Give the guest's signal handlers a stack; one of no size takes it away again.

    Raises:
        TriageError: the call cannot be made.
    """
    arch = injector.arch
    flags = 0 if size else _SS_DISABLE
    # stack_t: the flags are an int, and MIPS has them last.
    order = (start, size, flags) if arch.name.startswith("mips") else (start, flags, size)
    words = [value.to_bytes(arch.word, arch.endian) for value in order]
    if arch.word == 8:
        at = order.index(flags, 1)
        words[at] = flags.to_bytes(4, arch.endian) + bytes(4)
    injector.call("sigaltstack", injector.put(b"".join(words)), 0)


def find_task_state(pid: int, env: int, injector: Injector) -> TaskState | None:
    """Return where process `pid`, in whose place `injector` makes calls, has it; None if not found.

    Raises:
        OSError: the process is gone.
        TriageError: a call cannot be made.
    """
    arch = injector.arch
    numbers = {name: number for name, number in signal_numbers(arch).items() if name in _COMMON}
    blocked = {name for name in numbers if secrets.randbits(1)}
    real_time = secrets.randbits(_REAL_TIMES)
    start, here = 0, injector.put(b"")
    # On its own stack a thread may not give it up again (sigaltstack(2), EPERM).
    while not start or start - PAGE <= here < start + _STACK_SIZE + PAGE:
        start = secrets.randbits(17) << 12 | 1 << 29
    set_blocked(injector, sum(1 << numbers[name] - 1 for name in blocked) | real_time << _REAL_TIME - 1)
    set_handler_stack(injector, start, _STACK_SIZE)
    heap = next((one for one in process.read_maps(pid) if one.path == "[heap]"), None)
    data = b""
    if heap is not None:
        data = host_memory.read_memory(pid, heap.start, min(heap.end - heap.start, _MAX_HEAP))
    before = host_memory.read_memory(pid, env - _BEFORE, _BEFORE)
    set_blocked(injector, 0)
    set_handler_stack(injector, 0, 0)
    host = sum(1 << signal.Signals[name] - 1 for name in blocked)
    found = [
        (at, added)
        for added in range(_MOST_ADDED)
        for at in _places(data, (host | real_time << _REAL_TIME + added - 1).to_bytes(8, sys.byteorder))
    ]
    if heap is None or len(found) != 1:
        return None
    ((at, added),) = found
    mask = heap.start + at
    pointers = [
        (value, at - _BEFORE)
        for at in range(0, _BEFORE, 8)
        if mask - _MAX_TASK < (value := int.from_bytes(before[at : at + 8], sys.byteorder)) <= mask
    ]
    if not pointers:
        return None
    # What holds it begins where the last pointer in front of it leads.
    task, pointer = max(pointers)
    stacks = [
        (at, size)
        for at in _places(data, start.to_bytes(arch.word, sys.byteorder))
        for size in _places(data[at : at + 4 * arch.word], _STACK_SIZE.to_bytes(arch.word, sys.byteorder))
    ]
    stack, size = stacks[0] if len(stacks) == 1 else (-1, 0)
    at = heap.start + stack - task if stack >= 0 else -1
    if not 0 <= at < _MAX_TASK:
        at = -1
    return TaskState(pointer, mask - task, at, at + size, added)


def _places(data: bytes, value: bytes) -> list[int]:
    found = []
    at = data.find(value)
    while at >= 0:
        found.append(at)
        at = data.find(value, at + 1)
    return found
