"""What can be seen of a frozen guest: registers, memory, mappings, descriptors, history, figures."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from collections.abc import Mapping as MappingABC
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.cell.cell import Cell
from triage_tui.guest.cell.policy import ContainmentPolicy
from triage_tui.guest.emulator import emulator_image
from triage_tui.guest.emulator.env_locator import AT_SYSINFO_EHDR, Location
from triage_tui.guest.host import host_memory, process
from triage_tui.guest.log.full_trace import FILE
from triage_tui.guest.log.output import GuestOutput, OutputBuffer
from triage_tui.guest.log.ranges import RangeMap
from triage_tui.guest.log.syslog_words import SyslogWords
from triage_tui.guest.log.trace import Trace
from triage_tui.guest.processes.process_table import GuestProcess, ProcessTable, Program
from triage_tui.guest.record.memory_dump import AddressSpace
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.state import address_space, loaded_images, sockets
from triage_tui.guest.state.census import Census, take_census
from triage_tui.guest.state.descriptors import open_descriptors
from triage_tui.runs.model import Statistics, Syscall, Target
from triage_tui.runs.process_model import Computation, Descriptor, Mapping

if TYPE_CHECKING:
    from triage_tui.guest.processes.program_keeper import Emulators

_MAX_READ = 16 << 20


class FrozenViews:
    """The read side of a guest. All addresses are guest addresses."""

    spec: LaunchSpec
    target: Target
    first_program: Program
    """What the guest was started with."""
    trace: Trace
    processes_known: ProcessTable
    _held_registers: tuple[int, dict[str, int]] | None = None
    """Thread and registers of the call that is held now, if they were read."""
    pid: int
    """Host pid of the process that is looked at: the one that makes the held call, else the main one."""
    tid: int
    containment: ContainmentPolicy
    _cell: Cell
    _emulators: Emulators
    _output: GuestOutput
    syslog_words: SyslogWords
    """What it wants to say to its system log."""
    _first_own_fd: int
    _started: float
    _freeze_ms: float

    @property
    def program(self) -> Program:
        """What the process that is looked at executes."""
        return self.program_of(self.pid)

    def program_of(self, tid: int) -> Program:
        """Return what the process of a thread executes."""
        known = self.processes_known.of_thread(tid)
        return self.first_program if known is None else known.program

    @property
    def arch(self) -> Arch:
        """The architecture of the process that is looked at."""
        # Asked many times at each held call.
        known = self.processes_known.of_thread(self.pid)
        return (self.first_program if known is None else known.program).arch

    @property
    def location(self) -> Location:
        """Where the program of the process that is looked at lives in its emulator.

        Raises:
            TriageError: it has only just been started.
        """
        return self.location_of(self.pid)

    def location_of(self, tid: int) -> Location:
        """Return where the program of a thread's process lives in its emulator.

        Raises:
            TriageError: it has only just been started.
        """
        program = self.program_of(tid)
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
        # The first thread may have ended before the others.
        return f"/proc/{self.tid or self.pid}/root"

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
            return self._read_host(self.pid, self._host_address(address), min(size, _MAX_READ))
        except OSError:
            raise TriageError(f"guest address {address:#x} is not readable") from None

    def _read_host(self, tid: int, address: int, size: int) -> bytes:
        """Return up to `size` bytes at a host address of a thread's process, or raise OSError."""
        known = self.processes_known.of_thread(tid)
        if known is None:
            return host_memory.read_memory(tid, address, size)
        return known.memory.read(tid, address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        """Write all of `data` at a guest address, also where the guest itself may not write.

        Raises:
            TriageError: not all of it is mapped.
        """
        try:
            host_memory.write_memory(self.pid, self._host_address(address), data)
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
        return self.registers_at(tid or self.tid, env)

    def call_registers(self, tid: int) -> dict[str, int]:
        """Return the registers of a thread that is held in a call, without those that QEMU keeps in parts.

        They are read once for each call that is held, and when they were changed.

        Raises:
            TriageError: the thread's registers are not known, or it is gone.
        """
        if self._held_registers is not None and self._held_registers[0] == tid:
            return self._held_registers[1]
        env = self._env(tid)
        if env is None:
            raise TriageError(f"the registers of thread {tid} were not found in the emulator")
        registers = self.registers_at(tid, env, composed=False)
        self._held_registers = tid, registers
        return registers

    def registers_at(self, tid: int, env: int, composed: bool = True) -> dict[str, int]:
        """Return the registers of a thread that lie at the host address `env`.

        `composed`: with those that QEMU keeps in parts.

        Raises:
            TriageError: the thread is gone.
        """
        program = self.program_of(tid)
        location = program.location
        try:
            data = self._read_host(tid, env, program.arch.env_span)
        except OSError as error:
            raise TriageError(f"the registers of thread {tid} cannot be read: {error.strerror}") from error
        pc_offset = (location or self.location_of(tid)).pc_offset
        return program.arch.registers_from_env(data, pc_offset, composed)

    def thread_places(self, pid: int, inner: MappingABC[int, int]) -> dict[int, int]:
        """Return where the registers of the threads of a process lie: host tid -> host address.

        `inner` gives for each host tid the id as the guest sees it.
        """
        known = self.processes_known.by_pid.get(pid)
        if known is None:
            return {}
        found = {tid: env for tid, env in known.envs.items() if env is not None}
        by_id = self._registers_by_id(known, found.get(pid))
        if process.living_id(pid) != pid:
            # What the emulator had of it is freed.
            found.pop(pid, None)
        return found | {tid: by_id[number] for tid, number in inner.items() if number in by_id}

    def _registers_by_id(self, known: GuestProcess, main_env: int | None) -> dict[int, int]:
        """Return where the registers of a process's threads lie: id as the guest sees it -> host address."""
        finder = self.processes_known.finder(known.program.arch)
        if process.living_id(known.pid) == known.pid:
            return {} if main_env is None else finder.registers(known.pid, main_env)
        marks = self._emulators.landmarks.get(known.program.arch.name)
        first_env = emulator_image.first_registers(known.pid, marks) if marks is not None else None
        return {} if marks is None or first_env is None else finder.outliving(known.pid, first_env, marks)

    def write_register(self, name: str, value: int, tid: int | None = None) -> None:
        """Set one register of a thread that waits in a syscall.

        Raises:
            TriageError: no such register, or the thread's registers are not known.
        """
        self._held_registers = None
        env = self._env(tid or self.tid)
        if env is None:
            raise TriageError(f"register {name} of thread {tid or self.tid} cannot be written")
        arch = self.program_of(tid or self.tid).arch
        pc_offset = self.location_of(tid or self.tid).pc_offset
        try:
            data = host_memory.read_memory(tid or self.tid, env, arch.env_span)
            writes = arch.env_writes(name, value, data, pc_offset)
            for offset, content in writes:
                host_memory.write_memory(tid or self.tid, env + offset, content)
        except OSError as error:
            raise TriageError(f"register {name} cannot be written: {error.strerror}") from error
        if not writes:
            raise TriageError(f"register {name} of thread {tid or self.tid} cannot be written")

    def read_process_memory(self, pid: int, address: int, size: int) -> bytes:
        """Return up to `size` bytes at a guest address of one of the guest's processes.

        Raises:
            TriageError: nothing is readable there.
        """
        if not 0 <= address <= self.program_of(pid).arch.word_mask:
            raise TriageError(f"{address:#x} is no guest address")
        try:
            base = self.location_of(pid).guest_base
            return host_memory.read_memory(pid, base + address, min(size, _MAX_READ))
        except OSError:
            raise TriageError(f"guest address {address:#x} is not readable") from None

    def maps(self, pid: int = 0) -> list[Mapping]:
        """Return the mappings of a process (default: the one looked at), in guest addresses."""
        pid = pid or self.pid
        location, program = self.location_of(pid), self.program_of(pid)
        inside, last = loaded_images.first_stack(partial(self.read_process_memory, pid), location)
        permitted = RangeMap()
        if stack := address_space.stack_range(pid, location.guest_base, inside, last):
            permitted.set(*stack, "rwx" if program.elf.executable_stack else "rw-")
        for start, end, perms in self._segments(pid):
            permitted.set(*address_space.page_range(start, end), perms)
        for start, end, perms in self.trace.effects(pid).permissions():
            permitted.set(start, end, perms)
        bias = location.load_bias
        return address_space.name_mappings(
            address_space.guest_mappings(
                pid, location.guest_base, program.arch, permitted, self.spec.observe == "full"
            ),
            [(start + bias, end + bias) for start, end, _perms in program.elf.segments],
            self.trace.effects(pid).heap,
            inside,
            location.auxv.get(AT_SYSINFO_EHDR, 0),
        )

    def _segments(self, pid: int) -> list[tuple[int, int, str]]:
        """Return what program, interpreter and vDSO have: (start, end, permissions)."""
        return loaded_images.segments(
            partial(self.read_process_memory, pid), self.program_of(pid).elf, self.location_of(pid)
        )

    def executable_ranges(self) -> list[tuple[int, int]]:
        """Return the ranges that the program, its interpreter or a call of the guest made executable."""
        asked = [*self._segments(self.pid), *self.trace.effects(self.pid).permissions()]
        return [(start, end) for start, end, perms in asked if "x" in perms]

    def fds(self, pid: int = 0) -> list[Descriptor]:
        """Return the open descriptors of a process (default: the one looked at), the emulator's own left out.

        Raises:
            TriageError: the process is gone.
        """
        pid = pid or self.pid
        try:
            return list(open_descriptors(pid, self._first_own_fd, self.trace.effects(pid).opener))
        except OSError as error:
            raise TriageError(f"the descriptors of process {pid} cannot be read: {error.strerror}") from error

    def address_spaces(self) -> list[AddressSpace]:
        """Return the memory of every process, that of the one looked at first."""
        pids = sorted(self.processes(), key=lambda pid: pid != self.pid)
        spaces: list[AddressSpace] = []
        for pid in pids:
            with contextlib.suppress(TriageError):
                base = self.location_of(pid).guest_base
                spaces.append(AddressSpace(process.inner_pid(pid), pid, base, self.maps(pid)))
        return spaces

    def census(self) -> Census:
        """Return every process and thread, with what each has and was started with."""
        return take_census(self)

    def history(self) -> list[Syscall]:
        """Return the newest syscalls, oldest first; calls that have not returned have `ret` None."""
        return self.trace.newest()

    def full_trace(self) -> list[Syscall]:
        """Return the syscalls that were kept: half of the limit from the first on, half up to the last."""
        return self.trace.kept()

    def copy_full_trace(self, directory: Path) -> str | None:
        """Copy the full trace into a run directory, if one is kept; return what it lacks, if anything.

        Raises:
            OSError: it cannot be written.
        """
        full = self.trace.full
        if full is None:
            return None
        full.copy_to(directory / FILE)
        limit = self.spec.limits.full_trace_bytes
        lacks = [f"it had reached {limit >> 20} MiB: later calls are not in it"] if full.left_out else []
        if self.trace.passed_over:
            lacks.append(f"{self.trace.passed_over} bytes in between came too fast to be read")
        return ", and ".join(lacks) or None

    def streams(self) -> dict[str, tuple[bytes, int]]:
        """Return stdout and stderr by name: what is kept of each, bounded, and how many bytes it had."""
        return {name: (buffer.content(), buffer.total) for name, buffer in self._output.streams.items()}

    def read_file(self, path: str, limit: int) -> tuple[bytes, int]:
        """Return at most `limit` bytes of a regular file of the guest's, half from each end, and its size.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """
        fd = self._cell.open_file(path.encode("utf-8", "surrogateescape"))
        with open(fd, "rb", buffering=0) as file:
            size = os.fstat(fd).st_size
            kept = OutputBuffer(limit)
            if size <= limit:
                kept.add(file.read(limit))
                return kept.content(), kept.total
            head = file.read(limit // 2)
            file.seek(size - limit // 2)
            tail = file.read(limit // 2)
        return head + b"\n[... %d bytes left out ...]\n" % (size - len(head) - len(tail)) + tail, size

    def system_log(self) -> tuple[bytes, int, int]:
        """Return what the guest wanted to say to its system log, bounded; bytes in all; how often it is not
        known.
        """
        words = self.syslog_words
        return words.content(), words.total, words.unseen

    def calls_left_out(self) -> int:
        """Return how many calls in the middle `full_trace` lacks, at least."""
        return self.trace.left_out or int(self.trace.passed_over > 0)

    def output(self) -> bytes:
        """Return what the guest printed on stdout and stderr, in the order of arrival, bounded."""
        return self._output.both.content()

    def statistics(self) -> Statistics:
        """Return figures over the whole run so far."""
        if self.trace.skimmed:
            # Signatures of calls that were only counted are known after reading them.
            self.trace.kept()
        return Statistics(
            syscalls=self.trace.count,
            distinct_signatures=len(self.trace.signatures),
            failed_syscalls=self.trace.failed,
            elapsed_ms=(time.monotonic() - self._started) * 1000,
            processes=max(1, self.processes_known.total),
            listening=self.listening(),
            output_bytes=self._output.both.total,
            log_bytes_passed_over=self.trace.passed_over,
            freeze_ms=self._freeze_ms,
        )

    def listening(self) -> list[str]:
        """Return where others can reach the guest, in words as `sockets.reachable_addresses` has them."""
        return sockets.reachable_addresses(self._socket_states())

    def _socket_states(self) -> Iterator[str]:
        """Yield state and addresses of each socket of the guest."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                yield from sockets.states(pid, self._first_own_fd)

    def processes(self) -> list[int]:
        """Return the host pids of the guest's living processes."""
        raise NotImplementedError

    def computed_by(self, tid: int) -> Computation | None:
        """Return what was measured of a thread that has computed for long, None of any other."""
        raise NotImplementedError

    def wait_status(self, inner: int) -> int | None:
        """Return how the process with the guest's id `inner` ended (wait(2)), None where it is not known."""
        raise NotImplementedError
