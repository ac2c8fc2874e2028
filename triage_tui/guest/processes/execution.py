"""Have a thread of the guest execute another guest program: the emulator again, with that program.

The emulator passes the guest's execve to the kernel, which cannot execute a foreign program, and must not
execute one of its own architecture. So the thread that waits in it is made to call execveat(2) on the
emulator instead, in these steps:

1. The waiting process gets a descriptor of the emulator (close-on-exec, above the guest's limit).
2. The thread is seized (ptrace) and asked to stop, and its execve is answered. It stops on its way out of the
   kernel, before it executes anything.
3. A new argument vector is written below its stack: the emulator's options, then the pointers of the old
   vector. The registers are set so that the system call instruction, which the thread has just executed,
   executes execveat.
4. That call is notified too. It goes on when it is the expected one.
5. The thread stops again (PTRACE_EVENT_EXEC) before the new program's first instruction. Only if what is in
   place is the emulator, with no options but those given, is it let go; otherwise the process is killed.

The last step makes the others safe: whatever another thread of the guest did to path, arguments or
environment between looking and executing, no native program gets to its first instruction. Nothing is stopped
for it but the thread itself, nothing is added to the guest's root, and the guest sees no signal.

Signals wait until the new program is in place, or the old one goes on. When the thread stops for another
reason all the same (SIGSTOP cannot be held off), the attempt is taken back: its registers are set as if its
execve had never begun, and the emulator makes the call again.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import struct
from collections.abc import Callable, Sequence

import msgspec

from triage_tui.guest.emulator.environment import reaches_emulator
from triage_tui.guest.host import host_memory, host_syscalls, process, seccomp
from triage_tui.guest.host.ptrace import Tracee, TraceeGone
from triage_tui.guest.host.seccomp import Notification

_AT_EMPTY_PATH = 0x1000
_RED_ZONE = 256
"""Bytes below the stack pointer that compilers may use (System V psABI: 128 on x86-64)."""
_KEPT_STACK = 32 << 10
"""Stack that is left alone below the argument vector."""
_MAX_WORDS = 1 << 18
_MAX_STRING = 32 * 4096
"""Longest argument, MAX_ARG_STRLEN of linux/binfmts.h."""
_ANSWER_MS = 10_000


class Emulation(msgspec.Struct, frozen=True):
    """What is to be executed: the emulator, with `words` in front.

    `words` are the emulator's name, its options up to -0, a None that stands for the guest's own argv[0], and
    the program. The guest's further arguments follow.
    """

    emulator: int
    """Our descriptor of it."""
    own_fd: int
    """Its number in the process, which has it already."""
    words: tuple[bytes | None, ...]


class Outcome(msgspec.Struct, frozen=True):
    """`error` 0: the process is the new emulator now. Negative: the host errno that the call failed with.

    `again`: nothing was done, the call will be made again. `killed`: the process was killed, for the reason
    in `why`, or died by itself.
    """

    error: int = 0
    again: bool = False
    killed: bool = False
    why: str = ""


def read_pointers(tid: int, address: int) -> list[int]:
    """Return the pointers of the NULL-terminated vector at a host address, without the NULL.

    Raises:
        OSError: it is not readable, or absurdly long (E2BIG).
    """
    found: list[int] = []
    if not address:
        return found
    while len(found) < _MAX_WORDS:
        # Never across a page border in one go: the vector may end on the last mapped page.
        size = min(4096 - (address & 4095), 512) & ~7 or 8
        data = host_memory.read_memory(tid, address, size)
        for (pointer,) in struct.iter_unpack("=Q", data[: len(data) & ~7]):
            if not pointer:
                return found
            found.append(pointer)
        if len(data) < 8:
            break
        address += len(data) & ~7
    raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))


def _room(pid: int, stack: int) -> int:
    """Return how many bytes below the stack pointer may be written."""
    for mapping in process.read_maps(pid):
        if mapping.start <= stack < mapping.end:
            # The main thread's stack grows; the least limit that QEMU starts with is 8 MB.
            low = min(mapping.start, mapping.end - (6 << 20)) if mapping.path == "[stack]" else mapping.start
            return stack - low - _KEPT_STACK
    return 0


def _layout(
    pid: int, stack: int, words: Sequence[bytes], arguments: list[int], environment: list[int]
) -> tuple[int, int, int, bytes]:
    """Return (start, argv, envp, bytes) of what is to lie below the stack.

    The first byte is a NUL, the empty path.

    Raises:
        OSError: E2BIG, there is not enough room.
    """
    text = b"\0"
    offsets: list[int] = []
    for word in words:
        offsets.append(len(text))
        text += word + b"\0"
    text += bytes(-len(text) % 8)
    count = len(words) + len(arguments) + 1
    size = len(text) + 8 * (count + len(environment) + 1)
    if size > 4096 and size > _room(pid, stack):
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    start = (stack - _RED_ZONE - size) & ~15
    pointers = [*(start + offset for offset in offsets), *arguments, 0]
    argv = start + len(text)
    envp = argv + 8 * len(pointers)
    pointers += [*environment, 0]
    return start, argv, envp, text + struct.pack(f"={len(pointers)}Q", *pointers)


def argument_words(tid: int, emulation: Emulation, arguments: list[int]) -> list[bytes]:
    """Return what stands in front of the guest's own arguments; `arguments` are the pointers of its vector.

    Raises:
        OSError: its first argument is not readable, or too long (E2BIG).
    """
    own_name = host_memory.read_string(tid, arguments[0], _MAX_STRING) if arguments else b""
    if len(own_name) >= _MAX_STRING:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    return [own_name if word is None else word for word in emulation.words]


def write_vectors(
    tid: int,
    pid: int,
    stack: int,
    words: Sequence[bytes],
    arguments: list[int],
    environment: list[int],
    own_fd: int,
) -> tuple[int, ...]:
    """Write the new vectors below a thread's stack; return the arguments of the execveat that takes them.

    Raises:
        OSError: E2BIG, there is not enough room.
    """
    start, argv, envp, data = _layout(pid, stack, words, arguments, environment)
    host_memory.write_memory(tid, start, data)
    return own_fd, start, argv, envp, _AT_EMPTY_PATH


def is_expected(pid: int, emulation: Emulation, words: Sequence[bytes]) -> bool:
    """Return whether the process is now the emulator with the options that it was given.

    Raises:
        OSError: it is gone.
    """
    ours = os.fstat(emulation.emulator)
    theirs = os.stat(f"/proc/{pid}/exe")
    if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
        return False
    expected = b"".join(word + b"\0" for word in words)
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        if file.read(len(expected)) != expected:
            return False
    # It holds options too, and lay in memory that other threads could change.
    with open(f"/proc/{pid}/environ", "rb") as file:
        return not reaches_emulator(file.read())


def _receive_from(listener: int, tid: int, defer: Callable[[Notification], None]) -> Notification | None:
    """Take the next notification of the thread `tid`; those of others are handed to `defer`."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while poll.poll(_ANSWER_MS):
        notification = seccomp.receive(listener)
        if notification is None:
            continue
        if notification.tid == tid:
            return notification
        defer(notification)
    return None


