"""The little of ptrace(2) that giving a waiting thread another system call needs.

A thread that waits for the answer to a notification is seized and asked to stop; the answer lets it go as far
as that stop, on its way back from the call. There its registers can be set so that it makes another call, and
be watched doing so. Everything happens in the thread that seized it, as ptrace demands.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import struct
import time
from typing import NamedTuple

from triage_tui.guest.host import host_syscalls
from triage_tui.guest.host.libc import libc

_SEIZE, _INTERRUPT, _SYSCALL, _DETACH = 0x4206, 0x4207, 24, 17
_GETREGSET, _SETREGSET, _NT_PRSTATUS, _NT_ARM_SYSTEM_CALL = 0x4204, 0x4205, 1, 0x404
_GETSIGMASK, _SETSIGMASK, _SIGMASK_SIZE = 0x420A, 0x420B, 8
_GET_SYSCALL_INFO, _AT_ENTRY = 0x420E, 1
_CALL_INFO = struct.Struct("=B23x7Q")
"""struct ptrace_syscall_info, <linux/ptrace.h>: where it stands; number and arguments."""
_ALL_SIGNALS = (1 << 64) - 1
_O_TRACESYSGOOD, _O_TRACEEXEC, _O_EXITKILL = 1, 0x10, 0x100000
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_EVENT_EXEC, _EVENT_STOP = 4, 128
_WALL = 0x40000000
_PATIENCE_S = 10.0
_SPINS = 20
"""How often an event is looked for before the waiting begins to sleep."""

libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class _RegisterLayout(NamedTuple):
    """Where struct user_regs_struct (x86-64) or user_pt_regs (arm64) has what; indices of 64-bit words."""

    words: int
    arguments: tuple[int, ...]
    number: int
    result: int
    stack: int
    pc: int
    restart: int | None
    """Word that must be -1 for the kernel not to take the registers for an interrupted call's."""
    instruction: bytes
    """The system call instruction; the pc is behind it after a call."""


_LAYOUTS = {
    # r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base ...
    "x86_64": _RegisterLayout(27, (14, 13, 12, 7, 9, 8), 10, 10, 19, 16, 15, b"\x0f\x05"),
    # x0..x30 sp pc pstate
    "aarch64": _RegisterLayout(34, (0, 1, 2, 3, 4, 5), 8, 0, 31, 32, None, b"\x01\x00\x00\xd4"),
}


class _IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class TraceeGone(Exception):
    """The thread ended while it was being traced."""


class Event(NamedTuple):
    """Why a traced thread stopped: "call" (entry or exit), "exec", "asked" (as `interrupt` asked),
    "group" (job control), or "signal" with the one that is about to be delivered."""

    kind: str
    signal: int = 0


def request(what: int, tid: int, address: int = 0, data: int = 0) -> None:
    """Make one ptrace request.

    Raises:
        TraceeGone: there is no such thread, or it is not stopped (any more).
        OSError: refused.
    """
    if libc.ptrace(what, tid, address, data) < 0:
        number = ctypes.get_errno()
        if number == errno.ESRCH:
            raise TraceeGone
        raise OSError(number, f"ptrace: {os.strerror(number)}")


