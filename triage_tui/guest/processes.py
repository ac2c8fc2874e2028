"""The processes and threads of a guest, and where their registers are.

A forked process has its registers at the address where the thread that forked had them. A new thread gets a
CPUArchState of its own: QEMU keeps all of them in one list, so that the newest one is found from the main
thread's (see `find_thread_env`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from triage_tui.guest import process
from triage_tui.guest.arch import Arch
from triage_tui.guest.elf import ElfInfo
from triage_tui.guest.env_locator import Location
from triage_tui.guest.identity import Identity
from triage_tui.guest.loops import LoopDetector

_BACKWARD = 0x6000
"""How far before CPUArchState its CPUState may begin (QEMU 7.2 to 10.0: less than 0x5000)."""
_POINTER = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class Forking:
    """What a new process takes over from the thread that forks: program, registers, its log's descriptor."""

    process: GuestProcess
    env: int | None
    number: int | None


@dataclass(slots=True)
class Program:
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
    tries: int = 0
    """How often it was looked for in vain."""


@dataclass(slots=True)
class GuestProcess:
    """One process of the guest. `pid` is its host id, `inner` its id as the guest sees it."""

    pid: int
    inner: int
    program: Program
    parent: int = 0
    """Inner id of the process that forked it."""
    loops: dict[int, LoopDetector] = field(default_factory=dict)
    """Host tid -> what looks for loops in that thread."""
    envs: dict[int, int | None] = field(default_factory=dict)
    """Host tid -> host address of its general registers; None: looked for and not found."""
    identity: Identity = field(default_factory=Identity)
    """The ids that it believes to have, where it can have one only."""
    forking: Forking | None = None
    """The thread that is about to fork."""
    exiting: bool = False
    logs_closed: bool = False
    """The guest has closed the logs with close_range: put them back at the next chance."""


class ProcessTable:
    """All living processes of the guest that have made themselves known."""

    def __init__(self) -> None:
        self.by_pid: dict[int, GuestProcess] = {}
        self._pid_of: dict[int, int] = {}
        self.total = 0
        self.last_forking: Forking | None = None
        self.main: GuestProcess | None = None
        """The process whose end is the end of the guest; None: one that has not made itself known yet."""
        self._next_main = 0

    def of_thread(self, tid: int) -> GuestProcess | None:
        """Return the known process of a thread."""
        pid = self._pid_of.get(tid)
        if pid is None or pid not in self.by_pid:
            pid = process.process_of(tid)
            if pid not in self.by_pid:
                return None
            self._pid_of[tid] = pid
        return self.by_pid[pid]

    def add(self, new: GuestProcess) -> None:
        """Add a process."""
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
        for tid in [tid for tid, owner in self._pid_of.items() if owner == pid]:
            del self._pid_of[tid]

    def remove(self, pid: int) -> GuestProcess | None:
        """Forget a process that is gone."""
        self.forget_threads(pid)
        return self.by_pid.pop(pid, None)


def _words(pid: int, start: int, size: int) -> tuple[int, ...]:
    try:
        data = process.read_memory(pid, start, size)
    except OSError:
        return ()
    return struct.unpack(f"={len(data) // 8}Q", data[: len(data) // 8 * 8])


def find_thread_envs(pid: int, main_env: int, arch: Arch) -> list[int]:
    """Return the register addresses of all threads of a QEMU process, the main thread's first.

    Every CPUState begins with a pointer to the same class object, and is linked to the next one (`node`, a
    QTAILQ entry). So: a word before the main thread's registers that points to something with the same first
    word as the main CPUState's is the link. Which word begins the main CPUState is not known beforehand; the
    pair (begin, link) that agrees is the answer.
    """
    start = (main_env - _BACKWARD) & ~7
    words = _words(pid, start, _BACKWARD)
    if not words:
        return [main_env]
    heads: dict[int, int] = {}
    for index, word in enumerate(words):
        if word > 0x10000 and word not in heads:
            heads[word] = index
    for link_index, link in enumerate(words):
        if link < 0x10000 or link % 16 or start <= link < main_env:
            continue
        try:
            (first,) = _POINTER.unpack(process.read_memory(pid, link, 8))
        except (OSError, struct.error):
            continue
        head_index = heads.get(first)
        if head_index is None or head_index >= link_index:
            continue
        begin = start + 8 * head_index
        envs = _follow(pid, begin, first, start + 8 * link_index - begin, main_env - begin)
        if len(envs) > 1:
            return envs
    return [main_env]


def _follow(pid: int, begin: int, head: int, link_offset: int, env_offset: int) -> list[int]:
    """Walk the list of CPUStates; return their register addresses, empty if it is no such list."""
    envs: list[int] = []
    at, previous = begin, 0
    while at and len(envs) < 4096:
        try:
            (first,) = _POINTER.unpack(process.read_memory(pid, at, 8))
            link, back = struct.unpack("=QQ", process.read_memory(pid, at + link_offset, 16))
        except (OSError, struct.error):
            return []
        # tqe_prev points to the previous element's link field.
        if first != head or (envs and back != previous + link_offset):
            return []
        envs.append(at + env_offset)
        previous, at = at, link
    return envs
