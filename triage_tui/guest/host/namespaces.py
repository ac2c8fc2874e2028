"""Name spaces, identity maps and mounts that hold a guest (namespaces(7), user_namespaces(7), mount(2)).

Everything here acts on the calling process; the launcher calls it. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable, Iterator, Sequence

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_CELL = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
"""What a cell has of its own, the user name space left out."""
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_DUMPABLE = 1, 24, 4
_AT_FDCWD, _AT_EMPTY_PATH, _OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = -100, 0x1000, 1, 0o2000000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x00100000
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR, _SYS_PIVOT_ROOT = (
    428,
    429,
    442,
    {
        "x86_64": 155,
        "aarch64": 41,
    },
)

HOST_BASE_ID = 1_880_000_000
"""First of the unprivileged host ids that guests of a root user get: above what systemd, useradd and
container managers hand out, so that no host file or process belongs to it."""
ID_COUNT = 65536

SAFE_DEVICES = {(1, 3): "/dev/null", (1, 5): "/dev/zero", (1, 7): "/dev/full"} | {
    (1, 8): "/dev/random",
    (1, 9): "/dev/urandom",
}
"""Character devices (major, minor) that a guest may really use, and where the host has them."""

# What a guest's root may do inside its name spaces. The rest (mounting, tracing, modules, raw I/O, ...) is
# taken from the bounding set: its kernel interfaces are the usual way out of a name space.
KEPT_CAPABILITIES = frozenset(range(11)) | {11, 12, 13, 14, 15, 18, 23, 24, 27, 29, 31}
_LAST_CAPABILITY = 63

_RT_SIGACTION = {"x86_64": 13, "aarch64": 134}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(),
        os.fsencode(target),
        kind.encode(),
        ctypes.c_ulong(flags),
        os.fsencode(options) or None,
    )
    _check(result, f"mount of {kind or source} on {target}")


def reset_signals() -> None:
    """Give every signal its default action and let all of them through.

    By the kernel's own call: the C library keeps two of them for itself, which make(1) and others that start
    programs by posix_spawn(3) leave ignored, and the guest would have them so.
    """
    default = ctypes.create_string_buffer(32)
    for number in range(1, 65):
        # Two cannot be changed.
        _libc.syscall(_RT_SIGACTION[os.uname().machine], number, default, None, 8)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends (PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def hide_memory() -> None:
    """Keep this process's memory from being traced by what it is about to start."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def show_memory() -> None:
    """Let an ancestor in the same user name space trace this process, until it executes something."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def drop_capabilities(keep_harmless: bool = True) -> None:
    """Take all but the harmless capabilities from the bounding set, so that no exec gets them back.

    Without `keep_harmless` all are taken: what then starts is root by name only.
    """
    for capability in range(_LAST_CAPABILITY + 1):
        if not keep_harmless or capability not in KEPT_CAPABILITIES:
            # EINVAL: this kernel has no such capability.
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def map_self(uid: int, gid: int) -> None:
    """Be root of the user name space just made: the one id that an unprivileged user may map."""
    with open("/proc/self/setgroups", "w") as file:
        file.write("deny")
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"0 {uid} 1")
    with open("/proc/self/gid_map", "w") as file:
        file.write(f"0 {gid} 1")


def make_user_namespace(processes: int | None = None) -> int:
    """As host root: make a user name space whose ids 0..65535 are unprivileged host ids.

    At most `processes` processes and threads run in it, where the kernel lets us see to that: RLIMIT_NPROC
    counts for each user id, but a name space as a whole counts for its owner in the one above, with the limit
    that the owner had when it was made (Linux 5.14, kernel/ucount.c; root has none). So there is one between
    root's and the guest's, in which an id of its own owns the guest's. Many may fork at once: the kernel
    counts.

    Returns a descriptor of it. Nothing keeps it alive but the descriptor.
    """
    ids = f"0 {HOST_BASE_ID} {ID_COUNT + 1}"
    with _user_namespace(ids) as outer:
        if processes is None:
            return os.dup(outer)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = os.fork()
        if child == 0:
            try:
                enter_user_namespace(outer)
                # For the maps of the inner one, which only who is in this one may write.
                show_memory()
                with _user_namespace(f"0 0 {ID_COUNT}", lambda: _become_owner(processes)) as inner:
                    socket.send_fds(theirs, [b"made"], [inner])
            finally:
                os._exit(0)
        with ours:
            theirs.close()
            _data, fds, _flags, _address = socket.recv_fds(ours, 16, 1)
        os.waitpid(child, 0)
        for fd in fds:
            os.set_inheritable(fd, False)
        # Where the kernel makes none (kernel.unprivileged_userns_clone=0), the limit counts for each id.
        return fds[0] if fds else os.dup(outer)


@contextlib.contextmanager
def _user_namespace(ids: str, prepare: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Make a user name space with these user and group ids; give a descriptor of it.

    `prepare` is called in the process that makes it, and then owns it.
    """
    ready_read, ready_write = os.pipe()
    done_read, done_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(done_write)
            prepare()
            unshare(CLONE_NEWUSER)
            os.write(ready_write, b"x")
            os.read(done_read, 1)
        finally:
            os._exit(0)
    os.close(ready_write)
    os.close(done_read)
    fd = -1
    try:
        if os.read(ready_read, 1) != b"x":
            raise OSError("the kernel refuses a user name space")
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{name}", "w") as file:
                file.write(ids)
        fd = os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        yield fd
    finally:
        if fd >= 0:
            os.close(fd)
        os.close(done_write)
        os.close(ready_read)
        os.waitpid(child, 0)


