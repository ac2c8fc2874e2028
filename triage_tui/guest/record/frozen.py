"""What `capture` asks of a guest that does not run; `supervisor.Guest` and `stops.Stop` are such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from triage_tui.guest.arch import Arch
from triage_tui.guest.record.memory_dump import AddressSpace
from triage_tui.guest.state.census import Census
from triage_tui.runs.model import Loop, Reason, Statistics, Syscall, Trigger
from triage_tui.runs.process_model import Descriptor, Mapping


class FrozenGuest(Protocol):
    """What is asked of a guest that does not run. Any method may raise; then that part is unavailable."""

    @property
    def arch(self) -> Arch:
        """The guest's architecture."""
        ...

    @property
    def pid(self) -> int:
        """Host pid of the process that is looked at."""
        ...

    @property
    def root_path(self) -> str:
        """Host path through which the guest's files can be read."""
        ...

    def registers(self) -> dict[str, int]:
        """Return name -> value of the thread that is looked at."""
        ...

    def read_memory(self, address: int, size: int, /) -> bytes:
        """Return up to `size` bytes at a guest address."""
        ...

    def read_process_memory(self, pid: int, address: int, size: int, /) -> bytes:
        """Return up to `size` bytes at a guest address of the process with this host pid."""
        ...

    def maps(self) -> list[Mapping]:
        """Return the guest's mappings."""
        ...

    def fds(self) -> list[Descriptor]:
        """Return the open descriptors."""
        ...

    def address_spaces(self) -> list[AddressSpace]:
        """Return the memory of every process, that of the one looked at first."""
        ...

    def census(self) -> Census:
        """Return every process and thread, with what each has and was started with."""
        ...

    def not_observed(self) -> Sequence[tuple[str, str]]:
        """Return what of the run was not observed, and why, in pairs."""
        ...

    def history(self) -> list[Syscall]:
        """Return the newest syscalls, oldest first."""
        ...

    def full_trace(self) -> list[Syscall]:
        """Return all syscalls that were kept, oldest first."""
        ...

    def copy_full_trace(self, directory: Path, /) -> str | None:
        """Copy the full trace into a run directory, if one is kept; return what it lacks, if anything."""
        ...

    def streams(self) -> dict[str, tuple[bytes, int]]:
        """Return stdout and stderr by name: what is kept of each, and how many bytes it had."""
        ...

    def read_file(self, path: str, limit: int, /) -> tuple[bytes, int]:
        """Return at most `limit` bytes of a file of the guest's, half from each end, and its size."""
        ...

    def system_log(self) -> tuple[bytes, int, int]:
        """Return what it wanted to say to its system log; bytes in all; how often that is not known."""
        ...

    def calls_left_out(self) -> int:
        """Return how many calls in the middle `full_trace` lacks, at least."""
        ...

    def output(self) -> bytes:
        """Return what the guest printed."""
        ...

    def statistics(self) -> Statistics:
        """Return figures over the whole run."""
        ...


class StopReport(Protocol):
    """Why the guest does not run any more."""

    @property
    def reason(self) -> Reason:
        """The kind of stop."""
        ...

    @property
    def trigger(self) -> Trigger:
        """The moment of the stop."""
        ...

    @property
    def loop(self) -> Loop | None:
        """The repeated sequence, if that is the reason."""
        ...

    @property
    def ended(self) -> bool:
        """True if the guest's process is gone."""
        ...
