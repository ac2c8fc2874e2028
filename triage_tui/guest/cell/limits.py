"""Resource limits of a guest that would hit its emulator too (getrlimit(2), prlimit(2)).

A limit of the host counts for the emulator's process as a whole: one on file sizes would end the log of its
calls, one on descriptors would leave no numbers for the logs of new threads. So what a guest wishes for these
is kept here and answered from here, and the host is told only what does no harm: of the limit of open files
the soft one, so that the guest meets EMFILE where it expects it.

The checks and their order are those of the kernel (kernel/sys.c, do_prlimit). All other limits are the
host's affair.
"""

from __future__ import annotations

import errno
import resource
import struct
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

CALLS = frozenset(("prlimit64", "setrlimit"))
"""Host calls that this module answers in part; the emulator's C library makes getrlimit prlimit64."""

_NOT_ENFORCED = {
    resource.RLIMIT_FSIZE: "file sizes",
    resource.RLIMIT_AS: "the address space",
    resource.RLIMIT_DATA: "the data segment",
    resource.RLIMIT_STACK: "the stack",
    resource.RLIMIT_CORE: "core files",
}
"""Limits that are kept and answered only. Those of memory are QEMU's own choice too
(linux-user/syscall.c), which does not pass them on."""
_MOST_FILES = 1 << 20
"""fs.nr_open of proc(5), as kernels have it: no limit of open files can be higher."""
_INFINITY = (1 << 64) - 1


class Request(msgspec.Struct, frozen=True):
    """What is asked of whom. `pid` is an inner id, 0 the caller; addresses are 0 where there is nothing."""

    pid: int
    resource: int
    new: int
    old: int

    @classmethod
    def of(cls, name: str, args: tuple[int, ...]) -> Request:
        """Return the request of the host call `name`, one of `CALLS`."""
        if name == "prlimit64":
            return cls(args[0] & 0xFFFFFFFF, args[1] & 0xFFFFFFFF, args[2], args[3])
        return cls(0, args[0] & 0xFFFFFFFF, args[1], 0)

    @property
    def is_kept_here(self) -> bool:
        """Whether the limit is one that would hit the emulator."""
        return self.resource in _NOT_ENFORCED or self.resource == resource.RLIMIT_NOFILE


class Answer(msgspec.Struct, frozen=True):
    """How a call is answered: `result` is 0 or a negative host errno, `note` a clause for the record."""

    result: int
    note: str = ""
    changed: bool = False


class Limits(msgspec.Struct):
    """What one process has wished: number of the resource -> (soft, hard)."""

    wishes: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict)

    @classmethod
    def beginning(cls, open_files: int) -> Limits:
        """Return those of a guest's first process, which may have so many descriptors.

        Core files are as on devices: none unless a program asks for them. The cell writes none at all.
        """
        core = (0, _INFINITY)
        return cls({resource.RLIMIT_NOFILE: (open_files, open_files), resource.RLIMIT_CORE: core})

    def copy(self) -> Limits:
        """Return what a forked process begins with."""
        return replace(self, wishes=dict(self.wishes))

    def open_files(self, most: int) -> int:
        """Return how many descriptors the process may have, of `most` that it can."""
        return min(self.wishes.get(resource.RLIMIT_NOFILE, (most, most))[0], most)

    def answer(
        self,
        request: Request,
        now: tuple[int, int],
        most: int,
        may_raise: bool,
        read: Callable[[int, int], bytes],
        write: Callable[[int, bytes], None],
    ) -> Answer:
        """Answer a request about a limit that is kept here, and keep what it sets.

        `now` is the limit where nothing was wished, `most` how many descriptors there can be; `may_raise`
        tells whether the caller may raise hard limits (CAP_SYS_RESOURCE). `read` and `write` reach the
        calling process's host memory.
        """
        old = self.wishes.get(request.resource, now)
        changed, note = False, ""
        try:
            if request.new:
                soft, hard = struct.unpack("=2Q", read(request.new, 16))
                if soft > hard:
                    return Answer(-errno.EINVAL)
                if request.resource == resource.RLIMIT_NOFILE and hard > _MOST_FILES:
                    return Answer(-errno.EPERM)
                if hard > old[1] and not may_raise:
                    return Answer(-errno.EPERM)
                self.wishes[request.resource] = soft, hard
                changed, note = True, self._note(request.resource, soft, most)
            if request.old:
                write(request.old, struct.pack("=2Q", *old))
        except OSError:
            return Answer(-errno.EFAULT, note, changed)
        return Answer(0, note, changed)

    @staticmethod
    def _note(which: int, soft: int, most: int) -> str:
        if which in _NOT_ENFORCED and soft != _INFINITY:
            why = "none are written here" if which == resource.RLIMIT_CORE else "it would hit the emulator"
            return f"kept, but a limit of {_NOT_ENFORCED[which]} is not enforced: {why}"
        if which == resource.RLIMIT_NOFILE and soft > most:
            return f"kept, but no more than {most} descriptors can be had here"
        return ""


def host_limit(pid: int, which: int) -> tuple[int, int]:
    """Return a limit of the process `pid` (a host id) as the host has it.

    Raises:
        OSError: the process is gone.
    """
    soft, hard = resource.prlimit(pid, which)
    return soft & _INFINITY, hard & _INFINITY
