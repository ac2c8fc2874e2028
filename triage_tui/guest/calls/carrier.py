"""What carries the guest's watched calls to the supervisor, and its decisions back.

There are two, with one meaning: a watched thread waits inside its host system call, before anything of that
is executed, until it is answered. `NotificationCarrier` is seccomp user notification. Where the kernel gives
no listener, `triage_tui.guest.calls.trace_carrier` does the same through ptrace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Literal, Protocol

from triage_tui.guest.calls import other_arguments
from triage_tui.guest.freezing.holding import HeldThreads
from triage_tui.guest.freezing.pausing import Holder
from triage_tui.guest.host import seccomp
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.processes import execution, process_name

CarrierName = Literal["seccomp-notify", "seccomp-trace"]
Defer = Callable[[Notification], None]
"""Takes notifications of other threads that come in between."""


class Carrier(Protocol):
    """The supervisor's end. Belongs to the thread that owns the guest."""

    @property
    def name(self) -> CarrierName:
        """How the record calls it."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when `receive` has something, and hung up at the end."""

    def receive(self) -> Notification | None:
        """Take the next notification; None when its thread is gone again.

        Raises:
            OSError: there will be no more.
        """

    def proceed(self, notification: Notification) -> bool:
        """Let the kernel execute the call as it stands; False when its thread is known to be gone."""

    def answer(self, notification: Notification, result: int) -> bool:
        """Give the call `result` (negative host errno on failure) without executing it."""

    def is_waiting(self, notification: Notification) -> bool:
        """Return whether the thread still waits for this answer (so that its ids are still its own)."""

    def add_fd(
        self, notification: Notification, fd: int, number: int | None = None, cloexec: bool = False
    ) -> int:
        """Give the waiting process a duplicate of our `fd`, as `number` if given; return its number there.

        Raises:
            OSError: the process is gone, or has no room.
        """

    def change_arguments(self, notification: Notification, arguments: tuple[int, ...]) -> Notification | None:
        """Have the waiting thread make its call with other arguments.

        Returns the notification that still has to be answered, None when another one will come for it.

        Raises:
            OSError: that cannot be done; the notification still has to be answered.
        """

    def give_name(self, notification: Notification, name: bytes, defer: Defer) -> bool:
        """Name the process whose first thread waits; see `process_name.give_name`."""

    def execute(
        self,
        notification: Notification,
        pid: int,
        emulation: execution.Emulation,
        argv: int,
        environment: list[int],
        defer: Defer,
    ) -> execution.Outcome:
        """Have the waiting thread execute the emulator; see `execution.execute`."""

    @property
    def holder(self) -> Holder:
        """What can hold the guest's threads where they are."""

    def look_after(self) -> None:
        """Do what could not be done at once; to be called now and then."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""


_PERIOD_S = 0.02
_OFTEN = 40
"""Notifications in one period from which on guest and supervisor mostly wait for each other."""


class NotificationCarrier:
    """A seccomp listener."""

    name: CarrierName = "seccomp-notify"

    def __init__(self, listener: int) -> None:
        """Own the descriptor `listener`."""
        self._listener = listener
        self.holder = HeldThreads()
        self._by_turns = False
        self._received = 0
        self._since = time.monotonic()

    def fileno(self) -> int:
        """Return the listener."""
        return self._listener

    def receive(self) -> Notification | None:
        """See `Carrier`."""
        self._received += 1
        now = time.monotonic()
        if now - self._since >= _PERIOD_S:
            often = self._received >= _OFTEN
            if often != self._by_turns:
                self._by_turns = often
                seccomp.wake_in_turn(self._listener, often)
            self._received, self._since = 0, now
        return seccomp.receive(self._listener)

    def proceed(self, notification: Notification) -> bool:
        """See `Carrier`."""
        return seccomp.proceed(self._listener, notification)

    def answer(self, notification: Notification, result: int) -> bool:
        """See `Carrier`."""
        return seccomp.answer(self._listener, notification, result)

    def is_waiting(self, notification: Notification) -> bool:
        """See `Carrier`."""
        return seccomp.is_waiting(self._listener, notification)

    def add_fd(
        self, notification: Notification, fd: int, number: int | None = None, cloexec: bool = False
    ) -> int:
        """See `Carrier`."""
        return seccomp.add_fd(self._listener, notification, fd, number, cloexec)

    def change_arguments(self, notification: Notification, arguments: tuple[int, ...]) -> Notification | None:
        """See `Carrier`."""
        other_arguments.change_arguments(self._listener, notification, arguments)
        return None

    def give_name(self, notification: Notification, name: bytes, defer: Defer) -> bool:
        """See `Carrier`."""
        return process_name.give_name(self._listener, notification, name, defer)

    def execute(
        self,
        notification: Notification,
        pid: int,
        emulation: execution.Emulation,
        argv: int,
        environment: list[int],
        defer: Defer,
    ) -> execution.Outcome:
        """See `Carrier`."""
        return execution.execute(self._listener, notification, pid, emulation, argv, environment, defer)

    def look_after(self) -> None:
        """See `Carrier`."""
        self.holder.release_late()

    def close(self) -> None:
        """Close the listener: threads that wait for an answer get ENOSYS, held ones are killed."""
        self.holder.kill()
        if self._listener >= 0:
            os.close(self._listener)
            self._listener = -1
