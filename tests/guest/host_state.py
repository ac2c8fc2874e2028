"""What of this machine a guest must never change."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from pathlib import Path

_FILES = (
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/core_pattern",
    "/proc/self/mounts",
    "/proc/self/limits",
    "/proc/swaps",
    "/proc/modules",
    "/proc/net/route",
)


def host_state() -> dict[str, str]:
    """Return names, mounts, limits, swap, modules, routes, interfaces and clock of this machine as text."""
    state = {name: Path(name).read_text() for name in _FILES if Path(name).exists()}
    for _, name in socket.if_nameindex():
        for what in ("flags", "address", "mtu"):
            path = Path("/sys/class/net", name, what)
            state[str(path)] = path.read_text() if path.exists() else ""
    # A clock that was set is off by days: what programs set in tests is the second day of 1970.
    state["year"] = time.strftime("%Y")
    return state


def tree_state(root: Path) -> dict[str, tuple[object, ...]]:
    """Return path -> type, mode, owner, times and content of everything below `root`."""
    state: dict[str, tuple[object, ...]] = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files, "."):
            path = Path(directory, name)
            status = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            facts = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ctime_ns)
            state[str(path)] = (*facts, status.st_ino, content)
    return state
