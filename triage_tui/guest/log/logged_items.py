"""What QEMU's system call log tells of: calls, and signals that are delivered."""

from __future__ import annotations

import msgspec


class LoggedCall(msgspec.Struct):
    """One call in the log. `pid` is the id inside the guest's own pid name space."""

    pid: int
    name: str
    arguments: bytes
    number: int | None = None
    """Guest syscall number, only for calls that QEMU has no name for."""
    result: bytes | None = None
    note: str | None = None
    by_socketcall: bool = False
    """Made through socketcall(2): the number is that one's, the arguments are in memory."""
    at: int = 0
    """Offset in the log at which its text begins."""
    end: int = 0
    """Offset at which its text ended when its thread went into it."""


class LoggedSignal(msgspec.Struct, frozen=True):
    """A signal that is being delivered to the guest: its name and the text of its siginfo."""

    name: str
    details: bytes


class LongerCall(msgspec.Struct, frozen=True):
    """A call that has been read already: what came behind it belongs to its string too."""

    call: LoggedCall

    @property
    def name(self) -> str:
        """The call's name."""
        return self.call.name


Item = LoggedCall | LoggedSignal | LongerCall
