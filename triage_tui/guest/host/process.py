"""Look at and touch the emulator's host processes: maps, descriptors, threads, signals (proc(5)).

Ids are host ids.

What is asked of a process or thread that is gone has an answer that says so. When the kernel does not tell
for another reason (no descriptor is left, say) OSError is raised: nobody may take a living one for one that
is gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
from collections.abc import Iterator
from typing import NamedTuple

from triage_tui.guest.host.descriptor_reserve import is_exhausted

_GONE = (errno.ENOENT, errno.ESRCH, errno.ENOTDIR)


@contextlib.contextmanager
def _unless_hidden() -> Iterator[None]:
    """Leave the block when a process is gone or may not be looked into; only EMFILE and ENFILE are raised."""
    try:
        yield
    except OSError as error:
        if is_exhausted(error):
            raise


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """Leave the block when a process is gone; any other error is raised."""
    try:
        yield
    except OSError as error:
        if error.errno not in _GONE:
            raise


class HostMapping(NamedTuple):
    """One line of /proc/<pid>/maps."""

    start: int
    end: int
    perms: str
    offset: int
    device: str
    inode: int
    path: str


_MAPS_LINE = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+) *(.*)")


def read_maps(pid: int) -> list[HostMapping]:
    """Return the process's mappings; an empty list when it is gone, or not ours to look into.

    Raises:
        OSError: no descriptor is left.
    """
    mappings: list[HostMapping] = []
    with _unless_hidden(), open(f"/proc/{living_id(pid)}/maps", "rb") as file:
        for line in file:
            found = _MAPS_LINE.match(line)
            if found:
                start, end, perms, offset, device, inode, path = found.groups()
                mappings.append(
                    HostMapping(
                        int(start, 16),
                        int(end, 16),
                        perms.decode(),
                        int(offset, 16),
                        device.decode(),
                        int(inode),
                        path.decode("utf-8", "backslashreplace"),
                    )
                )
    return mappings


def _status(pid: int) -> dict[str, str]:
    """Return the lines of a process's or thread's status, key -> value; nothing when it is gone."""
    lines: list[str] = []
    with _unless_gone(), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        lines = file.readlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def process_of(tid: int) -> int:
    """Return the process (thread group) that the thread `tid` belongs to; 0 when it is gone.

    Raises:
        OSError: the kernel does not tell.
    """
    return int(_status(tid).get("Tgid", "0"))


def parent_of(pid: int) -> int:
    """Return the parent process; 0 when the process is gone.

    Raises:
        OSError: the kernel does not tell.
    """
    return int(_status(pid).get("PPid", "0"))


def inner_pid(pid: int) -> int:
    """Return the id that the process has inside its own pid name space; 0 when it is gone.

    Raises:
        OSError: the kernel does not tell.
    """
    words = _status(pid).get("NSpid", "").split()
    return int(words[-1]) if words else 0


_PF_EXITING = 0x4
_SIGKILL_BIT = 1 << (signal.SIGKILL - 1)


def is_ending(pid: int) -> bool:
    """Return whether the process is on its way out: it is exiting, or about to be killed by SIGKILL.

    Raises:
        OSError: the kernel does not tell.
    """
    fields = _status(pid)
    pending = int(fields.get("SigPnd", "0"), 16) | int(fields.get("ShdPnd", "0"), 16)
    if not fields or pending & _SIGKILL_BIT:
        return True
    words: list[bytes] = []
    with _unless_gone(), open(f"/proc/{pid}/stat", "rb") as file:
        words = file.read().rpartition(b")")[2].split()
    # Field 9 of proc(5); the second one may hold spaces.
    return not words or (bool(int(words[6]) & _PF_EXITING) and outliving_thread(pid) is None)


class ThreadState(NamedTuple):
    """A thread's state letter (R, S, T, Z, ...), consumed CPU clock ticks, and the host syscall it is in."""

    state: str
    ticks: int
    syscall: int | None


