"""The threads of a recorded guest in the order in which a person goes through them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from triage_tui.runs.model import Register, Snapshot
from triage_tui.runs.process_model import Mapping, Process, Thread
from triage_tui.ui.rows import short

MAX_SHOWN = 4096
"""Threads that can be stepped through."""


class ThreadView(msgspec.Struct, frozen=True):
    """One thread and what the record holds of it."""

    registers: list[Register]
    maps: Sequence[Mapping]
    process: Process | None = None
    thread: Thread | None = None
    cause: bool = False
    """The snapshot is about this thread: its stop is why the guest was frozen."""

    @property
    def key(self) -> tuple[int, int] | None:
        """Process and thread id; None in a record that names no threads."""
        if self.process is None or self.thread is None:
            return None
        return self.process.pid, self.thread.tid

    @property
    def doing(self) -> str:
        """What it was doing, in words: "blocked in futex"."""
        thread = self.thread
        if thread is None:
            return "frozen here"
        if thread.call:
            return f"{'frozen at' if self.cause else 'blocked in'} {short(thread.call, 30)}"
        if thread.state == "ended":
            return "ended before the others"
        if thread.state == "computing":
            long = f" for {thread.computed.seconds:.1f} s" if thread.computed is not None else ""
            return f"frozen while computing{long}" if self.cause else f"computing{long}"
        return "frozen here" if self.cause else "state unknown"

    @property
    def ids(self) -> str:
        """Its ids in words, "" in a record that names no threads."""
        return "" if self.key is None else "pid {} tid {}".format(*self.key)


def threads_of(snapshot: Snapshot) -> list[ThreadView]:
    """Return all threads: the one that caused the freeze, then its process's others, then other processes'.

    Empty when the record holds neither registers nor threads.
    """
    first: list[ThreadView] = []
    near: list[ThreadView] = []
    far: list[ThreadView] = []
    for process in snapshot.processes:
        maps = snapshot.maps if process.looked_at else process.maps
        for thread in process.threads:
            if thread.looked_at and not first:
                first.append(ThreadView(snapshot.regs, maps, process, thread, cause=True))
            else:
                registers = _registers(thread, process, snapshot)
                (near if process.looked_at else far).append(ThreadView(registers, maps, process, thread))
    if not first and snapshot.regs:
        first.append(ThreadView(snapshot.regs, snapshot.maps, cause=True))
    return (first + near + far)[:MAX_SHOWN]


def _registers(thread: Thread, process: Process, snapshot: Snapshot) -> list[Register]:
    """Return the registers of a thread as wide as those of the frozen one, where the machine is the same."""
    same = process.arch in ("", snapshot.target.arch)
    sizes = {register.name: register.size for register in snapshot.regs} if same else {}
    usual = 8 if any(value >= 1 << 32 for value in thread.registers.values()) else 4
    return [
        Register(num=number, name=name, value=value, size=sizes.get(name, usual))
        for number, (name, value) in enumerate(thread.registers.items())
    ]


def title_of(threads: Sequence[ThreadView], index: int) -> str:
    """Return "thread 2 of 5 · pid 812 tid 814 · blocked in futex"; "▶" marks the cause of the freeze."""
    if not 0 <= index < len(threads):
        return ""
    shown = threads[index]
    if shown.key is None and len(threads) == 1:
        return ""
    mark = "▶ " if shown.cause else ""
    parts = [f"{mark}thread {index + 1} of {len(threads)}", shown.ids, shown.doing]
    return " · ".join(part for part in parts if part)
