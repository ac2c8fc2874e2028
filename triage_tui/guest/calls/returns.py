"""Hold a guest thread at the end of one of its calls, and decide there how the call ends.

`hold_return` turns the thread's pc to the stub (see `return_stub`) while the thread is held in the middle of
a call: at the call's host system call, or at QEMU's own log entry about it. When the call has ended, however
it was carried out, the thread is held again at the stub's marker, with the real result in its registers. The
decision made there is either a result, with which the guest goes on behind its syscall instruction, or to
make the call again with other arguments.

The marker's result becomes the guest's own value in the way of any other call, so that every architecture's
way to tell a failure comes out right.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.emulator.return_stub import (
    MARKER_ARGUMENT,
    MARKER_CALL,
    MARKER_WHENCE,
    ROOM,
    THUMB_OFFSET,
    Stub,
    call_stub,
    find_room,
    spare_room,
    stub_for,
)
from triage_tui.guest.host import host_memory
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.processes.process_keeper import ProcessKeeper
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.runs.model import Syscall

_FORKS = ("fork", "vfork", "clone", "clone3")
ONE_WAY = frozenset((*_FORKS, "execve", "execveat", "exit", "exit_group", "sigreturn", "rt_sigreturn"))
"""Calls that end in another process, another program, or not where they began."""
_NEVER_BACK = frozenset(("exit", "sigreturn", "rt_sigreturn"))
"""Of these, what ends in another place even if it fails."""

NO_RESULT = 0x1_0000_0000 - 512
"""-512 as a 32-bit guest's result: QEMU_ERESTARTSYS. QEMU then sets the pc back by one syscall instruction
and leaves the registers as they are. As a positive number the kernel does not take it for its own
ERESTARTSYS."""
RESTART = -512
"""The same as the host's ERESTARTSYS, which a kernel without a signal to deliver gives as it is."""
_NEAR = 1024
"""Bytes of the emulator's CPU state that are rather written at once than register by register."""
_MAX_HELD = 64
"""Returns of one thread that may be open: more than one only inside signal handlers."""


class HeldReturn(msgspec.Struct):
    """One call whose end is waited for."""

    call: Syscall
    registers: dict[str, int]
    """As they were in the call: arguments and number intact, pc behind the syscall instruction."""
    stub: Stub
    place: int
    """Guest address of the stub."""
    then: Callable[[Notification, HeldReturn, int], None]
    """Called at the end with the call's real result, negative target errno on failure. It answers."""
    result: int = 0
    """What the call really gave, once it has ended: negative target errno on failure."""
    repeats: bool = False
    """The call was only stopped to be made again: it need not be made again after a signal."""


