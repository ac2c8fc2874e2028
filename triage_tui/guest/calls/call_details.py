"""Add to the record of a call what only the thread that is held in it shows."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from triage_tui.errors import TriageError
from triage_tui.guest.calls.undecided import PATH_ARGUMENT
from triage_tui.guest.host import host_memory
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.syscall_record import decode_address, to_text
from triage_tui.guest.processes.process_keeper import ProcessKeeper
from triage_tui.guest.state import poll_sets
from triage_tui.runs.model import Syscall

_ADDRESS_ARGUMENT = {"connect": (1, 2), "bind": (1, 2), "sendto": (4, 5)}
"""Host call -> indices of the arguments that are a socket address and its length."""


class CallDetails(ProcessKeeper):
    """The part of a guest that reads the arguments of held calls."""

    def fill_arguments(self, call: Syscall, tid: int) -> None:
        """Take the call's raw arguments from the registers of the thread that is in it."""
        if call.args:
            return
        try:
            registers = self.call_registers(tid)
        except TriageError:
            return
        arch = self.program_of(tid).arch
        if call.num != arch.syscall_in(registers):
            return
        call.args = self.raw_arguments(call.num, call.name, tid, registers)
        call.pc = registers.get(arch.pc)
        call.return_address = registers.get(arch.lr) if arch.lr else None

    def raw_arguments(self, number: int, name: str, tid: int, registers: Mapping[str, int]) -> list[int]:
        """Return the arguments of the call `name` that a held thread with these registers is in."""
        arch = self.program_of(tid).arch
        arguments = [registers[register] for register in arch.syscall_args][:6]
        if number == arch.syscall_nr("socketcall") and name != "socketcall":
            return self._words_at(tid, arguments[1], 6)
        if arch.stack_args is not None:
            index, offset = arch.stack_args
            arguments[index:] = self._words_at(tid, registers[arch.sp] + offset, 8 - index)
        return arguments

    def _describe_waits(self) -> None:
        """Say what the frozen threads that are blocked in poll wait for."""
        for tid, log in self.trace.logs.items():
            call = next(iter(self.trace.pending(log)[-1:]), None)
            if call is None or call.name not in poll_sets.CALLS:
                continue
            self.fill_arguments(call, tid)
            if len(call.args) < 2 or not call.arguments:
                continue
            try:
                address = self.location_of(tid).guest_base + call.args[0]
                data = host_memory.read_memory(
                    tid, address, min(call.args[1], poll_sets.MOST) * poll_sets.SIZE
                )
            except (TriageError, OSError):
                continue
            call.arguments[0] = poll_sets.poll_set(log.arch, data, call.args[1])

    def _words_at(self, tid: int, address: int, count: int) -> list[int]:
        """Return up to `count` words of a thread's memory, fewer where it ends."""
        arch = self.program_of(tid).arch
        try:
            data = host_memory.read_memory(tid, self.location_of(tid).guest_base + address, count * arch.word)
        except OSError:
            return []
        layout = ("<" if arch.endian == "little" else ">") + ("I" if arch.word == 4 else "Q")
        whole = len(data) // arch.word * arch.word
        return [value for (value,) in struct.iter_unpack(layout, data[:whole])]

    def _hear_log_line(self, call: Syscall, tid: int) -> None:
        """Keep the line that the thread may have made ready for the system log."""
        try:
            arch, base = self.program_of(tid).arch, self.location_of(tid).guest_base
            stack = self.call_registers(tid)[arch.sp]
        except (TriageError, KeyError):
            return
        self.syslog_words.take(
            call, arch, stack, lambda address, size: host_memory.read_memory(tid, base + address, size)
        )

    def _complete(self, call: Syscall, notification: Notification, name: str) -> None:
        """Add to a record what only the held thread shows: raw arguments, exact path, socket address."""
        call.host = name
        tid = notification.tid
        self.fill_arguments(call, tid)
        try:
            # The emulator has its own idea of some /proc paths; the log has the guest's words.
            if name in PATH_ARGUMENT and not (call.path or "").startswith("/proc/"):
                call.path = to_text(host_memory.read_string(tid, notification.args[PATH_ARGUMENT[name]]))
            elif name in _ADDRESS_ARGUMENT:
                at, length = _ADDRESS_ARGUMENT[name]
                size = min(notification.args[length] & 0xFFFFFFFF, 128)
                if notification.args[at] and size >= 2:
                    call.peer = decode_address(host_memory.read_memory(tid, notification.args[at], size))
                    if name == "connect" and (call.peer or "").startswith("unix:"):
                        self._hear_log_line(call, tid)
        except OSError:
            return
