"""The supervisor's end of the tracer: a carrier of watched calls where there is no seccomp listener.

What it means is told in `triage_tui.guest.calls.carrier`, what the other end does in
`triage_tui.guest.calls.tracer`.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterable

from triage_tui.guest.calls import tracer
from triage_tui.guest.calls.carrier import CarrierName, Defer
from triage_tui.guest.host import process
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.processes import execution

_REPLY_TIMEOUT = 10.0


class TraceCarrier:
    """Orders to the tracer, and what it tells."""

    name: CarrierName = "seccomp-trace"

    def __init__(self, events: socket.socket, orders: socket.socket) -> None:
        """Own our ends of the tracer's two sockets (SOCK_SEQPACKET)."""
        self._events = events
        self._orders = orders
        self._number = 0
        """Of the newest order."""
        orders.settimeout(_REPLY_TIMEOUT)

    def fileno(self) -> int:
        """Return the socket by which the tracer tells of watched calls."""
        return self._events.fileno()

    def receive(self) -> Notification | None:
        """See `Carrier`."""
        data = self._events.recv(tracer.EVENT.size)
        if len(data) < tracer.EVENT.size:
            raise OSError(errno.EPIPE, "the tracer is gone")
        identifier, tid, number, pointer, *arguments = tracer.EVENT.unpack(data)
        return Notification(identifier, tid, number, tuple(arguments), pointer)

    def proceed(self, notification: Notification) -> bool:
        """See `Carrier`."""
        return self._send(self._order(tracer.PROCEED, notification.id))

    def answer(self, notification: Notification, result: int) -> bool:
        """See `Carrier`."""
        # As the other carrier's: a result of 64 bits, whatever sign it is written with.
        return self._send(self._order(tracer.ANSWER, notification.id, value=_signed(result)))

    def is_waiting(self, notification: Notification) -> bool:
        """See `Carrier`."""
        return self._ask(self._order(tracer.IS_WAITING, notification.id)) == 1

    def add_fd(
        self, notification: Notification, fd: int, number: int | None = None, cloexec: bool = False
    ) -> int:
        """See `Carrier`. The process needs room for three descriptors for a moment."""
        order = self._order(
            tracer.ADD_FD,
            notification.id,
            pid=process.process_of(notification.tid),
            value=tracer.ANY_NUMBER if number is None else number,
            values=(tracer.CLOEXEC if cloexec else 0,),
        )
        added = self._ask(order, fd)
        if added < 0:
            raise OSError(-added, os.strerror(-added))
        return added

    def change_arguments(self, notification: Notification, arguments: tuple[int, ...]) -> Notification | None:
        """See `Carrier`."""
        result = self._ask(self._order(tracer.CHANGE, notification.id, values=arguments))
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return notification._replace(args=arguments)

    def give_name(self, notification: Notification, name: bytes, defer: Defer) -> bool:
        """Name the process; False: the notification still has to be answered."""
        self._ask(self._order(tracer.NAME, notification.id, more=name + b"\0"))
        return False

    def execute(
        self,
        notification: Notification,
        pid: int,
        emulation: execution.Emulation,
        argv: int,
        environment: list[int],
        defer: Defer,
    ) -> execution.Outcome:
        """Have the waiting thread execute the emulator instead of what it asks for.

        Nothing has to be interrupted or taken back as in `execution.execute`: the thread stands in front of
        its call, and is given another one. What came of it is looked at in the same way, before its first
        instruction.
        """
        tid = notification.tid
        try:
            arguments = execution.read_pointers(tid, argv)
            words = execution.argument_words(tid, emulation, arguments)
            stack = self._ask(self._order(tracer.STACK, notification.id))
            if stack < 0:
                return execution.Outcome(killed=True, why="it was killed meanwhile")
            values = execution.write_vectors(
                tid, pid, stack, words, arguments[1:], environment, emulation.own_fd
            )
        except OSError as error:
            number = error.errno or errno.ENOEXEC
            self.answer(notification, -number)
            return execution.Outcome(error=-number)
        result = self._ask(self._order(tracer.EXECUTE, notification.id, values=values))
        if result == -errno.ESRCH:
            return execution.Outcome(killed=True, why="it was killed meanwhile")
        if result < 0:
            return execution.Outcome(error=result)
        try:
            expected = execution.is_expected(pid, emulation, words)
        except OSError:
            expected = False
        if not expected:
            process.send_signal(pid, signal.SIGKILL)
            return execution.Outcome(killed=True, why="what was executed is not the emulator as it was to be")
        self._ask(self._order(tracer.RELEASE, 0, pid=pid))
        return execution.Outcome()

    @property
    def holder(self) -> TraceCarrier:
        """See `Carrier`: the tracer, which has all threads already."""
        return self

    refused = frozenset[int]()

    def hold(self, tids: Iterable[int]) -> set[int]:
        """See `pausing.Holder`."""
        return {tid for tid in tids if self._ask(self._order(tracer.HOLD, 0, value=tid)) == 0}

    def release(self) -> None:
        """See `pausing.Holder`."""
        self._ask(self._order(tracer.LET_GO, 0))

    def look_after(self) -> None:
        """See `Carrier`: the tracer does it by itself."""

    def close(self) -> None:
        """Hang up: the tracer goes on until the cell is gone."""
        self._events.close()
        self._orders.close()

    # ------------------------------------------------------------ the sockets

    def _order(
        self,
        what: int,
        identifier: int,
        pid: int = 0,
        value: int = 0,
        values: tuple[int, ...] = (),
        more: bytes = b"",
    ) -> bytes:
        """Return the next order in the form in which it is sent."""
        self._number += 1
        values += (0,) * (6 - len(values))
        return tracer.ORDER.pack(what, pid, self._number, identifier, value, *values) + more

    def _send(self, order: bytes, fd: int | None = None) -> bool:
        try:
            if fd is None:
                self._orders.send(order)
            else:
                socket.send_fds(self._orders, [order], [fd])
        except OSError:
            return False
        return True

    def _ask(self, order: bytes, fd: int | None = None) -> int:
        """Give the newest order and return its result, a negative errno where it failed."""
        if not self._send(order, fd):
            return -errno.ESRCH
        while True:
            try:
                data = self._orders.recv(tracer.REPLY.size)
            except OSError:
                # The tracer hangs: by this it ends itself and the guest.
                self._orders.close()
                data = b""
            if len(data) < tracer.REPLY.size:
                return -errno.ESRCH
            replied, result = tracer.REPLY.unpack(data)
            # Of an order that was interrupted (Ctrl-C) nobody has taken the reply.
            if replied == self._number:
                return int(result)


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
