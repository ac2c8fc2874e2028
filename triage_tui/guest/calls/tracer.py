"""Carry watched calls by ptrace(2), where the kernel gives no seccomp listener.

The filter then returns SECCOMP_RET_TRACE: a watched call stops its thread for the tracer before anything of
it is executed, and the others do not stop at all. The tracer is the launcher's process, which is an ancestor
of the guest (as Yama asks for), has a single thread (as ptrace asks for), and lives as long as the guest.
It decides nothing: it tells the supervisor of each stop and does what it is ordered to.

What else stops a traced thread goes on unchanged: signals are delivered, new threads and processes are traced
from their first instruction on, a thread stopped by SIGSTOP stays so until SIGCONT. While the guest is
frozen every thread that stops is kept where it is. A program executed
without an order for it is killed before its first instruction. When this process ends, the kernel kills the
guest (PTRACE_O_EXITKILL).

By the time this runs, the launcher's root directory is the guest's: nothing may be imported or opened here.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import socket
import struct
from collections import deque

from triage_tui.guest.calls.tracee_calls import (
    CONT,
    EVENT_SECCOMP,
    EVENT_STOP,
    STOP_SIGNALS,
    SYSCALL,
    SYSCALL_STOP,
    Calls,
    receive_descriptor,
)
from triage_tui.guest.freezing import restarts
from triage_tui.guest.host import host_syscalls
from triage_tui.guest.host.libc import checked, libc
from triage_tui.guest.host.ptrace import Tracee, TraceeGone, request

EVENT = struct.Struct("=QqQQ6Q")
"""A watched thread waits: (id, thread id, number of the call, address behind it, arguments)."""
ORDER = struct.Struct("=IiQQq6Q")
"""(what, process id, number of the order, id of the waiting thread's event, value, values); a descriptor or a
name follow."""
REPLY = struct.Struct("=Qq")
"""(number of the order, result or negative errno)."""
PROCEED, ANSWER, IS_WAITING, ADD_FD, NAME, STACK, EXECUTE, RELEASE, HOLD, LET_GO, CHANGE = range(1, 12)
"""PROCEED and ANSWER (with the value) have no reply, the others have one: a result or a negative errno.

CHANGE gives the waiting call the values as its arguments.
HOLD has the thread that is the value stop where it is, and replies 1 when it has; from then on whatever stops
stays stopped, until LET_GO."""
ANY_NUMBER = -1
CLOEXEC = 1

_GETEVENTMSG, _SEIZE, _INTERRUPT, _LISTEN = 0x4201, 0x4206, 0x4207, 0x4208
# TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC, TRACESECCOMP, EXITKILL
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
_EVENT_EXEC = 4
_WALL = 0x40000000
_SFD_NONBLOCK, _SFD_CLOEXEC = 0o4000, 0o2000000
_SIGNAL_INFO = 128
_PR_SET_NAME = 15
_CREDENTIALS = struct.Struct("=iII")
_ORDER_SIZE = 256


def ask_to_be_traced(handshake: socket.socket) -> None:
    """In the guest's process: have the launcher trace this process from here on.

    Raises:
        OSError: it cannot.
    """
    handshake.send(b"trace me")
    said = handshake.recv(4096).decode()
    if said != "traced":
        raise OSError(errno.EPERM, said or "the launcher is gone")


def await_request(handshake: socket.socket) -> int:
    """In the launcher: wait until a process asks to be traced; 0: it does not, or has ended.

    The socket must have SO_PASSCRED.
    """
    data, ancillary, _flags, _address = handshake.recvmsg(64, socket.CMSG_SPACE(_CREDENTIALS.size))
    if not data:
        return 0
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid: int = _CREDENTIALS.unpack(value[: _CREDENTIALS.size])[0]
            return pid
    return 0


def serve(
    handshake: socket.socket, pid: int, init: int, events: socket.socket, orders: socket.socket
) -> None:
    """In the launcher: trace the process `pid`, which has asked for it, until all of the cell are gone.

    `init` is the cell's first process, a child of this one.
    """
    tracer = _Tracer(init, events, orders)
    try:
        request(_SEIZE, pid, 0, _OPTIONS)
    except (OSError, TraceeGone) as error:
        handshake.send(f"its system calls cannot be traced either ({error})".encode())
        return
    handshake.send(b"traced")
    handshake.close()
    tracer.run()


def _signal_descriptor(which: int) -> int:
    """Return a signalfd for a signal, which is blocked from here on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [which])
    mask = ctypes.c_uint64(1 << (which - 1))
    return checked(libc.signalfd(-1, ctypes.byref(mask), _SFD_NONBLOCK | _SFD_CLOEXEC), "signalfd")


