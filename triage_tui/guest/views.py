"""What can be seen of a frozen guest: registers, memory, mappings, descriptors, history, figures."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping as MappingABC

from triage_tui.errors import TriageError
from triage_tui.guest import address_space, process
from triage_tui.guest.arch import Arch
from triage_tui.guest.cell import Cell
from triage_tui.guest.elf import read_elf
from triage_tui.guest.env_locator import AT_BASE, Location
from triage_tui.guest.output import OutputBuffer
from triage_tui.guest.policy import ContainmentPolicy
from triage_tui.guest.processes import ProcessTable, Program
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.trace import Trace
from triage_tui.runs.model import Descriptor, Mapping, Statistics, Syscall, Target

_MAX_READ = 16 << 20


class FrozenViews:
    """The read side of a guest. All addresses are guest addresses."""

    spec: LaunchSpec
    target: Target
    first_program: Program
    """What the guest was started with."""
    trace: Trace
    processes_known: ProcessTable
    pid: int
    """Host pid of the process that is looked at: the one that makes the held call, else the main one."""
    tid: int
    containment: ContainmentPolicy
    _cell: Cell
    _output: OutputBuffer
    _first_own_fd: int
    _started: float

    @property
    def program(self) -> Program:
        """What the process that is looked at executes."""
        return self._program_of(self.pid)

    def _program_of(self, tid: int) -> Program:
        known = self.processes_known.of_thread(tid)
        return self.first_program if known is None else known.program

    @property
    def arch(self) -> Arch:
        """The architecture of the process that is looked at."""
        return self.program.arch

    @property
    def location(self) -> Location:
        """Where the program of the process that is looked at lives in its emulator.

        Raises:
            TriageError: it has only just been started.
        """
        return self._location_of(self.pid)

    def _location_of(self, tid: int) -> Location:
        program = self._program_of(tid)
        if program.location is None:
            raise TriageError(f"{program.path} has only just been started: nothing of it is known yet")
        return program.location

    @property
    def guest_base(self) -> int:
        """Host address of guest address 0 in the process that is looked at."""
        return self.location.guest_base

    @property
    def load_bias(self) -> int:
        """Guest address of the program minus its address in its file; 0 for a fixed-address program."""
        return self.location.load_bias

    @property
    def auxv(self) -> MappingABC[int, int]:
        """The auxiliary vector that the program was started with."""
        return self.location.auxv

    @property
    def root_path(self) -> str:
        """Host path through which the guest's root can be read while it lives."""
        return f"/proc/{self.pid}/root"

    @property
    def contained(self) -> list[str]:
        """What holds the guest, in words."""
        allowed = ", ".join(sorted(self.containment.allow))
        return [*self._cell.notes, *([f"allowed by the person who started it: {allowed}"] if allowed else [])]

    def _host_address(self, address: int) -> int:
        if not 0 <= address <= self.arch.word_mask:
            raise TriageError(f"{address:#x} is no guest address")
        return self.guest_base + address

    def read_memory(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes at a guest address; less where the readable part ends.

        Raises:
            TriageError: nothing is readable there.
        """
        try:
            return process.read_memory(self.pid, self._host_address(address), min(size, _MAX_READ))
        except OSError:
            raise TriageError(f"guest address {address:#x} is not readable") from None

    def write_memory(self, address: int, data: bytes) -> None:
        """Write all of `data` at a guest address, also where the guest itself may not write.

        Raises:
            TriageError: not all of it is mapped.
        """
        try:
            process.write_memory(self.pid, self._host_address(address), data)
        except OSError:
            raise TriageError(f"guest address {address:#x} is not writable") from None

    def _env(self, tid: int) -> int | None:
        """Return the host address of a thread's registers, None when they were not found."""
        owner = self.processes_known.of_thread(tid)
        return owner.envs.get(tid) if owner is not None else None

    def registers(self, tid: int | None = None) -> dict[str, int]:
        """Return the registers of a thread (default: the one looked at), name -> unsigned value.

        In a thread that waits in a syscall the pc is after the syscall instruction and the arguments are
        intact.

        Raises:
            TriageError: the thread's registers are not known, or it is gone.
        """
        env = self._env(tid or self.tid)
        if env is None:
            raise TriageError(f"the registers of thread {tid or self.tid} were not found in the emulator")
        return self._registers_at(tid or self.tid, env)

    def _registers_at(self, tid: int, env: int) -> dict[str, int]:
        arch = self._program_of(tid).arch
        try:
            data = process.read_memory(tid, env, arch.env_span)
        except OSError as error:
            raise TriageError(f"the registers of thread {tid} cannot be read: {error.strerror}") from error
        return arch.registers_from_env(data, self._location_of(tid).pc_offset)

    def write_register(self, name: str, value: int, tid: int | None = None) -> None:
        """Set one register of a thread that waits in a syscall.

        Raises:
            TriageError: no such register, or the thread's registers are not known.
        """
        env = self._env(tid or self.tid)
        if env is None:
            raise TriageError(f"register {name} of thread {tid or self.tid} cannot be written")
        arch = self._program_of(tid or self.tid).arch
        pc_offset = self._location_of(tid or self.tid).pc_offset
        try:
            data = process.read_memory(tid or self.tid, env, arch.env_span)
            writes = arch.env_writes(name, value, data, pc_offset)
            for offset, content in writes:
                process.write_memory(tid or self.tid, env + offset, content)
        except OSError as error:
            raise TriageError(f"register {name} cannot be written: {error.strerror}") from error
        if not writes:
            raise TriageError(f"register {name} of thread {tid or self.tid} cannot be written")

    def maps(self) -> list[Mapping]:
        """Return the guest's mappings: those of the emulator's that lie in the guest's address range."""
        return address_space.guest_mappings(self.pid, self.guest_base, self.arch, self._executable_ranges())

    def _executable_ranges(self) -> list[tuple[int, int]]:
        """Return the guest ranges that the program, its interpreter or a traced call made executable."""
        ranges = [
            (start + self.load_bias, end + self.load_bias)
            for start, end in self.program.elf.executable_segments
        ]
        base = self.auxv.get(AT_BASE, 0)
        if base:
            try:
                interpreter = read_elf(self.read_memory(base, 1 << 16), "the interpreter")
            except TriageError:
                pass
            else:
                bias = base - interpreter.lowest
                ranges += [(start + bias, end + bias) for start, end in interpreter.executable_segments]
        return ranges + self.trace.executable.get(self.pid, [])

    def fds(self) -> list[Descriptor]:
        """Return the guest's open descriptors, the emulator's own left out."""
        found: list[Descriptor] = []
        states = process.socket_states(self.pid)
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(f"/proc/{self.pid}/fd"), key=int):
                fd = int(name)
                if fd >= self._first_own_fd:
                    continue
                try:
                    target = os.readlink(f"/proc/{self.pid}/fd/{fd}")
                except OSError:
                    continue
                inode = re.match(r"socket:\[(\d+)\]", target)
                found.append(
                    Descriptor(
                        fd=fd,
                        target=os.fsencode(target).decode("utf-8", "backslashreplace"),
                        kind=process.descriptor_kind(self.pid, fd, target),
                        flags=process.descriptor_flags(self.pid, fd),
                        origin_seq=self._origin(fd),
                        state=states.get(int(inode[1])) if inode else None,
                    )
                )
        return found

    def _origin(self, fd: int) -> int | None:
        makers = (
            "open",
            "openat",
            "creat",
            "socket",
            "accept",
            "accept4",
            "dup",
            "dup2",
            "dup3",
            "epoll_create1",
        )
        for call in reversed(self.trace.history):
            if call.ret == fd and call.name in makers:
                return call.seq
        return None

    def history(self) -> list[Syscall]:
        """Return the newest syscalls, oldest first; calls that have not returned have `ret` None."""
        return list(self.trace.history)

    def full_trace(self) -> list[Syscall]:
        """Return all syscalls that were kept, from the first one on, up to the cap of the limits."""
        return list(self.trace.full)

    def output(self) -> bytes:
        """Return what the guest printed on stdout and stderr, in the order of arrival, bounded."""
        return self._output.content()

    def statistics(self) -> Statistics:
        """Return figures over the whole run so far."""
        listening = process.reachable_addresses(process.socket_states(self.pid).values())
        return Statistics(
            syscalls=self.trace.count,
            distinct_signatures=len(self.trace.signatures),
            failed_syscalls=self.trace.failed,
            elapsed_ms=(time.monotonic() - self._started) * 1000,
            processes=max(1, self.processes_known.total),
            listening=listening,
            output_bytes=self._output.total,
        )
