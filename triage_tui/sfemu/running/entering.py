"""Bring a process into a guest's cell, with a rule directory mounted where only it sees it.

The process shares the guest's user, network, IPC and UTS name spaces and its root file system, which is
copy-on-write. It has a mount name space of its own, in which the rule directory lies in its place: seen
through an overlay whose changes go with the process, but for the directories that hold what SFEmu records,
which are those of this machine. Our own workspace in there, with what persons decided, is covered. It also
has a process name space of its own, so that neither it nor the guest can signal or trace the other, and that
the kernel ends all processes in it with the first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import struct
from collections.abc import Iterable, Sequence

from triage_tui.guest.cell import policy
from triage_tui.guest.host import mounts, namespaces, seccomp
from triage_tui.guest.host.libc import checked, libc

NAMESPACES = ("user", "net", "ipc", "uts", "mnt")
"""What is shared with the guest, in the order in which it is entered."""
_CAPABILITY_VERSION = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3, capset(2)."""
_CAPSET = {"x86_64": 126, "aarch64": 91}
_NO_EMULATOR_FD = 1 << 20
"""From here on a descriptor would count as the emulator's own: there are none."""
_FALLBACK = "/.sfemu_rules"
_COVER_BYTES = 1 << 20


def enter(
    spaces: Sequence[int],
    rules_fd: int,
    rules_path: str,
    recorded: Iterable[str],
    covered: str,
    exchanged: Iterable[str],
    overlay_bytes: int,
) -> str:
    """Enter the name spaces behind `spaces` (see `NAMESPACES`); return where the rule directory now lies.

    `rules_fd` is the rule directory, `recorded` are the names in it that are written through, but for the
    directory `covered` in one of them, of which only the directories `exchanged` are seen.

    Raises:
        OSError: the kernel refuses.
    """
    user = spaces[0]
    is_own = os.fstat(user).st_ino == os.stat("/proc/self/ns/user").st_ino
    os.fchdir(rules_fd)
    if os.geteuid() == 0 and not is_own:
        # As root of this machine: its files then belong to the cell's root.
        namespaces.unshare(namespaces.CLONE_NEWNS)
        tree = mounts.idmapped_tree(user)
        namespaces.enter_user_namespace(user)
    else:
        if not is_own:
            checked(libc.setns(user, namespaces.CLONE_NEWUSER), "setns")
        namespaces.unshare(namespaces.CLONE_NEWNS)
        tree = mounts.cloned_tree()
    for space in spaces[1:]:
        checked(libc.setns(space, 0), "setns")
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    place = _mount_point(rules_path)
    _mount_rules(tree, place, recorded, covered, exchanged, overlay_bytes)
    return place


def _mount_point(wanted: str) -> str:
    """Return a directory of the guest's root to mount on: of the same name as on this machine, or another.

    It is made in the copy-on-write root, where it stays empty for the guest.
    """
    for path in (wanted, _FALLBACK):
        with contextlib.suppress(OSError):
            os.makedirs(path, exist_ok=True)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                return path
    raise OSError(errno.ENOTDIR, f"no directory can be made at {wanted} in the guest's root")


def _mount_rules(
    tree: int, place: str, recorded: Iterable[str], covered: str, exchanged: Iterable[str], overlay_bytes: int
) -> None:
    flags = mounts.MS_NOSUID | mounts.MS_NODEV
    mounts.mount("tmpfs", place, "tmpfs", flags, f"mode=755,size={overlay_bytes}")
    lower, upper, work, merged = (os.path.join(place, name) for name in ("lower", "upper", "work", "merged"))
    for path in (lower, upper, work, merged):
        os.mkdir(path, 0o755)
    mounts.move_tree(tree, lower)
    os.close(tree)
    os.chdir(lower)
    mounts.mount_overlay(merged, upper, work)
    for name in recorded:
        source = os.path.join(lower, name)
        if stat.S_ISDIR(os.lstat(source).st_mode):
            mounts.mount(source, os.path.join(merged, name), "", mounts.MS_BIND)
    if covered:
        _cover(lower, merged, covered, exchanged)
    os.chdir("/")
    mounts.mount(merged, place, "", mounts.MS_BIND | mounts.MS_REC)


def _cover(lower: str, merged: str, covered: str, exchanged: Iterable[str]) -> None:
    """Cover the directory `covered`, in which only the directories `exchanged` are seen as they are."""
    cover = os.path.join(merged, covered)
    flags = mounts.MS_NOSUID | mounts.MS_NODEV
    mounts.mount("tmpfs", cover, "tmpfs", flags, f"mode=755,size={_COVER_BYTES}")
    for name in exchanged:
        source = os.path.join(lower, covered, name)
        if os.path.isdir(source) and not os.path.islink(source):
            os.mkdir(os.path.join(cover, name), 0o755)
            mounts.mount(source, os.path.join(cover, name), "", mounts.MS_BIND)


def close_in(cwd: str, single_id: bool, memory_bytes: int, file_bytes: int) -> tuple[list[str], list[str]]:
    """Take from this process what the guest's own root has not; return what holds it, and what is missing.

    `memory_bytes` is what may be mapped, `file_bytes` the longest file that may be written.
    """
    held, missing = ["the guest's cell"], []
    try:
        os.chdir(cwd)
    except OSError:
        os.chdir("/")
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for kind, value in (
        # For the guest's shell, too, whose emulator reserves address space without end.
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))
    namespaces.drop_capabilities(keep_harmless=not single_id)
    kept = 0 if single_id else sum(1 << number for number in namespaces.KEPT_CAPABILITIES)
    if number := _CAPSET.get(os.uname().machine):
        header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
        low, high = kept & 0xFFFFFFFF, kept >> 32
        data = struct.pack("=6I", low, low, 0, high, high, 0)
        checked(libc.syscall(number, header, data), "capset")
        held.append("no capability beyond the guest's")
    names = policy.ContainmentPolicy().never_executed() - policy.EXECUTIONS
    refused = [*names, *policy.NEVER_NEEDED.split()]
    try:
        # First, for the other one may refuse what installs filters.
        seccomp.install_traced(seccomp.program_without_set_ids())
        seccomp.install_traced(seccomp.program([], _NO_EMULATOR_FD, refused=refused))
    except (OSError, KeyError) as error:
        missing.append(f"seccomp filter: {error}")
    else:
        held.append("seccomp filter")
    return held, missing
