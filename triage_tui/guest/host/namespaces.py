"""Name spaces, identity maps and limits that hold a guest (namespaces(7), user_namespaces(7)).

Everything here acts on the calling process; the launcher calls it. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator

from triage_tui.guest.host.host_syscalls import numbers
from triage_tui.guest.host.libc import checked, libc

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_CELL = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
"""What a cell has of its own, the user name space left out."""
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_DUMPABLE = 1, 24, 4

HOST_BASE_ID = 1_880_000_000
"""First of the unprivileged host ids that guests of a root user get: above what systemd, useradd and
container managers hand out, so that no host file or process belongs to it."""
ID_COUNT = 65536


# What a guest's root may do inside its name spaces. The rest (mounting, tracing, modules, raw I/O, ...) is
# taken from the bounding set: its kernel interfaces are the usual way out of a name space.
KEPT_CAPABILITIES = frozenset(range(11)) | {11, 12, 13, 14, 15, 18, 23, 24, 27, 29, 31}
_LAST_CAPABILITY = 63


def unshare(flags: int) -> None:
    """unshare(2)."""
    checked(libc.unshare(flags), "unshare")


def reset_signals() -> None:
    """Give every signal its default action and let all of them through.

    By the kernel's own call: the C library keeps two of them for itself, which make(1) and others that start
    programs by posix_spawn(3) leave ignored, and the guest would have them so.
    """
    default = ctypes.create_string_buffer(32)
    for number in range(1, 65):
        # Two cannot be changed.
        libc.syscall(numbers()["rt_sigaction"], number, default, None, 8)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends (PR_SET_PDEATHSIG)."""
    checked(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def hide_memory() -> None:
    """Keep this process's memory from being traced by what it is about to start."""
    checked(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def show_memory() -> None:
    """Let an ancestor in the same user name space trace this process, until it executes something."""
    checked(libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def drop_capabilities(keep_harmless: bool = True) -> None:
    """Take all but the harmless capabilities from the bounding set, so that no exec gets them back.

    Without `keep_harmless` all are taken: what then starts is root by name only.
    """
    for capability in range(_LAST_CAPABILITY + 1):
        if not keep_harmless or capability not in KEPT_CAPABILITIES:
            # EINVAL: this kernel has no such capability.
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


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
    checked(libc.setns(fd, CLONE_NEWUSER), "setns")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def limit_shared_memory(process_directory: str, size: int) -> None:
    """Bound System V shared memory of this IPC name space to `size` bytes, where the kernel lets us."""
    for name, value in (("shmall", size // 4096), ("shmmax", size)):
        with (
            contextlib.suppress(OSError),
            open(os.path.join(process_directory, "sys/kernel", name), "w") as file,
        ):
            file.write(str(value))


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