class Tracee:
    """One traced thread. `let_go` must be called, unless it is gone."""

    def __init__(self, tid: int, seize: bool = True) -> None:
        """Seize the thread `tid`, which goes on as before; without `seize` it is traced already.

        Raises:
            OSError: somebody else traces it, or the system does not allow it.
            TraceeGone: there is no such thread.
        """
        if seize:
            request(_SEIZE, tid, 0, _O_TRACESYSGOOD | _O_TRACEEXEC | _O_EXITKILL)
        self.tid = tid
        self._layout = _LAYOUTS[host_syscalls.host_machine()]
        self._words = (ctypes.c_uint64 * self._layout.words)()
        self._vector = _IoVector(ctypes.addressof(self._words), ctypes.sizeof(self._words))

    def interrupt(self) -> None:
        """Ask the thread to stop as soon as it is out of the kernel."""
        request(_INTERRUPT, self.tid)

    def resume(self) -> None:
        """Let the stopped thread go on to its next system call entry, exit, or other event."""
        request(_SYSCALL, self.tid)

    def let_go(self, number: int = 0) -> None:
        """Stop tracing the stopped thread; it goes on, with the signal `number` if that is not 0."""
        request(_DETACH, self.tid, 0, number)

    def release(self, pid: int) -> None:
        """Take note of the end of a traced thread: its parent does not hear of it before.

        `pid` is its process, whose first thread it may have become.
        """
        deadline = time.monotonic() + _PATIENCE_S
        ids = {self.tid, pid}
        while ids and time.monotonic() < deadline:
            for tid in tuple(ids):
                try:
                    found, status = os.waitpid(tid, os.WNOHANG | _WALL)
                except ChildProcessError:
                    ids.discard(tid)
                    continue
                if found and not os.WIFSTOPPED(status):
                    ids.discard(tid)
            time.sleep(0.00005)

    def await_event(self, also: int | None = None) -> Event:
        """Wait until the thread stops.

        `also` is a thread id that it may have instead: who executes a program becomes its process's first.

        Raises:
            TraceeGone: it ended.
            TimeoutError: it did not stop in time.
        """
        event = self.poll_event(_PATIENCE_S, also)
        if event is None:
            raise TimeoutError(f"thread {self.tid} does not stop")
        return event

    def poll_event(self, patience: float, also: int | None = None) -> Event | None:
        """Wait for `patience` seconds as `await_event` does; None: it has not stopped."""
        deadline = time.monotonic() + patience
        tries = 0
        while True:
            known = False
            for tid in dict.fromkeys((self.tid, also or self.tid)):
                with contextlib.suppress(ChildProcessError):
                    found, status = os.waitpid(tid, os.WNOHANG | _WALL)
                    known = True
                    if found:
                        return self._event(tid, status)
            if not known:
                raise TraceeGone
            tries += 1
            if tries > _SPINS:
                time.sleep(0.00005)
            if time.monotonic() > deadline:
                return None

    def _event(self, tid: int, status: int) -> Event:
        if not os.WIFSTOPPED(status):
            raise TraceeGone
        self.tid = tid
        event, number = status >> 16, os.WSTOPSIG(status)
        if event == _EVENT_EXEC:
            return Event("exec")
        if event == _EVENT_STOP:
            return Event("asked" if number == signal.SIGTRAP else "group")
        if number == _SYSCALL_STOP:
            return Event("call")
        return Event("signal", number)

    def hold_signals(self) -> int:
        """Have no signal delivered to the stopped thread (SIGKILL and SIGSTOP excepted); return its mask."""
        mask = ctypes.c_uint64()
        request(_GETSIGMASK, self.tid, _SIGMASK_SIZE, ctypes.addressof(mask))
        self.set_signal_mask(_ALL_SIGNALS)
        return mask.value

    def set_signal_mask(self, mask: int) -> None:
        """Set the stopped thread's mask of blocked signals."""
        value = ctypes.c_uint64(mask)
        request(_SETSIGMASK, self.tid, _SIGMASK_SIZE, ctypes.addressof(value))

    # ------------------------------------------------------------ registers, as words of `read_registers`

    def read_registers(self) -> list[int]:
        """Return the stopped thread's registers."""
        request(_GETREGSET, self.tid, _NT_PRSTATUS, ctypes.addressof(self._vector))
        return list(self._words)

    def write_registers(self, words: list[int]) -> None:
        """Set the stopped thread's registers."""
        for index, word in enumerate(words):
            self._words[index] = word
        request(_SETREGSET, self.tid, _NT_PRSTATUS, ctypes.addressof(self._vector))

    def stack_pointer(self, words: list[int]) -> int:
        """Return the stack pointer."""
        return words[self._layout.stack]

    @property
    def result_hides_argument(self) -> bool:
        """Whether a call's result takes the place of its first argument."""
        return self._layout.result == self._layout.arguments[0]

    def instruction_before(self, words: list[int]) -> tuple[int, bytes]:
        """Return where the system call instruction must be that was executed last, and what it looks like."""
        code = self._layout.instruction
        return words[self._layout.pc] - len(code), code

    def pointer(self, words: list[int]) -> int:
        """Return the address behind the system call instruction at which the thread stands."""
        return words[self._layout.pc]

    def with_call(self, words: list[int], number: int, arguments: tuple[int, ...]) -> list[int]:
        """Return registers that make the system call `number`, when those are of a thread after a call."""
        changed = list(words)
        layout = self._layout
        changed[layout.pc] -= len(layout.instruction)
        changed[layout.number] = number
        for index, value in zip(layout.arguments, arguments, strict=False):
            changed[index] = value
        if layout.restart is not None:
            changed[layout.restart] = (1 << 64) - 1
        return changed

    def held_call(self, words: list[int]) -> tuple[int, tuple[int, ...]]:
        """Return number and arguments of the call at whose entry the thread stands."""
        layout = self._layout
        number = words[layout.number if layout.restart is None else layout.restart]
        return number, tuple(words[index] for index in layout.arguments)

    def replace_held(self, words: list[int], number: int, arguments: tuple[int, ...]) -> None:
        """Have the thread make another call than the one at whose entry it stands."""
        changed = list(words)
        for index, value in zip(self._layout.arguments, arguments, strict=False):
            changed[index] = value
        self._write_held(changed, number)

    def skip_held(self, words: list[int], result: int) -> None:
        """Have the call at whose entry the thread stands give `result` without being executed."""
        changed = list(words)
        changed[self._layout.result] = result & ((1 << 64) - 1)
        self._write_held(changed, -1)

    def _write_held(self, words: list[int], number: int) -> None:
        if self._layout.restart is not None:
            words[self._layout.restart] = number & ((1 << 64) - 1)
            self.write_registers(words)
            return
        self.write_registers(words)
        value = ctypes.c_int(number)
        vector = _IoVector(ctypes.addressof(value), ctypes.sizeof(value))
        request(_SETREGSET, self.tid, _NT_ARM_SYSTEM_CALL, ctypes.addressof(vector))

    def with_result(self, words: list[int], result: int) -> list[int]:
        """Return `words` with the result of the call that they come from."""
        changed = list(words)
        changed[self._layout.result] = result & ((1 << 64) - 1)
        if self._layout.restart is not None:
            changed[self._layout.restart] = (1 << 64) - 1
        return changed

    def entered_call(self) -> tuple[int, tuple[int, ...]] | None:
        """Return number and arguments of the call at whose entry the thread stopped, None where it did not.

        Before Linux 5.3 that cannot be told.
        """
        data = ctypes.create_string_buffer(_CALL_INFO.size)
        try:
            request(_GET_SYSCALL_INFO, self.tid, _CALL_INFO.size, ctypes.addressof(data))
        except OSError:
            return None
        kind, number, *arguments = _CALL_INFO.unpack(data.raw)
        return (number, tuple(arguments)) if kind == _AT_ENTRY else None

    def result(self, words: list[int]) -> int:
        """Return what the call gave whose exit the thread stopped at."""
        value = words[self._layout.result]
        return value - (1 << 64) if value >> 63 else value
