"""Write down the call stacks of the threads that are not looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from triage_tui.binary.modules import ModuleMap
from triage_tui.guest.arch import Arch, by_name
from triage_tui.guest.record.capture_code import find_frames
from triage_tui.guest.record.capture_parts import Parts
from triage_tui.guest.record.frozen import FrozenGuest
from triage_tui.guest.state.memory import Memory
from triage_tui.runs.model import Snapshot
from triage_tui.runs.process_model import Mapping, Process, Thread

MAX_STACKS = 32
"""Threads whose call stack is looked for, those of the process that is looked at first."""
MAX_THREAD_FRAMES = 24


class RecordedMemory(msgspec.Struct, frozen=True):
    """Memory of a process, with its mappings as they are recorded."""

    read: Callable[[int, int], bytes]
    mappings: list[Mapping]

    def read_memory(self, addr: int, size: int) -> bytes:
        """Return up to `size` bytes."""
        return self.read(addr, size)

    def maps(self) -> list[Mapping]:
        """Return the mappings."""
        return self.mappings


def capture_thread_frames(
    guest: FrozenGuest, snapshot: Snapshot, memory: Memory, modules: ModuleMap, part: Parts
) -> None:
    """Fill in the call stacks; `memory` and `modules` are those of the process that is looked at."""
    wanted = list(_other_threads(snapshot))
    spaces = {space.pid: space.host_pid for space in guest.address_spaces()} if wanted else {}
    sources: dict[int, tuple[Arch, Memory, ModuleMap]] = {}
    for process, thread in wanted[:MAX_STACKS]:
        if process.looked_at:
            sources[process.pid] = guest.arch, memory, modules
        elif process.pid not in sources:
            if process.pid not in spaces:
                continue
            arch = by_name(process.arch)
            read = partial(guest.read_process_memory, spaces[process.pid])
            its = Memory(RecordedMemory(read, process.maps), arch)
            sources[process.pid] = arch, its, ModuleMap(process.maps, Path(guest.root_path))
        with part(f"backtrace of thread {thread.tid} of process {process.pid}"):
            thread.frames, _ = find_frames(
                sources[process.pid][0], thread.registers, *sources[process.pid][1:], MAX_THREAD_FRAMES
            )
    if len(wanted) > MAX_STACKS:
        part.note("backtraces of all threads", f"those of {MAX_STACKS} of {len(wanted)} others are recorded")


def _other_threads(snapshot: Snapshot) -> Iterator[tuple[Process, Thread]]:
    """Yield the threads that are not looked at and have registers, those of its process first."""
    for process in sorted(snapshot.processes, key=lambda process: not process.looked_at):
        for thread in process.threads:
            if thread.registers and not thread.looked_at:
                yield process, thread
