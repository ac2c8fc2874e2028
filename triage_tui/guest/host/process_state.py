"""What the kernel tells of a guest's processes and threads (proc(5)): ids, masks, limits, directories."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from triage_tui.guest.host import process
from triage_tui.guest.host.signals import signals_of_mask
from triage_tui.runs.process_model import ResourceLimit

_RESOURCES = str.split(
    "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
)
"""In the order of their numbers, <asm-generic/resource.h>."""

_INFINITY = (1 << 64) - 1

# Signals whose default action is to do nothing, to stop or to go on. The emulator catches all others itself,
# to tell its guest (linux-user/signal.c, fatal_signal).
_HARMLESS = frozenset(("SIGCHLD", "SIGURG", "SIGWINCH", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU"))


def status(path: str) -> dict[str, str]:
    """Return the lines of a `status` file, key -> value.

    Raises:
        OSError: the process or thread is gone.
    """
    with open(f"{path}/status", encoding="utf-8", errors="replace") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


def inner_id(fields: Mapping[str, str]) -> int:
    """Return the id by which the guest knows the process or thread of a `status`."""
    words = fields.get("NSpid", "").split()
    return int(words[-1]) if words else 0


def mask(fields: Mapping[str, str], name: str) -> list[str]:
    """Return the signals of a mask in a `status`: "SigBlk", "SigPnd", "ShdPnd", "SigIgn", "SigCgt"."""
    try:
        return signals_of_mask(int(fields[name], 16))
    except (KeyError, ValueError):
        return []


def caught(fields: Mapping[str, str]) -> list[str]:
    """Return the signals that the guest certainly catches."""
    return [name for name in mask(fields, "SigCgt") if name in _HARMLESS]


def umask(fields: Mapping[str, str]) -> int | None:
    """Return the file mode creation mask, if the kernel tells (Linux 4.7)."""
    with suppress(KeyError, ValueError):
        return int(fields["Umask"], 8)
    return None


def limits(pid: int, kept: Mapping[int, tuple[int, int]]) -> list[ResourceLimit]:
    """Return the resource limits as getrlimit(2) gives them to the guest.

    `kept` are those that the host was not told of: number -> (soft, hard).

    Raises:
        OSError: the process is gone.
    """
    found: list[ResourceLimit] = []
    for number, name in enumerate(_RESOURCES):
        soft, hard = kept[number] if number in kept else resource.prlimit(pid, number)
        found.append(ResourceLimit(name=f"RLIMIT_{name}", soft=_bound(soft), hard=_bound(hard)))
    return found


def _bound(value: int) -> int | None:
    return None if value & _INFINITY == _INFINITY else value


def directory(pid: int, link: str) -> str:
    """Return where `cwd` or `root` of a process leads, as the guest sees it.

    Raises:
        OSError: the process is gone.
    """
    place = os.fsencode(os.readlink(f"/proc/{process.living_id(pid)}/{link}"))
    return place.decode("utf-8", "backslashreplace")


class ThreadFacts(msgspec.Struct, frozen=True):
    """One thread as the kernel knows it."""

    tid: int
    """Host id."""
    inner: int
    """Id as the guest sees it."""
    in_call: bool | None
    """Whether it is in a host system call; None when the kernel does not say."""
    blocked: list[str]
    pending: list[str]
    ended: bool = False
    """It is a process's first thread, which the process outlives."""


def thread_facts(pid: int, tid: int) -> ThreadFacts:
    """Return what the kernel tells of a thread.

    Raises:
        OSError: it is gone.
    """
    place = f"/proc/{pid}/task/{tid}"
    fields = status(place)
    in_call: bool | None = None
    with suppress(OSError, ValueError, IndexError), open(f"{place}/syscall", "rb") as file:
        in_call = int(file.read().split()[0]) >= 0
    # The stop that freezes it is ours.
    pending = [name for name in mask(fields, "SigPnd") if name != "SIGSTOP"]
    ended = fields.get("State", "")[:1] in ("Z", "X")
    return ThreadFacts(tid, inner_id(fields), in_call, mask(fields, "SigBlk"), pending, ended)
