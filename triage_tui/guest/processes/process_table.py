"""The processes and threads of a guest, and where their registers are.

A forked process has its registers at the address where the thread that forked had them. A new thread gets a
CPUArchState of its own, see `thread_registers`.
"""

from __future__ import annotations

import msgspec

from triage_tui.guest.arch import Arch
from triage_tui.guest.cell.identity import Identity
from triage_tui.guest.cell.limits import Limits
from triage_tui.guest.emulator.elf import ElfInfo
from triage_tui.guest.emulator.env_locator import Location
from triage_tui.guest.emulator.thread_registers import ThreadFinder
from triage_tui.guest.freezing.loops import LoopDetector
from triage_tui.guest.host import process
from triage_tui.guest.host.process_memory import ProcessMemory


class Forking(msgspec.Struct, frozen=True):
    """What a new process takes over from the thread that forks.

    That is program, registers, its log's descriptor, and what it wished for limits.
    """

    process: GuestProcess
    program: Program
    env: int | None
    number: int | None
    limits: Limits


class Program(msgspec.Struct):
    """What a process executes, with its forked children: they have the same memory at the same places."""

    path: str
    """As the guest names it, absolute."""
    argv: list[str]
    arch: Arch
    elf: ElfInfo
    location: Location | None = None
    """None as long as nothing of it was found in the emulator."""
    room: int | None = None
    """Guest address of unused bytes in its code, see `return_stub`; None: not looked for, or none."""
    call_room: int | None = None
    """The same for the code that makes calls for rules."""
    name: bytes = b""
    """What its process is to be called, until it is."""
    tries: int = 0
    """How often it was looked for in vain."""


class GuestProcess(msgspec.Struct):
    """One process of the guest. `pid` is its host id, `inner` its id as the guest sees it."""

    pid: int
    inner: int
    program: Program
    parent: int = 0
    """Inner id of the process that forked it."""
    loops: dict[int, LoopDetector] = msgspec.field(default_factory=dict)
    """Host tid -> what looks for loops in that thread."""
    envs: dict[int, int | None] = msgspec.field(default_factory=dict)
    """Host tid -> host address of its general registers; None: looked for and not found."""
    memory: ProcessMemory = msgspec.field(default_factory=ProcessMemory)
    identity: Identity = msgspec.field(default_factory=Identity)
    """The ids that it believes to have, where it can have one only."""
    limits: Limits = msgspec.field(default_factory=Limits)
    """What it wished for limits that would hit the emulator."""
    forking: Forking | None = None
    """The thread that is about to fork."""
    exiting: bool = False


class ProcessTable:
    """All living processes of the guest that have made themselves known."""

    def __init__(self) -> None:
        self.by_pid: dict[int, GuestProcess] = {}
        self._of_thread: dict[int, GuestProcess] = {}
        self._finders: dict[str, ThreadFinder] = {}
        self.total = 0
        self.last_forking: Forking | None = None
        self.early_limits: dict[int, Limits] = {}
        """Host pid -> limits that were set for a process before it made itself known."""
        self.main: GuestProcess | None = None
        """The process whose end is the end of the guest; None: one that has not made itself known yet."""
        self._next_main = 0

    def of_thread(self, tid: int) -> GuestProcess | None:
        """Return the known process of a thread."""
        # Asked many times at each held call.
        known = self._of_thread.get(tid)
        if known is None:
            known = self.by_pid.get(process.process_of(tid))
            if known is not None:
                self._of_thread[tid] = known
        return known

    def finder(self, arch: Arch) -> ThreadFinder:
        """Return what finds the threads of processes with the emulator for `arch`."""
        return self._finders.setdefault(arch.name, ThreadFinder())

    def add(self, new: GuestProcess) -> None:
        """Add a process."""
        self.forget_threads(new.pid)
        if (before := self.by_pid.get(new.pid)) is not None:
            before.memory.close()
        self.by_pid[new.pid] = new
        if new.pid == self._next_main:
            self.main = new
        self.total += 1

    def move_main(self, pid: int) -> None:
        """Make another process the main one: the one before it has become a daemon's parent."""
        self._next_main = pid
        self.main = self.by_pid.get(pid)

    def forget_threads(self, pid: int) -> None:
        """Forget which threads a process has: it executes another program, or is gone."""
        for tid in [tid for tid, owner in self._of_thread.items() if owner.pid == pid]:
            del self._of_thread[tid]

    def forget_thread(self, tid: int) -> None:
        """Forget whose a thread is that is about to end."""
        known = self._of_thread.pop(tid, None)
        if known is not None:
            known.envs.pop(tid, None)

    def remove(self, pid: int) -> GuestProcess | None:
        """Forget a process that is gone."""
        self.forget_threads(pid)
        self.early_limits.pop(pid, None)
        known = self.by_pid.pop(pid, None)
        if known is not None:
            known.memory.close()
        return known

    def close(self) -> None:
        """Let go of the memory of all processes."""
        for known in self.by_pid.values():
            known.memory.close()
