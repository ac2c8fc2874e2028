"""Take every power from the calling process but computing and one socket.

Used by the rule host after it has imported what it needs. Three layers, each reported by name: resource
limits (setrlimit(2)), the parent-death signal and no_new_privs (prctl(2)), and a seccomp filter
(seccomp(2), filter mode) with an allow-list of system calls. The filter needs system-call numbers, which
are listed here for x86-64 and AArch64; on other machines it is reported as missing.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct

import msgspec

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_SECCOMP_RET_KILL_PROCESS = 0x80000000
_SECCOMP_RET_ERRNO = 0x00050000
_SECCOMP_RET_ALLOW = 0x7FFF0000
_EPERM = 1
_PROT_EXEC = 4

# Classic BPF, <linux/bpf_common.h>.
_LOAD_WORD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_SET = 0x45
_RETURN = 0x06

# Offsets in struct seccomp_data on a little-endian machine: the low halves of the arguments.
_OFFSET_NUMBER = 0
_OFFSET_ARCH = 4
_OFFSET_ARG0 = 16
_OFFSET_ARG2 = 32


class _Machine(msgspec.Struct, frozen=True):
    """AUDIT_ARCH value and system-call numbers of one host machine."""

    audit: int
    channel: tuple[int, ...]
    """read and write: only on the channel."""
    mapping: tuple[int, ...]
    """mmap and mprotect: never executable."""
    allowed: tuple[int, ...]
    refused: tuple[int, ...]
    """What the interpreter may try by itself (opening a source file for a traceback): EPERM, no kill."""


_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        channel=(0, 1),
        mapping=(9, 10),
        # munmap brk rt_sigreturn mremap madvise exit futex clock_gettime exit_group
        allowed=(11, 12, 15, 25, 28, 60, 202, 228, 231),
        # open stat fstat lstat poll lseek ioctl readv writev access getpid socket getcwd readlink gettid
        # openat newfstatat rt_sigprocmask rt_sigaction sched_yield getrandom close
        refused=(2, 3, 4, 5, 6, 7, 8, 13, 14, 16, 19, 20, 21, 24, 39, 79, 89, 186, 257, 262, 267, 318),
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        channel=(63, 64),
        mapping=(222, 226),
        # munmap brk rt_sigreturn mremap madvise exit futex clock_gettime exit_group
        allowed=(215, 214, 139, 216, 233, 93, 98, 113, 94),
        # openat close lseek readv writev ppoll readlinkat newfstatat fstat ioctl getcwd getpid gettid
        # rt_sigaction rt_sigprocmask sched_yield getrandom faccessat
        refused=(56, 57, 62, 65, 66, 73, 78, 79, 80, 29, 17, 172, 178, 134, 135, 124, 278, 48),
    ),
}


class Guards(msgspec.Struct):
    """What holds the process, and what could not be had and why."""

    active: list[str] = msgspec.field(default_factory=list)
    missing: list[str] = msgspec.field(default_factory=list)


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]


def close_in(channel: int, *, parent: int, address_space: int, cpu_seconds: int) -> Guards:
    """Close the calling process in; only read and write on `channel` remain. Cannot be undone.

    `parent` is the pid that must be alive (the process ends at once if it has gone). `address_space` is
    how many bytes may be mapped beyond the present size; `cpu_seconds` is a soft limit which the parent
    renews as long as the process answers.
    """
    guards = Guards()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0:
        guards.active.append("parent-death signal")
    else:
        guards.missing.append("parent-death signal")
    if os.getppid() != parent:
        os._exit(0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    _limit_resources(guards, address_space, cpu_seconds)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        guards.active.append("no_new_privs")
    else:
        guards.missing.append("no_new_privs")
    _filter_calls(libc, guards, channel)
    return guards


def _limit_resources(guards: Guards, address_space: int, cpu_seconds: int) -> None:
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[0])
    memory = pages * resource.getpagesize() + address_space
    limits = {
        "address space": (resource.RLIMIT_AS, memory),
        "processes": (resource.RLIMIT_NPROC, 0),
        "open files": (resource.RLIMIT_NOFILE, 0),
        "file size": (resource.RLIMIT_FSIZE, 0),
        "core size": (resource.RLIMIT_CORE, 0),
    }
    for name, (kind, value) in limits.items():
        _limit(guards, name, kind, value, value)
    _limit(guards, "cpu time", resource.RLIMIT_CPU, cpu_seconds, resource.getrlimit(resource.RLIMIT_CPU)[1])


def _limit(guards: Guards, name: str, kind: int, soft: int, hard: int) -> None:
    try:
        resource.setrlimit(kind, (soft, hard))
    except (OSError, ValueError) as error:
        guards.missing.append(f"limit on {name}: {error}")
    else:
        guards.active.append(f"limit on {name}")


def filter_program(machine: _Machine, channel: int) -> bytes:
    """Return the BPF program for one machine: `struct sock_filter` entries, 8 bytes each.

    Straight-line code with forward jumps of one comparison each, so that no jump offset can overflow:
    every test either falls through to a RETURN or skips it.
    """
    kill = _statement(_RETURN, _SECCOMP_RET_KILL_PROCESS)
    allow = _statement(_RETURN, _SECCOMP_RET_ALLOW)
    refuse = _statement(_RETURN, _SECCOMP_RET_ERRNO | _EPERM)
    program = [
        _statement(_LOAD_WORD, _OFFSET_ARCH),
        _jump(_JUMP_EQUAL, machine.audit, 1, 0),
        kill,
        _statement(_LOAD_WORD, _OFFSET_NUMBER),
    ]
    for number in machine.channel:
        inner = [_statement(_LOAD_WORD, _OFFSET_ARG0), _jump(_JUMP_EQUAL, channel, 0, 1), allow, refuse]
        program += [_jump(_JUMP_EQUAL, number, 0, len(inner)), *inner]
    for number in machine.mapping:
        inner = [_statement(_LOAD_WORD, _OFFSET_ARG2), _jump(_JUMP_SET, _PROT_EXEC, 1, 0), allow, refuse]
        program += [_jump(_JUMP_EQUAL, number, 0, len(inner)), *inner]
    for number in machine.allowed:
        program += [_jump(_JUMP_EQUAL, number, 0, 1), allow]
    for number in machine.refused:
        program += [_jump(_JUMP_EQUAL, number, 0, 1), refuse]
    return b"".join([*program, kill])


def _statement(code: int, operand: int) -> bytes:
    return struct.pack("=HBBI", code, 0, 0, operand)


def _jump(code: int, operand: int, when_true: int, when_false: int) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, operand)


def _filter_calls(libc: ctypes.CDLL, guards: Guards, channel: int) -> None:
    machine = _MACHINES.get(os.uname().machine)
    if machine is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        guards.missing.append(f"seccomp filter: no system-call table for {os.uname().machine}")
        return
    program = filter_program(machine, channel)
    buffer = ctypes.create_string_buffer(program, len(program))
    description = _Filter(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p).value)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(description), 0, 0) == 0:
        guards.active.append("seccomp filter")
    else:
        guards.missing.append(f"seccomp filter: {os.strerror(ctypes.get_errno())}")
