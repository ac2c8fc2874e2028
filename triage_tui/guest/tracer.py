"""Carry watched calls by ptrace(2), where the kernel gives no seccomp listener.

The filter then returns SECCOMP_RET_TRACE: a watched call stops its thread for the tracer before anything of
it is executed, and the others do not stop at all. The tracer is the launcher's process, which is an ancestor
of the guest (as Yama asks for), has a single thread (as ptrace asks for), and lives as long as the guest.
It decides nothing: it tells the supervisor of each stop and does what it is ordered to.

What else stops a traced thread goes on unchanged: signals are delivered, new threads and processes are traced
from their first instruction on, a thread stopped by SIGSTOP stays so until SIGCONT. A program executed
without an order for it is killed before its first instruction. When this process ends, the kernel kills the
guest (PTRACE_O_EXITKILL).

By the time this runs, the launcher's root directory is the guest's: nothing may be imported or opened here.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import os
import select
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable

from triage_tui.guest import host_syscalls, process, restarts
from triage_tui.guest.ptrace import Tracee, TraceeGone, request

EVENT = struct.Struct("=QqQ6Q")
"""A watched thread waits: (id, thread id, number of the call, arguments)."""
ORDER = struct.Struct("=IiQq6Q")
"""(what, process id, id of the waiting thread's event, value, values); descriptor or name follow."""
REPLY = struct.Struct("=q")
PROCEED, ANSWER, IS_WAITING, ADD_FD, NAME, STACK, EXECUTE, RELEASE = range(1, 9)
"""PROCEED and ANSWER (with the value) have no reply, the others have one: a result or a negative errno."""
ANY_NUMBER = -1
CLOEXEC = 1

_CONT, _SYSCALL, _GETEVENTMSG, _SEIZE, _LISTEN = 7, 24, 0x4201, 0x4206, 0x4208
# TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC, TRACESECCOMP, EXITKILL
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
_EVENT_EXEC, _EVENT_SECCOMP, _EVENT_STOP = 4, 7, 128
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_STOP_SIGNALS = frozenset((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
_WALL = 0x40000000
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438
_SFD_NONBLOCK, _SFD_CLOEXEC = 0o4000, 0o2000000
_SIGNAL_INFO = 128
_RED_ZONE = 256
"""Bytes below the stack pointer that compilers may use (System V psABI: 128 on x86-64)."""
_PR_SET_NAME = 15
_CREDENTIALS = struct.Struct("=iII")
_MESSAGE = struct.Struct("=QI4xQQQQI4x")
"""struct msghdr."""
_CONTROL = 24
"""CMSG_SPACE(sizeof(int))."""
_ORDER_SIZE = 256

_libc = ctypes.CDLL(None, use_errno=True)


class _IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


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
    fd: int = _libc.signalfd(-1, ctypes.byref(mask), _SFD_NONBLOCK | _SFD_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return fd


def _write_memory(tid: int, address: int, data: bytes) -> None:
    """Write where a thread may write itself. /proc, which `process.write_memory` uses, is not the host's."""
    buffer = ctypes.create_string_buffer(data, len(data))
    local = _IoVector(ctypes.addressof(buffer), len(data))
    remote = _IoVector(address, len(data))
    written = _libc.process_vm_writev(
        tid,
        ctypes.byref(local),
        ctypes.c_ulong(1),
        ctypes.byref(remote),
        ctypes.c_ulong(1),
        ctypes.c_ulong(0),
    )
    if written != len(data):
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))


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
        self.executing: dict[int, list[int]] = {}
        """Thread that was ordered to execute the emulator -> its registers."""
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
            try:
                if os.WIFSTOPPED(status):
                    self._on_stop(tid, status >> 16, os.WSTOPSIG(status))
                else:
                    self._forget(tid)
            except TraceeGone:
                # It is being killed; its end will be told.
                continue

    def _tracee(self, tid: int) -> Tracee:
        known = self.tracees.get(tid)
        if known is None:
            known = self.tracees[tid] = Tracee(tid, seize=False)
        return known

    def _forget(self, tid: int) -> None:
        self.tracees.pop(tid, None)
        if tid in self.held:
            del self.waiting[self.held.pop(tid)[0]]
        if self.executing.pop(tid, None) is not None:
            self._reply(-errno.ESRCH)

    def _on_stop(self, tid: int, event: int, which: int) -> None:
        if event == _EVENT_SECCOMP:
            self._hold(tid)
        elif event == _EVENT_EXEC:
            self._on_exec(tid)
        elif event == _EVENT_STOP:
            if which in _STOP_SIGNALS:
                restarts.set_back(self._tracee(tid))
                request(_LISTEN, tid)
            else:
                request(_CONT, tid)
        elif event:
            request(_CONT, tid)
        elif which == _SYSCALL_STOP:
            self._on_failed_execution(tid)
        else:
            if which in _STOP_SIGNALS:
                restarts.set_back(self._tracee(tid))
            request(_CONT, tid, 0, which)

    def _hold(self, tid: int) -> None:
        """Tell the supervisor of a watched call."""
        tracee = self._tracee(tid)
        words = tracee.read_registers()
        number, arguments = tracee.held_call(words)
        self.last_id += 1
        self.waiting[self.last_id] = tid
        self.held[tid] = self.last_id, words
        self.unsent.append(EVENT.pack(self.last_id, tid, number, *arguments))
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
        ordered = self.executing.pop(former.value, None) is not None
        # Who executes a program becomes its process's first thread; what that waited for is over.
        self._forget(former.value)
        self._forget(pid)
        if ordered:
            # It stays where it is until the supervisor has looked.
            self._reply(0)
            return
        if self.begun:
            os.kill(pid, signal.SIGKILL)
            return
        self.begun = True
        request(_CONT, pid)

    def _on_failed_execution(self, tid: int) -> None:
        words = self.executing.pop(tid, None)
        if words is not None:
            tracee = self._tracee(tid)
            result = tracee.result(tracee.read_registers())
            tracee.write_registers(tracee.with_result(words, result))
            self._reply(result)
        request(_CONT, tid)

    # ------------------------------------------------------------ orders

    def _reply(self, value: int) -> None:
        with contextlib.suppress(OSError):
            self.orders.send(REPLY.pack(value))

    def _take_order(self) -> bool:
        try:
            data, fds, _flags, _address = socket.recv_fds(self.orders, _ORDER_SIZE, 1)
        except OSError:
            return False
        if len(data) < ORDER.size:
            return False
        what, pid, identifier, value, *values = ORDER.unpack_from(data)
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
            request(_CONT, pid)
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
        elif what == STACK:
            self._reply(tracee.stack_pointer(words))
        elif what == ADD_FD:
            number = None if value == ANY_NUMBER else value
            with _Calls(self, tracee, words) as calls:
                added = _receive_descriptor(
                    calls, self.numbers, pid, fds[0], number, bool(values[0] & CLOEXEC)
                )
            self._reply(added)
        elif what == NAME:
            with _Calls(self, tracee, words) as calls:
                calls.put(name)
                result = calls.make(self.numbers["prctl"], (_PR_SET_NAME, calls.place, 0, 0, 0, 0))
            self._reply(result)
        else:
            if what == EXECUTE:
                tracee.replace_held(words, self.numbers["execveat"], values)
                self.executing[tid] = words
            elif what == ANSWER:
                tracee.skip_held(words, value)
            del self.waiting[identifier], self.held[tid]
            request(_SYSCALL if what == EXECUTE else _CONT, tid)


class _Calls:
    """Have a thread that stands at the entry of a call make others first, undisturbed by signals."""

    def __init__(self, tracer: _Tracer, tracee: Tracee, words: list[int]) -> None:
        self._tracer = tracer
        self._tracee = tracee
        self._words = words
        self._held = tracee.held_call(words)
        self._after = False
        self._stops: list[int] = []
        self._mask = 0
        self.place = (tracee.stack_pointer(words) - _RED_ZONE - 256) & ~15
        """Up to 256 bytes of its memory that may be written."""

    def __enter__(self) -> _Calls:
        self._mask = self._tracee.hold_signals()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is TraceeGone:
            return
        tracee = self._tracee
        if self._after:
            # It makes its own call again, and comes to the same stop.
            tracee.write_registers(tracee.with_call(self._words, *self._held))
            self._go_to(_CONT, lambda event, _which: event == _EVENT_SECCOMP)
        tracee.set_signal_mask(self._mask)
        for which in self._stops:
            os.kill(tracee.tid, which)

    def put(self, data: bytes) -> None:
        """Write at `place`."""
        _write_memory(self._tracee.tid, self.place, data)

    def take(self, size: int) -> bytes:
        """Read from `place`."""
        return process.read_memory(self._tracee.tid, self.place, size)

    def make(self, number: int, arguments: tuple[int, ...]) -> int:
        """Make a call; return its result."""
        tracee = self._tracee
        if self._after:
            tracee.write_registers(tracee.with_call(self._words, number, arguments))
            self._go_to(_SYSCALL, lambda event, which: not event and which == _SYSCALL_STOP)
        else:
            tracee.replace_held(self._words, number, arguments)
        self._after = True
        self._go_to(_SYSCALL, lambda event, which: not event and which == _SYSCALL_STOP)
        return tracee.result(tracee.read_registers())

    def _go_to(self, how: int, wanted: Callable[[int, int], bool]) -> None:
        """Let the thread go on to the wanted kind of stop."""
        tid = self._tracee.tid
        while True:
            request(how, tid)
            found, status = os.waitpid(tid, _WALL)
            if not os.WIFSTOPPED(status):
                self._tracer._forget(found)
                raise TraceeGone
            event, which = status >> 16, os.WSTOPSIG(status)
            if wanted(event, which):
                return
            if event in (0, _EVENT_STOP) and which in _STOP_SIGNALS:
                # It cannot be held off, so it is sent again afterwards.
                self._stops.append(which)


def _receive_descriptor(
    calls: _Calls, numbers: dict[str, int], pid: int, fd: int, wanted: int | None, cloexec: bool
) -> int:
    """Have a thread of the process `pid` receive a duplicate of our `fd`; return its number or an errno.

    The thread makes a pair of sockets, of which we take one end (pidfd_getfd(2), Linux 5.6) and send it over.
    """

    def close(number: int) -> None:
        calls.make(numbers["close"], (number, 0, 0, 0, 0, 0))

    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
    made = calls.make(numbers["socketpair"], (socket.AF_UNIX, kind, 0, calls.place, 0, 0))
    if made < 0:
        return made
    ours, theirs = struct.unpack("=ii", calls.take(8))
    try:
        _send_into(pid, theirs, fd)
        place = calls.place
        vector = place + _MESSAGE.size
        control = vector + 16 + 8
        message = _MESSAGE.pack(0, 0, vector, 1, control, _CONTROL, 0)
        calls.put(message + struct.pack("=QQ", vector + 16, 1) + bytes(8 + _CONTROL))
        # MSG_DONTWAIT, MSG_CMSG_CLOEXEC
        received = calls.make(numbers["recvmsg"], (ours, place, 0x40 | 0x40000000, 0, 0, 0))
        if received < 0:
            return received
        after = calls.take(control - place + _CONTROL)
        if _MESSAGE.unpack_from(after)[5] < 20:
            return -errno.EMFILE
        number: int = struct.unpack_from("=i", after, control - place + 16)[0]
    finally:
        close(theirs)
        close(ours)
    if wanted is None:
        # The lowest number that is free now, as an open would get.
        how = 1030 if cloexec else 0  # F_DUPFD_CLOEXEC, F_DUPFD
        result = calls.make(numbers["fcntl"], (number, how, 0, 0, 0, 0))
    elif number == wanted:
        if not cloexec:
            calls.make(numbers["fcntl"], (number, 2, 0, 0, 0, 0))  # F_SETFD
        return number
    else:
        result = calls.make(numbers["dup3"], (number, wanted, os.O_CLOEXEC if cloexec else 0, 0, 0, 0))
    close(number)
    return result


def _send_into(pid: int, number: int, fd: int) -> None:
    """Send `fd` over the socket that the process `pid` has as `number`."""
    handle = _libc.syscall(_PIDFD_OPEN, pid, 0)
    if handle < 0:
        raise OSError(ctypes.get_errno(), "pidfd_open")
    try:
        taken = _libc.syscall(_PIDFD_GETFD, handle, number, 0)
    finally:
        os.close(handle)
    if taken < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    with socket.socket(fileno=taken, family=socket.AF_UNIX, type=socket.SOCK_DGRAM) as end:
        rights = array.array("i", [fd])
        end.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
