"""Write down the processes of a frozen guest, with what each does at which signal."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from triage_tui.binary.modules import ModuleMap
from triage_tui.guest.arch import Arch, by_name
from triage_tui.guest.emulator.signal_actions import Action, ActionTables, asked_for, flag_names
from triage_tui.guest.record.frozen import FrozenGuest
from triage_tui.guest.state.census import name_thread_stacks
from triage_tui.runs.model import Snapshot, Syscall, Unavailable
from triage_tui.runs.process_model import Mapping, Process, SignalAction
from triage_tui.runs.writer import RunWriter

_IGNORED = 1
_MAX_PROCESSES = 32
"""Processes whose signal actions are looked for."""


def capture_processes(
    guest: FrozenGuest, snapshot: Snapshot, writer: RunWriter, calls: Sequence[Syscall]
) -> None:
    """Fill in all processes; `calls` is the trace, and the snapshot has the mappings already.

    Raises:
        OSError: the run directory cannot be written.
    """
    census = guest.census()
    snapshot.processes = census.processes
    snapshot.unavailable += census.missing
    for entry in census.processes:
        if entry.looked_at:
            name_thread_stacks(guest.arch, entry, snapshot.maps)
    writer.write_environments(census.environments)
    _add_signal_actions(guest, snapshot, calls)


def _add_signal_actions(guest: FrozenGuest, snapshot: Snapshot, calls: Sequence[Syscall]) -> None:
    """Fill in what the processes do at their signals, where that can be told."""
    entries = {entry.pid: entry for entry in snapshot.processes if entry.arch}
    tables = ActionTables()
    for space in guest.address_spaces()[:_MAX_PROCESSES]:
        entry = entries.get(space.pid)
        asked = asked_for(calls, set(_family(space.pid, entries))) if entry is not None else set()
        if entry is None or not asked:
            continue
        arch = by_name(entry.arch)
        maps = snapshot.maps if entry.looked_at else space.maps
        modules = ModuleMap(maps, Path(guest.root_path))
        try:
            actions = tables.read(space.host_pid, arch, _holds_code(maps, modules), asked)
        except OSError as error:
            actions, why = None, error.strerror or str(error)
        else:
            why = "the emulator's table of them was not recognised"
        if actions is None:
            snapshot.unavailable.append(Unavailable(what=f"signal handlers of process {entry.pid}", why=why))
        else:
            entry.signal_actions = [_recorded(action, arch, modules) for action in actions]
            # The kernel's real-time signals are not the guest's: QEMU moves them, and QEMU 10 has one of them
            # stand for SIGABRT.
            names = {action.signal for action in actions if action.handler == _IGNORED}
            entry.ignored_signals = [
                name for name in entry.ignored_signals if not name.startswith("SIGRT") or name in names
            ]


def _family(pid: int, entries: dict[int, Process]) -> list[int]:
    """Return a process and those that it descends from, from which it has its actions."""
    line: list[int] = []
    while pid in entries and pid not in line:
        line.append(pid)
        pid = entries[pid].parent
    return line


def _holds_code(maps: Sequence[Mapping], modules: ModuleMap) -> Callable[[int], bool]:
    ranges = sorted((entry.start, entry.end) for entry in maps if "x" in modules.permissions(entry))
    starts = [start for start, _ in ranges]

    def holds(address: int) -> bool:
        index = bisect_right(starts, address) - 1
        return index >= 0 and address < ranges[index][1]

    return holds


def _recorded(action: Action, arch: Arch, modules: ModuleMap) -> SignalAction:
    entry = SignalAction(signal=action.signal, flags=flag_names(arch, action.flags))
    if action.handler == _IGNORED:
        entry.action = "ignore"
        return entry
    entry.addr = action.handler
    location = modules.locate(action.handler & ~1 if arch.name.startswith("arm") else action.handler)
    if location is None:
        path = modules.path_at(action.handler)
        entry.module_name = PurePosixPath(path).name if path is not None else None
        return entry
    entry.module_name = location.module.name
    entry.module_offset = action.handler - location.module.bias
    if location.symbol is not None and location.symbol.is_function:
        entry.func_name = location.name
    return entry
