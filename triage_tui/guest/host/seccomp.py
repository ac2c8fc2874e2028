"""Seccomp user notification: the filter, the listener and the answers (seccomp(2), seccomp_unotify(2)).

Structures are those of linux/seccomp.h and linux/filter.h.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import struct
from collections.abc import Collection, Iterable
from typing import NamedTuple

from triage_tui.guest.host import host_syscalls
from triage_tui.guest.host.filter_tree import (
    ALLOW,
    AND,
    JEQ,
    JGE,
    JSET,
    JUMP,
    LOAD,
    RETURN,
    Instruction,
    assemble,
)
from triage_tui.guest.host.seccomp_install import check_add_fd as check_add_fd
from triage_tui.guest.host.seccomp_install import check_wait_killable as check_wait_killable
from triage_tui.guest.host.seccomp_install import install as install
from triage_tui.guest.host.seccomp_install import install_traced as install_traced

_RET_KILL, _RET_ERRNO = 0x80000000, 0x00050000
NOTIFY, TRACE = 0x7FC00000, 0x7FF00000
"""What is returned for a watched call: SECCOMP_RET_USER_NOTIF, or SECCOMP_RET_TRACE for a tracer."""
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEW* of clone(2); the time name space has its bit among the signals of clone, and only in clone3."""
_X32_BIT = 0x40000000
_DATA_NR, _DATA_ARCH, _DATA_POINTER, _DATA_ARGS = 0, 4, 8, 16
"""Offsets in struct seccomp_data; an argument's low half comes first on the little-endian hosts we run on."""

_CONTINUE = 1
_ADDFD_SETFD = 1


def _ioc(direction: int, number: int, size: int) -> int:
    return (direction << 30) | (size << 16) | (ord("!") << 8) | number


_RECV = _ioc(3, 0, 80)
_SEND = _ioc(3, 1, 24)
_ID_VALID = _ioc(1, 2, 8)
_ADDFD = _ioc(1, 3, 24)
_SET_FLAGS = _ioc(1, 4, 8)
_SYNC_WAKE_UP = 1

_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")


class Watch(NamedTuple):
    """One host syscall to be notified about.

    With `arg`, only when that argument's low half is `value` (`at_least`: or more, unsigned; `without`: when
    it has none of the bits of `value`).
    """

    name: str
    arg: int | None = None
    value: int = 0
    at_least: bool = False
    without: bool = False


class Notification(NamedTuple):
    """A thread that waits in a host syscall for an answer. `tid` is the reader's view of the thread id."""

    id: int
    tid: int
    nr: int
    args: tuple[int, ...]
    pointer: int = 0
    """The address behind the thread's system call instruction."""


def program(
    watches: Iterable[Watch],
    first_skipped_fd: int,
    machine: str | None = None,
    log_lengths: Collection[int] = (),
    refused: Iterable[str] = (),
    held: int = NOTIFY,
    guest_places: Collection[int] = (),
) -> bytes:
    """Return the BPF program that notifies about `watches` and allows everything else but `refused`.

    `held` is what it says for a watched call, `NOTIFY` or `TRACE`.

    `refused` get EPERM. So does clone with new name spaces; clone3, whose flags no filter can see, gets
    ENOSYS, at which C libraries take clone.

    Calls of another ABI than the host's own (int 0x80, x32) kill the process: nothing the emulator does needs
    them, and they would pass by the numbers checked here. Of writes to `first_skipped_fd` and above, the
    emulator's logs, only those of `log_lengths` bytes are notified, and those whose address within its page
    is one of `guest_places`, see `triage_tui.guest.emulator.call_site`. Nor is sendmsg to `first_skipped_fd`
    itself, by which the launcher sends the listener.

    Raises:
        KeyError: the host machine has no table.
    """
    machine = machine or host_syscalls.host_machine()
    places = tuple(sorted(guest_places))
    lengths = tuple(sorted(log_lengths))
    return _program(tuple(watches), first_skipped_fd, machine, lengths, tuple(refused), held, places)


