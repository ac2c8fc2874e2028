"""Talk to the emulator's gdb stub, and answer meanwhile what the emulator asks.

The emulator has threads of its own, which make watched calls at any time: who waits for the stub alone may
wait for ever.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from triage_tui.errors import TriageError
from triage_tui.guest.calls.carrier import Carrier
from triage_tui.guest.emulator.gdbstub import GdbStub
from triage_tui.guest.host.seccomp import Notification

_PATIENCE_S = 20.0


class ServedStub:
    """A stub, and what answers the calls that come through a carrier."""

    def __init__(self, stub: GdbStub, carrier: Carrier, serve: Callable[[Notification], None]) -> None:
        """`serve` answers one call."""
        self._stub = stub
        self._carrier = carrier
        self._serve = serve

    def command(self, packet: bytes) -> bytes:
        """Send one packet and return the reply.

        Raises:
            TriageError: the stub hung up or did not answer in time.
        """
        self._stub.send(packet)
        poll = select.poll()
        poll.register(self._stub.fileno(), select.POLLIN)
        poll.register(self._carrier.fileno(), select.POLLIN)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            for fd, events in poll.poll(100):
                if fd == self._stub.fileno():
                    try:
                        reply = self._stub.receive_some()
                    except OSError as error:
                        raise TriageError(f"the emulator ended meanwhile ({error.strerror})") from error
                    if reply is not None:
                        return reply
                elif events & select.POLLIN:
                    notification = self._carrier.receive()
                    if notification is not None:
                        self._serve(notification)
                else:
                    raise TriageError("the emulator ended meanwhile")
        raise TriageError("the emulator's gdb stub does not answer")

    def serve_until(self, is_done: Callable[[], bool]) -> None:
        """Answer calls, the stub left alone, until `is_done` says so.

        Raises:
            TriageError: it did not in time.
        """
        poll = select.poll()
        poll.register(self._carrier.fileno(), select.POLLIN)
        deadline = time.monotonic() + _PATIENCE_S
        while not is_done():
            if time.monotonic() > deadline:
                raise TriageError("the emulator does not make a thread")
            if poll.poll(100) and (notification := self._carrier.receive()) is not None:
                self._serve(notification)