def execute(
    listener: int,
    notification: Notification,
    pid: int,
    emulation: Emulation,
    argv: int,
    environment: list[int],
    defer: Callable[[Notification], None],
) -> Outcome:
    """Replace the emulator of the process `pid`, whose thread waits in execve with `notification`.

    `argv` is the host address of its argument vector, `environment` are the pointers of the new environment
    vector. The notification is answered in any case.
    """
    tid = notification.tid
    try:
        arguments = read_pointers(tid, argv)
        words = argument_words(tid, emulation, arguments)
        tracee = Tracee(tid)
    except TraceeGone:
        return Outcome(killed=True, why="it was killed meanwhile")
    except OSError as error:
        number = error.errno or errno.ENOEXEC
        seccomp.answer(listener, notification, -number)
        return Outcome(error=-number, why=str(error) if number == errno.EPERM else "")
    try:
        attempt = _Attempt(listener, notification, pid, emulation, words, defer, tracee)
        return attempt.run(arguments[1:], environment)
    except TraceeGone:
        tracee.release(pid)
        return Outcome(killed=True, why="it was killed meanwhile")
    except BaseException as error:
        # It is in an unknown state: what it would execute next is not known either.
        process.send_signal(pid, signal.SIGKILL)
        tracee.release(pid)
        if not isinstance(error, Exception):
            raise
        return Outcome(killed=True, why=f"executing a program failed: {error}")


