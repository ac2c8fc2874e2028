"""User and group ids of a guest where only one id exists.

An unprivileged user can map a single id into a user name space: the guest is root, and any other id is
refused with EINVAL. Daemons that drop their privileges would end there, which they do not on the device. So
changes of identity are answered as a real root would get them, and the questions that follow agree with them
(setuid(2), setreuid(2), setresuid(2), setgroups(2), credentials(7)). Nothing of it changes what the process
may do on the host, which is what its user may do.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

_KEEP = 0xFFFFFFFF
_MAX_GROUPS = 65536

CALLS = frozenset(
    str.split(
        "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups getuid geteuid "
        "getgid getegid getresuid getresgid getgroups chown lchown fchown fchownat"
    )
)
"""Host calls that this module answers."""

_OWNER_ARGUMENT = {"chown": 1, "lchown": 1, "fchown": 1, "fchownat": 2}


class Identity(msgspec.Struct):
    """The ids that one process believes to have: (real, effective, saved)."""

    uids: tuple[int, int, int] = (0, 0, 0)
    gids: tuple[int, int, int] = (0, 0, 0)
    groups: list[int] = msgspec.field(default_factory=list)

    @classmethod
    def of_user(cls, user: int) -> Identity:
        """Return the identity of a process that starts as `user`."""
        return cls((user, user, user), (user, user, user))

    def copy(self) -> Identity:
        """Return what a forked process begins with."""
        return replace(self, groups=list(self.groups))

    @property
    def is_real(self) -> bool:
        """Whether these are the ids that the process really has."""
        return not any((*self.uids, *self.gids, *self.groups))

    def answer(
        self,
        name: str,
        args: tuple[int, ...],
        read: Callable[[int, int], bytes],
        write: Callable[[int, bytes], None],
    ) -> int | None:
        """Return the result of the host call `name`, None to have it executed.

        `read` and `write` reach the calling process's host memory.

        Raises:
            OSError: the call's memory arguments are not accessible.
        """
        low = [argument & _KEEP for argument in args]
        if name in _OWNER_ARGUMENT:
            at = _OWNER_ARGUMENT[name]
            # Id 0 exists, and "keep" needs none: only other owners cannot be had.
            return None if {low[at], low[at + 1]} <= {0, _KEEP} else 0
        if name.startswith("set"):
            return self._set(name, low, args, read)
        return self._get(name, low, args, write)

    def _set(
        self, name: str, low: list[int], args: tuple[int, ...], read: Callable[[int, int], bytes]
    ) -> int:
        if name == "setgroups":
            if self.uids[1] != 0:
                return -errno.EPERM
            if low[0] > _MAX_GROUPS:
                return -errno.EINVAL
            self.groups = list(struct.unpack(f"={low[0]}I", read(args[1], 4 * low[0]))) if low[0] else []
            return 0
        of_user = "uid" in name
        old = self.uids if of_user else self.gids
        if name in ("setfsuid", "setfsgid"):
            return old[1]
        privileged = self.uids[1] == 0
        wanted = {
            "set": (low[0], low[0], low[0]) if privileged else (_KEEP, low[0], _KEEP),
            "setre": (low[0], low[1], low[1] if low[0] != _KEEP or low[1] != _KEEP else _KEEP),
            "setres": (low[0], low[1], low[2]),
        }[name[:-3]]
        if not privileged and any(value not in (*old, _KEEP) for value in wanted):
            return -errno.EPERM
        real, effective, saved = (was if now == _KEEP else now for was, now in zip(old, wanted, strict=True))
        if of_user:
            self.uids = (real, effective, saved)
        else:
            self.gids = (real, effective, saved)
        return 0

    def _get(
        self, name: str, low: list[int], args: tuple[int, ...], write: Callable[[int, bytes], None]
    ) -> int | None:
        if self.is_real:
            return None
        if name in ("getresuid", "getresgid"):
            for address, value in zip(args[:3], self.uids if name == "getresuid" else self.gids, strict=True):
                write(address, struct.pack("=I", value))
            return 0
        if name == "getgroups":
            if low[0]:
                if low[0] < len(self.groups):
                    return -errno.EINVAL
                write(args[1], struct.pack(f"={len(self.groups)}I", *self.groups))
            return len(self.groups)
        ids = {
            "getuid": self.uids[0],
            "geteuid": self.uids[1],
            "getgid": self.gids[0],
            "getegid": self.gids[1],
        }
        return ids[name]