@functools.lru_cache(maxsize=32)
def _program(
    watches: tuple[Watch, ...],
    first_skipped_fd: int,
    machine: str,
    log_lengths: tuple[int, ...],
    refused: tuple[str, ...],
    held: int,
    guest_places: tuple[int, ...],
) -> bytes:
    # Kept, as one guest after the other gets the same one: making it is a tenth of a start.
    table = host_syscalls.numbers(machine)
    checks: dict[int, list[Instruction]] = {}

    def check(name: str, code: Iterable[Instruction]) -> None:
        if name in table:
            checks.setdefault(table[name], []).extend(code)

    for name in refused:
        check(name, [(RETURN, 0, 0, _RET_ERRNO | errno.EPERM)])
    check("clone3", [(RETURN, 0, 0, _RET_ERRNO | errno.ENOSYS)])
    check("clone", _no_name_spaces())
    check("write", _of_emulator(first_skipped_fd, log_lengths, guest_places, held))
    check("sendmsg", [(LOAD, 0, 0, _DATA_ARGS), (JEQ, 0, 1, first_skipped_fd), (RETURN, 0, 0, ALLOW)])
    for watch in watches:
        check(watch.name, _seen(watch, held))
    # The emulator writes its log in many small pieces, so these come first.
    return packed([*_of_this_abi(machine), *assemble(checks, first=table["write"])])


def _of_this_abi(machine: str) -> list[Instruction]:
    """Return the code that kills for a call of another ABI, and loads the number of the others."""
    code = [
        (LOAD, 0, 0, _DATA_ARCH),
        (JEQ, 1, 0, host_syscalls.AUDIT_ARCH[machine]),
        (RETURN, 0, 0, _RET_KILL),
        (LOAD, 0, 0, _DATA_NR),
    ]
    if machine == "x86_64":
        code += [(JSET, 0, 1, _X32_BIT), (RETURN, 0, 0, _RET_KILL)]
    return code


_MODES = {
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
    "creat": 1,
    "open": 2,
    "openat": 3,
    "mknod": 1,
    "mknodat": 2,
}
"""Which argument of a call is the mode of a file."""
_SET_IDS = 0o6000
"""S_ISUID and S_ISGID of inode(7)."""


def program_without_set_ids(machine: str | None = None) -> bytes:
    """Return the BPF program that gives EPERM where a file would become set-user-ID or set-group-ID.

    openat2, whose mode no filter can see, gets ENOSYS, at which C libraries take openat.

    Raises:
        KeyError: the host machine has no table.
    """
    machine = machine or host_syscalls.host_machine()
    table = host_syscalls.numbers(machine)
    checks: dict[int, list[Instruction]] = {table["openat2"]: [(RETURN, 0, 0, _RET_ERRNO | errno.ENOSYS)]}
    for name, argument in _MODES.items():
        if name in table:
            load = (LOAD, 0, 0, _DATA_ARGS + 8 * argument)
            refused = (RETURN, 0, 0, _RET_ERRNO | errno.EPERM)
            checks[table[name]] = [load, (JSET, 0, 1, _SET_IDS), refused]
    return packed([*_of_this_abi(machine), *assemble(checks)])


def packed(code: Iterable[Instruction]) -> bytes:
    """Return instructions as an array of struct sock_filter."""
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


def _of_emulator(
    first_fd: int, lengths: Collection[int], places: Collection[int], held: int
) -> list[Instruction]:
    """Return the check of a write: to the emulator's own descriptors it is allowed.

    But for some lengths, and for the guest's own.
    """
    by_place = [(LOAD, 0, 0, _DATA_POINTER), (AND, 0, 0, 0xFFF), *_held_if(places, held)] if places else []
    by_length = [(LOAD, 0, 0, _DATA_ARGS + 16), *_held_if(lengths, held)] if lengths else []
    own = [*by_place, *by_length, (RETURN, 0, 0, ALLOW)]
    return [(LOAD, 0, 0, _DATA_ARGS), (JGE, 0, len(own), first_fd), *own]