class ReturnKeeper(ProcessKeeper):
    """The part of a guest that holds threads at the end of a call."""

    _held_returns: dict[int, list[HeldReturn]]
    """Host tid -> open returns, oldest first."""
    _made_again: dict[int, Notification]
    """Host id -> call of each thread that a checkpoint brought back, in which it waits to go on."""
    _making: set[int]
    """Host tids of threads that make a call for a rule: nobody is asked about it."""

    def hold_return(
        self,
        known: GuestProcess,
        tid: int,
        call: Syscall,
        then: Callable[[Notification, HeldReturn, int], None],
        repeats: bool = False,
        answered: bool = False,
    ) -> None:
        """Hold the thread `tid`, which is held in the middle of `call`, when the call has ended.

        The held notification still has to be answered, in any way; with `answered` it will be with an error,
        so that also a call ends where it began that else would not.

        Raises:
            TriageError: this call, thread or program cannot be held.
        """
        if call.name in (_NEVER_BACK if answered else ONE_WAY):
            raise TriageError(f"the end of {call.name} cannot be held")
        log = self.trace.logs.get(tid)
        if log is None:
            raise TriageError("the thread has no log")
        self.pid, self.tid = known.pid, tid
        arch = known.program.arch
        registers = self.call_registers(tid)
        stub = stub_for(arch, self._code(known, tid, registers[arch.pc] - 4, 4))
        if stub is None:
            raise TriageError(f"no way is known to hold the end of a call on {arch.name}")
        place = self._put_stub(known, tid, stub)
        changes = {arch.pc: place + stub.start, arch.syscall_args[MARKER_ARGUMENT]: MARKER_WHENCE}
        if arch.syscall_number != arch.syscall_return:
            changes[arch.syscall_number] = arch.syscall_nr(MARKER_CALL) or 0
        held = self._held_returns.setdefault(tid, [])
        if len(held) >= _MAX_HELD:
            raise TriageError("too many calls of this thread have not ended")
        self._set_registers(tid, changes)
        held.append(HeldReturn(call, registers, stub, place, then, repeats=repeats))
        log.markers += 1
        log.unsettled.append(call)

    def _code(self, known: GuestProcess, tid: int, address: int, size: int) -> bytes:
        """Return code of a held thread's program.

        Raises:
            TriageError: it is not readable.
        """
        try:
            return known.memory.read(tid, self.guest_base + address, size)
        except OSError:
            raise TriageError(f"guest address {address:#x} is not readable") from None

    def _put_stub(self, known: GuestProcess, tid: int, stub: Stub) -> int:
        program = known.program
        arch = program.arch
        if program.room is None:
            size = ROOM if arch.code_align == 2 else len(stub.code)
            program.room = self._room(size, None)
        if program.room is None:
            raise TriageError("the program has no room for the code that holds the end of a call")
        place = program.room + (THUMB_OFFSET if stub.step == 2 and arch.code_align == 2 else 0)
        assert len(stub.code) <= ROOM
        if self._code(known, tid, place, len(stub.code)) != stub.code:
            self.write_memory(place, stub.code)
        return place

    def _room(self, size: int, taken: int | None) -> int | None:
        found = find_room(self.executable_ranges(), size)
        return spare_room(self.maps(), self.read_memory, size, taken) if found is None else found

    def _set_registers(self, tid: int, values: Mapping[str, int]) -> None:
        """Set general registers of a held thread.

        Raises:
            TriageError: the thread's registers are not known, or it is gone.
        """
        self._held_registers = None
        env = self._env(tid)
        known = self.processes_known.of_thread(tid)
        if env is None or known is None:
            raise TriageError(f"the registers of thread {tid} were not found in the emulator")
        arch, pc_offset = known.program.arch, self.location.pc_offset
        mask, word = arch.word_mask, arch.word
        parts: list[tuple[int, bytes]] = []
        for name, value in values.items():
            offset = arch.env_offset(name, pc_offset)
            if offset is None:
                raise TriageError(f"register {name} cannot be written")
            parts.append((offset, (value & mask).to_bytes(word, sys.byteorder)))
        first = min(offset for offset, _ in parts)
        size = max(offset for offset, _ in parts) + word - first
        try:
            if size > _NEAR:
                host_memory.write_parts(tid, [(env + offset, data) for offset, data in parts])
                return
            # Written in one go with what lies between them, which does not change while the thread is held.
            content = bytearray(known.memory.read(tid, env + first, size))
            if len(content) != size:
                raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
            for offset, data in parts:
                content[offset - first : offset - first + word] = data
            known.memory.write(tid, env + first, content)
        except OSError as error:
            raise TriageError(f"the registers cannot be written: {error.strerror}") from error

    # ------------------------------------------------------------ a call that the guest did not think of

    def make_call(
        self,
        notification: Notification,
        held: HeldReturn,
        number: int,
        arguments: Sequence[int],
        then: Callable[[Notification, HeldReturn, int], None],
    ) -> None:
        """Have the thread, which waits at a marker behind the call `held`, make the call `number` now.

        `then` is called with the result when that has ended; the thread waits at a marker again.

        Raises:
            TriageError: that is not possible here.
        """
        tid = notification.tid
        known = self.processes_known.of_thread(tid)
        log = self.trace.logs.get(tid)
        if known is None or log is None:
            raise TriageError("the thread is not known")
        arch = known.program.arch
        stub = call_stub(arch, held.stub)
        if stub is None:
            raise TriageError(f"no way is known to make another call on {arch.name}")
        place = self._put_call_stub(known, tid, stub)
        registers = dict(held.registers)
        restore: list[tuple[int, bytes]] = []
        registers[arch.syscall_number] = number
        for index, value in enumerate(arguments[:8]):
            count = arch.stack_args[0] if arch.stack_args is not None else len(arch.syscall_args)
            if index < min(count, len(arch.syscall_args)):
                registers[arch.syscall_args[index]] = value
            elif arch.stack_args is not None:
                first, offset = arch.stack_args
                address = registers[arch.sp] + offset + (index - first) * arch.word
                restore.append((address, self.read_memory(address, arch.word)))
                self.write_memory(address, (value & arch.word_mask).to_bytes(arch.word, arch.endian))
        if stub.scratch is not None:
            registers[stub.scratch[0]] = arch.syscall_nr(MARKER_CALL) or 0
            registers[stub.scratch[1]] = MARKER_WHENCE
        registers[arch.pc] = place

        def ended(at_marker: Notification, made: HeldReturn, result: int) -> None:
            self._making.discard(tid)
            for address, data in restore:
                self.write_memory(address, data)
            then(at_marker, held, result)

        made = HeldReturn(held.call, held.registers, stub, place, ended, repeats=True)
        self._held_returns.setdefault(tid, []).append(made)
        log.markers += 1
        self._making.add(tid)
        self._go_to(notification, registers, held.stub.step)

    def _put_call_stub(self, known: GuestProcess, tid: int, stub: Stub) -> int:
        """Return where the stub stands, behind the one that holds the end of a call."""
        program = known.program
        # Behind the stub that holds the end of a call, of which ARM and Thumb code may need two.
        offset = ROOM if program.arch.code_align == 2 else ROOM // 2
        if program.call_room is None:
            size = offset + len(stub.code)
            program.call_room = self._room(size, program.room)
        if program.call_room is None:
            raise TriageError("the program has no room for the code that makes another call")
        place = program.call_room + offset
        if self._code(known, tid, place, len(stub.code)) != stub.code:
            self.write_memory(place, stub.code)
        return place

    def _go_to(self, notification: Notification, registers: Mapping[str, int], step: int) -> None:
        """Answer a marker so that the thread goes on with these general registers, its pc included."""
        arch = self.arch
        general = {name: value for name, value in registers.items() if name in arch.env_registers}
        if arch.word == 4:
            # QEMU goes back by one instruction and writes no result.
            self._set_registers(notification.tid, general | {arch.pc: registers[arch.pc] + step})
            self._answer(notification, NO_RESULT)
            return
        self._set_registers(notification.tid, general | {arch.pc: registers[arch.pc]})
        self._give(notification, registers[arch.syscall_return])

    def end_made(self, notification: Notification, held: HeldReturn, ret: int, real: int | None) -> None:
        """End the call `held` with `ret`; the thread made others behind it, and `real` is what it gave."""
        tid = notification.tid
        arch = self.arch
        names = [
            name for name in held.registers if name in arch.env_registers and name != arch.syscall_return
        ]
        wanted = {name: held.registers[name] for name in names}
        self._set_registers(tid, wanted | {arch.pc: held.registers[arch.pc]})
        log = self.trace.logs.get(tid)
        self._give(notification, ret)
        if log is not None:
            self.trace.settle(log, held.call, ret, ret if real is None else real)

    # ------------------------------------------------------------ at the marker

    def _may_stop(self) -> bool:
        """Tell whether what the log says of the next call may freeze the guest."""
        raise NotImplementedError

    def _on_marker(self, known: GuestProcess, notification: Notification) -> None:
        """Handle the stub's own call: the call before it has ended."""
        tid = notification.tid
        self.pid, self.tid = known.pid, tid
        log = self.trace.logs.get(tid)
        registers = self.call_registers(tid)
        arch = known.program.arch
        held = self._held_returns.get(tid, [])
        while held:
            top = held.pop()
            pc = registers[arch.pc] - top.place
            if registers[arch.sp] == top.registers[arch.sp] and pc in (
                top.stub.after,
                top.stub.after_restart,
            ):
                break
            # A signal handler left by longjmp: that call never ends.
        else:
            if log is not None:
                self.trace.drain(log, complete=True)
            # A signal that came in between has a restored thread make the call of its restoring once more.
            again = self._made_again.pop(tid, None) is not None and known.program.arch.name == "mips64el"
            self._answer(notification, RESTART if again else -errno.EINVAL)
            return
        is_restart = pc == top.stub.after_restart
        if log is not None and (
            top.repeats or is_restart or self._may_stop() or not self.trace.pass_marker(log, top.call)
        ):
            self.trace.drain(log, complete=True)
        if is_restart:
            self._after_restart(notification, top)
        else:
            top.result = self._result(top.stub, registers)
            top.then(notification, top, top.result)

    def _result(self, stub: Stub, registers: dict[str, int]) -> int:
        found = dict(registers)
        if stub.result is not None:
            found[self.arch.syscall_return] = registers[stub.result]
        if stub.flags is not None and self.arch.error_flag is not None:
            found[self.arch.error_flag[0]] = registers[stub.flags]
        return self.arch.syscall_result(found)

    def _after_restart(self, notification: Notification, held: HeldReturn) -> None:
        """A signal came in the middle: the call is made again, and its end is waited for again."""
        self.repeat_call(notification, held, {})

    def end_call(self, notification: Notification, held: HeldReturn, ret: int) -> None:
        """End the held call with `ret`, negative target errno on failure."""
        tid = notification.tid
        arch = self.arch
        names = {arch.pc, arch.syscall_args[MARKER_ARGUMENT], arch.syscall_number}
        names |= {name for name in (held.stub.result, held.stub.flags) if name is not None}
        names.discard(arch.syscall_return)
        self._set_registers(tid, {name: held.registers[name] for name in names})
        log = self.trace.logs.get(tid)
        self._give(notification, ret)
        if log is not None:
            self.trace.settle(log, held.call, ret, held.result)

    def repeat_call(self, notification: Notification, held: HeldReturn, changes: Mapping[int, int]) -> None:
        """Have the guest make the held call again; `changes` are new arguments by index.

        The result of the time before is dropped. The call's record is used for the new time too.

        Raises:
            TriageError: an argument cannot be set.
        """
        tid = notification.tid
        arch = self.arch
        registers = dict(held.registers)
        for index, value in changes.items():
            self._set_argument(held.call, registers, index, value)
        registers[arch.pc] -= held.stub.step
        log = self.trace.logs.get(tid)
        if log is not None:
            log.unsettled = [other for other in log.unsettled if other is not held.call]
            log.repeated = held.call
        self._go_to(notification, registers, held.stub.step)

    def _set_argument(self, call: Syscall, registers: dict[str, int], index: int, value: int) -> None:
        arch = self.arch
        if call.num == arch.syscall_nr("socketcall") and call.name != "socketcall":
            address = registers[arch.syscall_args[1]] + index * arch.word
            self.write_memory(address, (value & arch.word_mask).to_bytes(arch.word, arch.endian))
            return
        count = arch.stack_args[0] if arch.stack_args is not None else len(arch.syscall_args)
        if index < min(count, len(arch.syscall_args)):
            registers[arch.syscall_args[index]] = value & arch.word_mask
        elif arch.stack_args is not None and index < 8:
            first, offset = arch.stack_args
            address = registers[arch.sp] + offset + (index - first) * arch.word
            self.write_memory(address, (value & arch.word_mask).to_bytes(arch.word, arch.endian))
        else:
            raise TriageError(f"{arch.name} has no argument {index + 1}")

    def _give(self, notification: Notification, value: int) -> None:
        """Answer the marker so that the guest gets `value`."""
        mask = self.arch.word_mask
        value &= mask
        if value == mask:
            # For the C library every -1 is a failure with the errno that it holds: EPERM is 1 everywhere.
            self._answer(notification, -errno.EPERM)
        elif self.arch.word == 4:
            # A positive number of 64 bits: no errno for the kernel, the right one for the guest.
            self._answer(notification, value)
        else:
            # A failure goes through the C library and QEMU, which translates its number.
            signed = value - (1 << 64) if value >> 63 else value
            self._answer(notification, -self.arch.to_host(-signed) if -4095 <= signed < 0 else signed)