class _Attempt:
    """One attempt, from the seizing on."""

    def __init__(
        self,
        listener: int,
        notification: Notification,
        pid: int,
        emulation: Emulation,
        words: list[bytes],
        defer: Callable[[Notification], None],
        tracee: Tracee,
    ) -> None:
        self.listener = listener
        self.notification = notification
        self.pid = pid
        self.emulation = emulation
        self.words = words
        self.defer = defer
        self.tracee = tracee
        self.mask = 0
        """The signals that the thread itself blocks."""

    def run(self, arguments: list[int], environment: list[int]) -> Outcome:
        tracee = self.tracee
        tracee.interrupt()
        seccomp.answer(self.listener, self.notification, -errno.EINTR)
        event = tracee.await_event()
        before = tracee.read_registers()
        self.mask = tracee.hold_signals()
        if event.kind != "asked":
            return self._take_back(before, event.signal)
        where, code = tracee.instruction_before(before)
        if host_memory.read_memory(tracee.tid, where, len(code)) != code:
            raise OSError(errno.EFAULT, "the thread is not where it made its system call")
        try:
            values = write_vectors(
                tracee.tid,
                self.pid,
                tracee.stack_pointer(before),
                self.words,
                arguments,
                environment,
                self.emulation.own_fd,
            )
        except OSError as error:
            return self._fail(before, -(error.errno or errno.E2BIG))
        number = host_syscalls.numbers()["execveat"]
        tracee.write_registers(tracee.with_call(before, number, values))
        tracee.resume()
        event = tracee.await_event()
        if event.kind != "call":
            return self._take_back(before, event.signal)
        tracee.resume()
        second = _receive_from(self.listener, tracee.tid, self.defer)
        if second is None or second.nr != number or second.args[:5] != values:
            raise OSError(errno.EPERM, "another call came than the one expected")
        seccomp.proceed(self.listener, second)
        event = tracee.await_event(self.pid)
        if event.kind == "exec":
            if not is_expected(self.pid, self.emulation, self.words):
                raise OSError(errno.EPERM, "what was executed is not the emulator as it was to be")
            tracee.set_signal_mask(self.mask)
            tracee.let_go()
            return Outcome()
        if event.kind == "call":
            return self._fail(before, tracee.result(tracee.read_registers()))
        return self._take_back(before, event.signal)

    def _fail(self, before: list[int], result: int) -> Outcome:
        """Let the thread go on with its call having failed."""
        self.tracee.write_registers(self.tracee.with_result(before, result))
        self.tracee.set_signal_mask(self.mask)
        self.tracee.let_go()
        return Outcome(error=result)

    def _take_back(self, before: list[int], number: int) -> Outcome:
        """Let the thread go on as if it had not begun its call, with the signal that came in between."""
        notification = self.notification
        again = self.tracee.with_call(before, notification.nr, notification.args)
        self.tracee.write_registers(again)
        self.tracee.set_signal_mask(self.mask)
        self.tracee.let_go(number)
        return Outcome(again=True)