def _held_if(values: Collection[int], held: int) -> list[Instruction]:
    """Return the check by which a call is held when the loaded word is one of `values`."""
    ordered = sorted(set(values))
    tests: list[Instruction] = [(JEQ, len(ordered) - at, 0, value) for at, value in enumerate(ordered)]
    return [*tests, (JUMP, 0, 0, 1), (RETURN, 0, 0, held)]


def _seen(watch: Watch, held: int) -> list[Instruction]:
    """Return the check by which a watched call is held."""
    verdict: Instruction = (RETURN, 0, 0, held)
    if watch.arg is None:
        return [verdict]
    value = watch.value & 0xFFFFFFFF
    load: Instruction = (LOAD, 0, 0, _DATA_ARGS + 8 * watch.arg)
    if watch.without:
        return [load, (JSET, 1, 0, value), verdict]
    return [load, (JGE if watch.at_least else JEQ, 0, 1, value), verdict]


def _no_name_spaces() -> list[Instruction]:
    return [
        (LOAD, 0, 0, _DATA_ARGS),
        (JSET, 0, 1, _NEW_NAMESPACES),
        (RETURN, 0, 0, _RET_ERRNO | errno.EPERM),
    ]


def wake_in_turn(listener: int, by_turns: bool) -> None:
    """Tell the kernel whether supervisor and guest run by turns, so that a call needs no second processor.

    Waking an idle processor costs more than the call itself; but a guest that is woken where its supervisor
    runs has to wait while that has other work to do. Kernels before 6.6 do not know it.
    """
    with contextlib.suppress(OSError):
        set_wake_in_turn(listener, by_turns)


def set_wake_in_turn(listener: int, by_turns: bool = True) -> None:
    """Do what `wake_in_turn` does where the kernel can.

    Raises:
        OSError: it cannot.
    """
    fcntl.ioctl(listener, _SET_FLAGS, _SYNC_WAKE_UP if by_turns else 0)


def receive(listener: int) -> Notification | None:
    """Take the next notification; None when its thread is gone again.

    Raises:
        OSError: the listener is dead.
    """
    data = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECV, data)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
            return None
        raise
    identifier, tid, _flags, nr, _arch, pointer, *args = _NOTIFICATION.unpack(data)
    return Notification(identifier, tid, nr, tuple(args), pointer)


def _send(listener: int, identifier: int, value: int, error: int, flags: int) -> bool:
    data = bytearray(_RESPONSE.pack(identifier, value, error, flags))
    try:
        fcntl.ioctl(listener, _SEND, data)
    except OSError as failure:
        # ENOENT: the thread was killed meanwhile. EINPROGRESS: it was answered already.
        if failure.errno in (errno.ENOENT, errno.EINPROGRESS, errno.EBADF):
            return False
        raise
    return True


def proceed(listener: int, notification: Notification) -> bool:
    """Let the kernel execute the call as it stands; False when its thread is gone."""
    return _send(listener, notification.id, 0, 0, _CONTINUE)


def answer(listener: int, notification: Notification, result: int) -> bool:
    """Give the call `result` (negative host errno on failure) without executing it."""
    if -4095 <= result < 0:
        return _send(listener, notification.id, 0, result, 0)
    return _send(listener, notification.id, result, 0, 0)


def is_waiting(listener: int, notification: Notification) -> bool:
    """Return whether the thread still waits for this answer (so that its ids are still its own)."""
    try:
        fcntl.ioctl(listener, _ID_VALID, struct.pack("=Q", notification.id))
    except OSError:
        return False
    return True


def add_fd(
    listener: int, notification: Notification, fd: int, number: int | None = None, cloexec: bool = False
) -> int:
    """Give the waiting process a duplicate of our `fd`, as `number` if given; return its number there.

    Raises:
        OSError: the process is gone, or has no room.
    """
    flags = 0 if number is None else _ADDFD_SETFD
    data = struct.pack("=QIIII", notification.id, flags, fd, number or 0, os.O_CLOEXEC if cloexec else 0)
    # The result is the number; a bytearray makes ioctl return it instead of the structure.
    added: int = fcntl.ioctl(listener, _ADDFD, bytearray(data))
    return added