def thread_state(pid: int, tid: int) -> ThreadState | None:
    """Return what the thread is doing, or None when it is gone.

    Raises:
        OSError: the kernel does not tell.
    """
    fields: list[bytes] = []
    with _unless_gone(), open(f"/proc/{pid}/task/{tid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    if not fields:
        return None
    number: int | None = None
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/task/{tid}/syscall", "rb") as file:
        number = int(file.read().split()[0])
    return ThreadState(fields[0].decode(), int(fields[11]) + int(fields[12]), number)


def cpu_seconds(tid: int) -> float:
    """Return the processor time of a thread in seconds, 0 when it is gone or the kernel does not tell."""
    return scheduled_seconds(tid)[0]


def scheduled_seconds(tid: int) -> tuple[float, float]:
    """Return for how many seconds a thread has run, and has waited to run; zeros where that is not told.

    From /proc/<tid>/schedstat (Documentation/scheduler/sched-stats.rst).
    """
    with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{tid}/schedstat", "rb") as file:
        ran, waited = file.read().split()[:2]
        return int(ran) / 1e9, int(waited) / 1e9
    return 0.0, 0.0


def progress(pid: int, tid: int) -> tuple[int, int]:
    """Return figures that grow when a thread makes calls: kernel time in clock ticks, voluntary switches."""
    system = switches = 0
    with contextlib.suppress(OSError, IndexError, ValueError):
        with open(f"/proc/{pid}/task/{tid}/stat", "rb") as file:
            system = int(file.read().rpartition(b")")[2].split()[12])
        with open(f"/proc/{pid}/task/{tid}/status", "rb") as file:
            found = re.search(rb"\nvoluntary_ctxt_switches:\s*(\d+)", file.read())
            switches = int(found[1]) if found else 0
    return system, switches


def bytes_read(pid: int) -> int:
    """Return how many bytes the process has read, from sockets and files alike; 0 if unknown."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/io", "rb") as file:
        found = re.match(rb"rchar: (\d+)", file.read())
        return int(found[1]) if found else 0
    return 0


def threads(pid: int) -> list[int]:
    """Return the thread ids of a process, empty when it is gone.

    Raises:
        OSError: the kernel does not tell.
    """
    names: list[str] = []
    with _unless_gone():
        names = os.listdir(f"/proc/{pid}/task")
    return sorted(map(int, names))


def descendants(root: int) -> list[int]:
    """Return the living (not zombie) descendants of the process `root`, parents first.

    Raises:
        OSError: the kernel does not tell.
    """
    if not os.path.exists(f"/proc/{root}/task/{root}/children"):
        return _descendants_by_parent(root)
    found: list[int] = []
    queue = [root]
    while queue:
        pid = queue.pop(0)
        for tid in threads(pid):
            children: list[int] = []
            with _unless_gone(), open(f"/proc/{pid}/task/{tid}/children", "rb") as file:
                children = [int(word) for word in file.read().split()]
            queue += children
            found += [child for child in children if _is_living(child)]
    return found


def _is_living(pid: int) -> bool:
    fields: list[bytes] = []
    with _unless_gone(), open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return bool(fields) and (fields[0] not in (b"Z", b"X") or outliving_thread(pid) is not None)


def outliving_thread(pid: int) -> int | None:
    """Return a thread of a process whose first thread has ended before it, None where there is none.

    The kernel shows such a process as a zombie and gives its memory by the ids of its living threads only.
    """
    for tid in threads(pid):
        if tid != pid and (state := thread_state(pid, tid)) is not None and state.state not in "ZX":
            return tid
    return None


def living_id(pid: int) -> int:
    """Return the id through which proc(5) shows a process: that of its first thread, if it lives.

    What is in /proc/<pid> is that thread's. When it has ended before the others, the files of one of those
    show the same memory, descriptors and directories.
    """
    state = thread_state(pid, pid)
    if state is not None and state.state not in "ZX":
        return pid
    return outliving_thread(pid) or pid


def _descendants_by_parent(root: int) -> list[int]:
    """The same for kernels without CONFIG_PROC_CHILDREN: look at every process of the machine."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        fields: list[bytes] = []
        with _unless_gone(), open(f"/proc/{name}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        if len(fields) > 1 and (fields[0] not in (b"Z", b"X") or outliving_thread(int(name)) is not None):
            children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    queue = [root]
    while queue:
        for child in sorted(children.get(queue.pop(0), ())):
            found.append(child)
            queue.append(child)
    return found


def send_signal(pid: int, which: signal.Signals) -> None:
    """Send a signal; a process that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, which)


def descriptor_flags(pid: int, fd: int) -> int:
    """Return the open flags of a descriptor (octal `flags:` of fdinfo), 0 when unknown."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
        for line in file:
            if line.startswith("flags:"):
                return int(line.split()[1], 8)
    return 0
