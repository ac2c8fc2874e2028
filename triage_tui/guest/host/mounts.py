"""Mounts of the name space of a guest: copy-on-write roots, owners seen otherwise, devices, /proc (mount(2)).

Everything here acts on the calling process; the launcher calls it. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

from triage_tui.guest.host.host_syscalls import numbers
from triage_tui.guest.host.libc import checked, libc

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_AT_FDCWD, _AT_EMPTY_PATH, _OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = -100, 0x1000, 1, 0o2000000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x00100000
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
"""The same on all machines, so that one without a table is told that it cannot, and no more."""
SAFE_DEVICES = {(1, 3): "/dev/null", (1, 5): "/dev/zero", (1, 7): "/dev/full"} | {
    (1, 8): "/dev/random",
    (1, 9): "/dev/urandom",
}
"""Character devices (major, minor) that a guest may really use, and where the host has them."""


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = libc.mount(
        source.encode(),
        os.fsencode(target),
        kind.encode(),
        ctypes.c_ulong(flags),
        os.fsencode(options) or None,
    )
    checked(result, f"mount of {kind or source} on {target}")


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def cloned_tree() -> int:
    """Return a descriptor of a mount of the current directory that is mounted nowhere yet (open_tree(2)).

    Raises:
        OSError: the kernel (5.2) cannot, or may not.
    """
    tree = libc.syscall(
        # By name: a descriptor from before this mount name space would be of another one's mount.
        _SYS_OPEN_TREE,
        _AT_FDCWD,
        b".",
        _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC,
    )
    return checked(tree, "open_tree")


def idmapped_tree(userns_fd: int) -> int:
    """Return a descriptor of a mount of the current directory with its owners seen through `userns_fd`.

    A file of host root then belongs to root of that name space (mount_setattr(2), MOUNT_ATTR_IDMAP).

    Raises:
        OSError: the kernel (5.12, overlay lower 5.19) or the file system cannot.
    """
    tree = cloned_tree()
    attributes = _MountAttributes(_MOUNT_ATTR_IDMAP | MS_NODEV | MS_NOSUID, 0, 0, userns_fd)
    size = ctypes.sizeof(attributes)
    try:
        set_to = libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size)
        checked(set_to, "mount_setattr")
    except OSError:
        os.close(tree)
        raise
    return tree


def move_tree(tree: int, target: str) -> None:
    """Mount what `cloned_tree` or `idmapped_tree` gave on `target` (move_mount(2))."""
    moved = libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    checked(moved, "move_mount")


def mount_idmapped(target: str, userns_fd: int) -> None:
    """Mount the current directory on `target`, its owners seen through `userns_fd`: see `idmapped_tree`."""
    tree = idmapped_tree(userns_fd)
    try:
        move_tree(tree, target)
    finally:
        os.close(tree)


def mount_overlay(target: str, upper: str, work: str) -> None:
    """Mount a copy-on-write view of the current directory on `target`.

    The lower layer is given as ".", because overlay options cannot hold every path.
    """
    options = f"lowerdir=.,upperdir={upper},workdir={work}"
    try:
        mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, options + ",userxattr")
    except OSError:
        mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, options)


def become_root_directory(new_root: str) -> None:
    """Make `new_root` the root of this mount name space and let go of the old one (pivot_root(2))."""
    os.chdir(new_root)
    checked(libc.syscall(numbers()["pivot_root"], b".", b"."), "pivot_root")
    checked(libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    os.chdir("/")


def _make_read_only(path: str) -> None:
    """Make a mount read-only and keep its other flags, which may be locked in a user name space."""
    # These have the same numbers in both (statvfs(3), mount(2)).
    kept = os.statvfs(path).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
    try:
        mount("", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | kept)
    except OSError:
        checked(libc.umount2(os.fsencode(path), _MNT_DETACH), "umount")
        raise


def open_null(place: str) -> int:
    """Return a descriptor of the null device by which nothing of the host's node can be changed.

    It is opened at `place`, where it is mounted read-only; nothing may be there yet.

    Raises:
        OSError: it cannot be mounted, or there is none.
    """
    os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC))
    mount("/dev/null", place, "", MS_BIND)
    _make_read_only(place)
    return os.open(place, os.O_RDONLY | os.O_CLOEXEC)


MOST_DEVICES = 256
"""How many device nodes of a root are made to work at most: each costs a mount."""


def bind_safe_devices(root: str) -> list[str]:
    """Make device nodes below `root`/dev work that name a harmless device; return their paths.

    A device node on the guest's own root cannot be opened (the mount says nodev); the host's node of the same
    device is mounted over it. Nothing is added that the root did not have. The mounts are read-only: that
    keeps owner, mode and times of the host's node as they are, and a character device can be written all the
    same.
    """
    bound: list[str] = []
    directory = os.path.join(root, "dev")
    if os.path.islink(directory):
        return bound
    # Links are not followed, errors of directories that cannot be read are passed over.
    for place, directories, names in os.walk(directory):
        directories.sort()
        for name in sorted(names):
            if len(bound) == MOST_DEVICES:
                return bound
            path = os.path.join(place, name)
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                if (status.st_mode & 0o170000) != 0o020000:
                    continue
                device = SAFE_DEVICES.get((os.major(status.st_rdev), os.minor(status.st_rdev)))
                if device is not None:
                    mount(device, path, "", MS_BIND)
                    _make_read_only(path)
                    bound.append("/" + os.path.relpath(path, root))
    return bound


_KERNEL_FILES = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")


def make_proc_read_only(process_directory: str) -> list[str]:
    """Make a mounted /proc read-only but for the network's settings; return the guest's names of what is.

    /proc/<pid>/mem would let a guest write over the emulator that runs it, and so run native code; files such
    as /proc/sys/kernel/core_pattern set the host's kernel. What has a mount of its own stays read-only there
    whatever becomes of /proc itself.

    Settings of the network are those of the cell's own name space: they stay writable. Without a user name
    space of its own (root that is the host's root) this is what keeps the rest from a guest.

    Raises:
        OSError: it cannot be done.
    """
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    done = []
    for name in _KERNEL_FILES:
        path = os.path.join(process_directory, name)
        if os.path.exists(path):
            mount(path, path, "", MS_BIND)
            mount("", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | flags)
            done.append("/proc/" + name)
    network = os.path.join(process_directory, "sys/net")
    if os.path.exists(network):
        mount(network, network, "", MS_BIND)
        mount("", network, "", MS_REMOUNT | MS_BIND | flags)
    mount("", process_directory, "", MS_REMOUNT | MS_BIND | MS_RDONLY | flags)
    return ["/proc", *done]