class _Tracer:
    def __init__(self, init: int, events: socket.socket, orders: socket.socket) -> None:
        self.init = init
        self.events = events
        self.orders = orders
        self.unsent: deque[bytes] = deque()
        self.tracees: dict[int, Tracee] = {}
        self.waiting: dict[int, int] = {}
        """Id of an event -> the thread that waits."""
        self.held: dict[int, tuple[int, list[int]]] = {}
        """Thread that waits -> (id of its event, registers)."""
        self.executing: dict[int, tuple[int, list[int]]] = {}
        """Thread that was ordered to execute the emulator -> (number of the order, its registers)."""
        self.frozen = False
        """Threads that stop are kept, in `kept`."""
        self.kept: dict[int, tuple[int, int]] = {}
        """Thread that is kept where it stopped -> how it is to go on: request, signal."""
        self.order = 0
        """Number of the order that is being followed."""
        self.begun = False
        """The launcher has executed the first emulator."""
        self.last_id = 0
        self.numbers = host_syscalls.numbers()

    def run(self) -> None:
        events, orders = self.events.fileno(), self.orders.fileno()
        self.events.setblocking(False)
        signals = _signal_descriptor(signal.SIGCHLD)
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        poll.register(orders, select.POLLIN)
        while self._take_stops():
            if self.unsent:
                poll.register(events, select.POLLOUT)
            for fd, _what in poll.poll():
                if fd == orders:
                    if not self._take_order():
                        # The supervisor is gone: the end of init is that of the whole cell.
                        poll.unregister(orders)
                        os.kill(self.init, signal.SIGKILL)
                elif fd == signals:
                    with contextlib.suppress(BlockingIOError):
                        os.read(signals, _SIGNAL_INFO)
                else:
                    self._send_unsent()
                    if not self.unsent:
                        poll.unregister(events)

    # ------------------------------------------------------------ stops

    def _take_stops(self) -> bool:
        """Take all that is there; False when there is nobody left."""
        while True:
            try:
                tid, status = os.waitpid(-1, os.WNOHANG | _WALL)
            except ChildProcessError:
                return False
            if tid == 0:
                return True
            self._take(tid, status)

    def _take(self, tid: int, status: int) -> None:
        # A thread that is not there is being killed, and its end will be told.
        with contextlib.suppress(TraceeGone):
            if os.WIFSTOPPED(status):
                self._on_stop(tid, status >> 16, os.WSTOPSIG(status))
            else:
                self._forget(tid)

    def _await_stop(self, tid: int) -> int:
        """Wait until the thread `tid` stops; return its wait status.

        What others do is seen to meanwhile: the end of a first thread is not told before that of all others.

        Raises:
            TraceeGone: it has ended.
        """
        while True:
            found, status = os.waitpid(-1, _WALL)
            if found == tid and os.WIFSTOPPED(status):
                return status
            self._take(found, status)
            if found == tid:
                raise TraceeGone

    def _tracee(self, tid: int) -> Tracee:
        known = self.tracees.get(tid)
        if known is None:
            known = self.tracees[tid] = Tracee(tid, seize=False)
        return known

    def _forget(self, tid: int) -> None:
        self.tracees.pop(tid, None)
        self.kept.pop(tid, None)
        if tid in self.held:
            del self.waiting[self.held.pop(tid)[0]]
        if tid in self.executing:
            self._reply(-errno.ESRCH, self.executing.pop(tid)[0])

    def _on_stop(self, tid: int, event: int, which: int) -> None:
        if event == EVENT_SECCOMP:
            self._hold(tid)
        elif event == _EVENT_EXEC:
            self._on_exec(tid)
        elif event == EVENT_STOP:
            restarts.set_back(self._tracee(tid))
            self._go_on(_LISTEN if which in STOP_SIGNALS else CONT, tid)
        elif event:
            self._go_on(CONT, tid)
        elif which == SYSCALL_STOP:
            self._on_failed_execution(tid)
        else:
            if which in STOP_SIGNALS:
                restarts.set_back(self._tracee(tid))
            self._go_on(CONT, tid, which)

    def _go_on(self, how: int, tid: int, which: int = 0) -> None:
        """Let a stopped thread go on, with a signal if `which` is one, or when the guest is let go."""
        if self.frozen:
            self.kept[tid] = how, which
        else:
            request(how, tid, 0, which)

    def _keep(self, tid: int) -> int:
        """Have a thread stop where it is; return whether it has."""
        self.frozen = True
        if tid in self.kept or tid in self.held:
            return 1
        request(_INTERRUPT, tid)
        return 0

    def _let_go(self) -> None:
        """Let all go on that was kept."""
        self.frozen = False
        kept, self.kept = self.kept, {}
        for tid, (how, which) in kept.items():
            # One that was killed meanwhile: its end will be told.
            with contextlib.suppress(TraceeGone):
                request(how, tid, 0, which)

    def _hold(self, tid: int) -> None:
        """Tell the supervisor of a watched call."""
        tracee = self._tracee(tid)
        words = tracee.read_registers()
        number, arguments = tracee.held_call(words)
        self.last_id += 1
        self.waiting[self.last_id] = tid
        self.held[tid] = self.last_id, words
        self.unsent.append(EVENT.pack(self.last_id, tid, number, tracee.pointer(words), *arguments))
        self._send_unsent()

    def _send_unsent(self) -> None:
        try:
            while self.unsent:
                self.events.send(self.unsent[0])
                self.unsent.popleft()
        except BlockingIOError:
            return
        except OSError:
            self.unsent.clear()

    def _on_exec(self, pid: int) -> None:
        """A program is in place, before its first instruction."""
        former = ctypes.c_ulong()
        request(_GETEVENTMSG, pid, 0, ctypes.addressof(former))
        ordered = self.executing.pop(former.value, None)
        # Who executes a program becomes its process's first thread; what that waited for is over.
        self._forget(former.value)
        self._forget(pid)
        if ordered is not None:
            # It stays where it is until the supervisor has looked.
            self._reply(0, ordered[0])
            return
        if self.begun:
            os.kill(pid, signal.SIGKILL)
            return
        self.begun = True
        request(CONT, pid)

    def _on_failed_execution(self, tid: int) -> None:
        ordered = self.executing.pop(tid, None)
        if ordered is not None:
            order, words = ordered
            tracee = self._tracee(tid)
            result = tracee.result(tracee.read_registers())
            tracee.write_registers(tracee.with_result(words, result))
            self._reply(result, order)
        request(CONT, tid)

    # ------------------------------------------------------------ orders

    def _reply(self, value: int, order: int | None = None) -> None:
        with contextlib.suppress(OSError):
            self.orders.send(REPLY.pack(self.order if order is None else order, value))

    def _take_order(self) -> bool:
        try:
            data, fds, _flags, _address = socket.recv_fds(self.orders, _ORDER_SIZE, 1)
        except OSError:
            return False
        if len(data) < ORDER.size:
            return False
        what, pid, self.order, identifier, value, *values = ORDER.unpack_from(data)
        try:
            self._follow(what, pid, identifier, value, tuple(values), fds, data[ORDER.size :])
        except TraceeGone:
            if what not in (PROCEED, ANSWER):
                self._reply(-errno.ESRCH if what != IS_WAITING else 0)
        except OSError as error:
            if what not in (PROCEED, ANSWER):
                self._reply(-(error.errno or errno.EIO))
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _follow(
        self,
        what: int,
        pid: int,
        identifier: int,
        value: int,
        values: tuple[int, ...],
        fds: list[int],
        name: bytes,
    ) -> None:
        if what == RELEASE:
            request(CONT, pid)
            self._reply(0)
            return
        if what == HOLD:
            self._reply(self._keep(value))
            return
        if what == LET_GO:
            self._let_go()
            self._reply(0)
            return
        tid = self.waiting.get(identifier)
        if tid is None:
            raise TraceeGone
        tracee = self._tracee(tid)
        words = self.held[tid][1]
        if what == IS_WAITING:
            tracee.read_registers()
            self._reply(1)
        elif what == CHANGE:
            tracee.replace_held(words, tracee.held_call(words)[0], values)
            self.held[tid] = identifier, tracee.read_registers()
            self._reply(0)
        elif what == STACK:
            self._reply(tracee.stack_pointer(words))
        elif what == ADD_FD:
            number = None if value == ANY_NUMBER else value
            with Calls(tracee, words, self._await_stop) as calls:
                added = receive_descriptor(
                    calls, self.numbers, pid, fds[0], number, bool(values[0] & CLOEXEC)
                )
            self._reply(added)
        elif what == NAME:
            with Calls(tracee, words, self._await_stop) as calls:
                calls.put(name)
                result = calls.make(self.numbers["prctl"], (_PR_SET_NAME, calls.place, 0, 0, 0, 0))
            self._reply(result)
        else:
            if what == EXECUTE:
                tracee.replace_held(words, self.numbers["execveat"], values)
                self.executing[tid] = self.order, words
            elif what == ANSWER:
                tracee.skip_held(words, value)
            del self.waiting[identifier], self.held[tid]
            request(SYSCALL if what == EXECUTE else CONT, tid)
