"""Have a guest that has only just been started go on from a checkpoint.

It waits at its first instruction under the same build of the emulator and executes the same program, so that
what QEMU itself makes of both is the same again. The rest is made by system calls in the guest's place
(`injecting`), so that the emulator knows of it, and by writing memory and registers.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingABC
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.cell.cell import Cell
from triage_tui.guest.checkpoint.action_table import set_action
from triage_tui.guest.checkpoint.attributes import give_attributes
from triage_tui.guest.checkpoint.injecting import PAGE, Injector
from triage_tui.guest.checkpoint.locks import lock_again
from triage_tui.guest.checkpoint.model import Checkpoint
from triage_tui.guest.checkpoint.putting_back import put_files_back, put_times_back
from triage_tui.guest.checkpoint.restoring_files import FileRestorer
from triage_tui.guest.checkpoint.restoring_marks import watch_again
from triage_tui.guest.checkpoint.restoring_memory import MemoryRestorer, free_page
from triage_tui.guest.checkpoint.restoring_threads import ThreadRestorer, Waiting
from triage_tui.guest.checkpoint.served_stub import ServedStub
from triage_tui.guest.checkpoint.settling import fill_pipe
from triage_tui.guest.checkpoint.task_state import EVERY_SIGNAL, set_blocked
from triage_tui.guest.emulator.env_locator import Location
from triage_tui.guest.host import host_memory, process
from triage_tui.guest.host.seccomp import Notification
from triage_tui.runs.process_model import Mapping

_MOST_IDS = 4096
"""Ids of processes that are taken away at most: each is a thread of a moment."""
_WORD = struct.Struct("=Q")


def restore(
    *,
    pid: int,
    arch: Arch,
    location: Location,
    stub: ServedStub,
    cell: Cell,
    maps: Callable[[], list[Mapping]],
    open_files: int,
    checkpoint: Checkpoint,
    directory: Path,
    waiting: MappingABC[int, Notification],
    places: Callable[[], MappingABC[int, int]],
) -> tuple[int, list[Waiting]]:
    """Make the guest in process `pid` what the checkpoint in `directory` is; return how many calls it took,
    and its other threads.

    `maps` gives its mappings, `open_files` is its limit of descriptors, `waiting` the new threads that have
    come to their call and `places` where the registers of all are, both by their ids. The guest waits in
    `stub` before and after; that it is the same program under the same emulator is for the caller to check
    (`fitting`).

    Raises:
        TriageError: something cannot be had again; the guest is of no use then.
        OSError: it is gone, or the images cannot be read.
    """
    put_files_back(cell, directory, checkpoint.facts.changed)
    injector = Injector(pid, arch, location, stub)
    memory = MemoryRestorer(pid, location.guest_base, checkpoint, directory, injector)
    first, last = (registers[arch.pc] & -PAGE for registers in (injector.registers(), checkpoint.registers))
    page = free_page(arch.word, (maps(), checkpoint.areas))
    with injector.room(first, page, last):
        # An alarm must not be heard before all is there: which signals are, the caller says at last.
        set_blocked(injector, EVERY_SIGNAL)
        memory.check_heap()
        memory.restore([area for area in maps() if area.start != page])
        files = FileRestorer(
            pid, checkpoint, injector, lambda path: cell.request("remove", path, 0), open_files - 1
        )
        writers = files.restore()
        for number, data in checkpoint.pipes.items():
            if number in writers:
                fill_pipe(pid, writers[number], data, checkpoint.pipe_sizes.get(number, 0))
        lock_again(injector, checkpoint.locks, checkpoint.files, checkpoint.descriptors)
        injector.call("chdir", injector.put(os.fsencode(checkpoint.cwd) + b"\0"))
        injector.call("umask", checkpoint.umask)
        for action in checkpoint.actions:
            set_action(injector, action)
        others: list[Waiting] = []
        if checkpoint.threads:
            if process.inner_pid(pid) != checkpoint.pid:
                raise TriageError("its process cannot have its number again: start over")
            threads = ThreadRestorer(injector, waiting, stub.serve_until, cell.reach_id)
            # From 8.0 on QEMU maps a table of segments into the guest for each thread that is made there
            # (`cpu_copy`, linux-user/main.c). What the checkpoint has of them lies at its own place.
            tables = arch.name == "i386"
            before = maps() if tables else []
            others = threads.restore(checkpoint)
            set_blocked(injector, EVERY_SIGNAL)
            if tables:
                memory.take_away(maps(), before)
        if checkpoint.facts.clear_tid:
            injector.call("set_tid_address", checkpoint.facts.clear_tid)
        put_times_back(cell, checkpoint.facts.changed)
        # From here on nothing may be done to its files.
        watch_again(injector, pid, checkpoint)
        give_attributes(injector, pid, checkpoint.facts.attributes)
    if 0 < checkpoint.facts.last_id < _MOST_IDS:
        # What it makes from now on has the ids that it would have had, wherever that can be had.
        cell.reach_id(checkpoint.facts.last_id + 1)
    for other in others:
        env = places().get(other.notification.tid)
        if env is None:
            raise TriageError("the registers of a new thread were not found in the emulator")
        _restore_state(pid, arch, location, env, other.thread.state, checkpoint.areas)
    _restore_state(pid, arch, location, location.env, checkpoint.state, checkpoint.areas)
    return injector.calls, others


def _restore_state(
    pid: int, arch: Arch, location: Location, env: int, state: bytes, areas: Sequence[Mapping]
) -> None:
    """Make the emulator's state of the thread at `env` that of a checkpoint, but for what is the emulator's.

    Both are of one build with one processor model, so that all that differs is the guest's, and pointers into
    the emulator: these stay what they are.
    """
    size = len(state) // _WORD.size * _WORD.size
    now = host_memory.read_memory(pid, env, size)
    general = len(arch.env_registers) * arch.word
    ranges = [
        (mapping.start, mapping.end)
        for mapping in process.read_maps(pid)
        if not location.guest_base <= mapping.start < location.guest_base + (1 << 32)
    ]
    guests = [(location.guest_base + area.start, location.guest_base + area.end) for area in areas]
    result = bytearray(now)
    for at in range(0, size, _WORD.size):
        if now[at : at + 8] == state[at : at + 8]:
            continue
        (value,) = _WORD.unpack_from(now, at)
        if at >= general and _is_within(value, ranges) and not _is_within(value, guests):
            continue
        result[at : at + 8] = state[at : at + 8]
    offset = location.pc_offset
    result[:general] = state[:general]
    result[offset : offset + arch.word] = state[offset : offset + arch.word]
    host_memory.write_memory(pid, env, bytes(result))


def _is_within(value: int, ranges: list[tuple[int, int]]) -> bool:
    return value > 0xFFFF and any(start <= value < end for start, end in ranges)
