"""The held call that rules are being asked about, and what is given from above to tell where it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from triage_tui.guest.arch import Arch
from triage_tui.guest.calls.carrier import Carrier
from triage_tui.guest.calls.stand_ins import Peers
from triage_tui.guest.cell.cell import Cell
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.state.memory import Memory
from triage_tui.guest.state.views import FrozenViews
from triage_tui.runs.process_model import Mapping as GuestMapping

AddressDescriber = Callable[[Sequence[GuestMapping], Path, int], Mapping[str, "int | str"]]
"""Given the guest's mappings, its root as the host sees it, and a code address: what is known of it,
under the names of `GuestAccess.resolve_address`. Given from above, because this package reads no programs."""


class CallerFinder(Protocol):
    """Finds the call stack of a thread; given from above, as `AddressDescriber` is."""

    def __call__(
        self,
        arch: Arch,
        registers: Mapping[str, int],
        memory: Memory,
        maps: Sequence[GuestMapping],
        root: Path,
        most: int,
    ) -> Sequence[Mapping[str, int | str]]:
        """Return the frames as `GuestAccess.callers` does; `root` is the guest's root as the host sees it."""
        ...


class CallContext(msgspec.Struct, frozen=True):
    """The held call that a rule is being asked about."""

    views: FrozenViews
    cell: Cell
    carrier: Carrier
    notification: Notification
    peers: Peers
    in_host_call: bool = True
    """The notification is the call itself, its arguments are the host's."""
    may_change: bool = True
    """The call has not been made."""
    executes: bool = False
    """It is an execve or execveat."""
    changes: dict[int, int] = msgspec.field(default_factory=dict)
    """Arguments that rules have changed, by index."""
    starts: list[bool] = msgspec.field(default_factory=list)
    """Not empty: a rule starts the program that this call is to execute."""
    written: list[tuple[int, bytes]] = msgspec.field(default_factory=list)
    """What rules have written, (guest address, bytes), oldest first."""
    registers: dict[str, int] | None = None
    """General registers as the call had them, where its thread waits at the engine's own call; what is
    changed here is what the thread goes on with."""
    result: int | None = None
    """What the call gave, once it has ended: negative target errno on failure."""
    maps: list[GuestMapping] = msgspec.field(default_factory=list)
    """The mappings of the process, once they were asked for."""