def _become_owner(processes: int) -> None:
    """Take the id that the guest does not get, with a limit of processes."""
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    os.setresuid(ID_COUNT, ID_COUNT, ID_COUNT)
    show_memory()


def enter_user_namespace(fd: int) -> None:
    """Become root of the user name space behind `fd`."""
    _check(_libc.setns(fd, CLONE_NEWUSER), "setns")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def cloned_tree() -> int:
    """Return a descriptor of a mount of the current directory that is mounted nowhere yet (open_tree(2)).

    Raises:
        OSError: the kernel (5.2) cannot, or may not.
    """
    tree = _libc.syscall(
        # By name: a descriptor from before this mount name space would be of another one's mount.
        _SYS_OPEN_TREE,
        _AT_FDCWD,
        b".",
        _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC,
    )
    return _check(tree, "open_tree")


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
        set_to = _libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size)
        _check(set_to, "mount_setattr")
    except OSError:
        os.close(tree)
        raise
    return tree


def move_tree(tree: int, target: str) -> None:
    """Mount what `cloned_tree` or `idmapped_tree` gave on `target` (move_mount(2))."""
    moved = _libc.syscall(
        _SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH
    )
    _check(moved, "move_mount")


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
    _check(_libc.syscall(_SYS_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    os.chdir("/")


def _make_read_only(path: str) -> None:
    """Make a mount read-only and keep its other flags, which may be locked in a user name space."""
    # These have the same numbers in both (statvfs(3), mount(2)).
    kept = os.statvfs(path).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
    try:
        mount("", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | kept)
    except OSError:
        _check(_libc.umount2(os.fsencode(path), _MNT_DETACH), "umount")
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


def limit_shared_memory(process_directory: str, size: int) -> None:
    """Bound System V shared memory of this IPC name space to `size` bytes, where the kernel lets us."""
    for name, value in (("shmall", size // 4096), ("shmmax", size)):
        with (
            contextlib.suppress(OSError),
            open(os.path.join(process_directory, "sys/kernel", name), "w") as file,
        ):
            file.write(str(value))


def bring_loopback_up() -> None:
    """Set IFF_UP on `lo` of the current network name space (netdevice(7))."""
    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        request = fcntl.ioctl(sock, get_flags, struct.pack("16sh22x", b"lo", 0))
        (flags,) = struct.unpack_from("h", request, 16)
        fcntl.ioctl(sock, set_flags, struct.pack("16sh22x", b"lo", flags | up))


def add_bridges(names: Sequence[str]) -> list[str]:
    """Give the current network name space bridges without ports, up, with 192.168.N.1/24 (N from 1).

    Returns those that could be made, in words; the kernel may have no bridges.
    """
    add_bridge, set_address, set_netmask, set_flags, up = 0x89A0, 0x8916, 0x891C, 0x8914, 1
    made = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        for number, name in enumerate(names, start=1):
            wanted = name.encode()
            address = f"192.168.{number}.1"
            try:
                fcntl.ioctl(sock, add_bridge, struct.pack("16s", wanted))
                for request, value in ((set_address, address), (set_netmask, "255.255.255.0")):
                    sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
                    fcntl.ioctl(sock, request, struct.pack("16s16s8x", wanted, sockaddr))
                fcntl.ioctl(sock, set_flags, struct.pack("16sh22x", wanted, up))
            except OSError as error:
                made.append(f"not the interface {name} ({error.strerror})")
            else:
                made.append(f"the interface {name} ({address}, a bridge without ports)")
    return made


def become_user(user: int) -> None:
    """Take `user` as all user and group ids of this user name space, and no other groups."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def set_limits(processes: int, memory: int, open_files: int) -> None:
    """Bound what a guest may use: `processes` in its user name space, `memory` bytes of writable memory each.

    The address space itself cannot be bounded: QEMU reserves the guest's whole address range.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for which, value in (
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_MSGQUEUE, 1 << 20),
    ):
        _soft, hard = resource.getrlimit(which)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (limit, limit))


def be_first_victim() -> None:
    """Have the kernel kill this process and its children before others when memory runs out."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
