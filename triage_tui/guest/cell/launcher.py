"""The process between the supervisor and the guest: makes the cell, then is its init.

Launch sequence (S supervisor, L launcher, I init = pid 1 of the cell, G guest):

1. S starts L (`python -I -S`, this module only) with one end of a SOCK_SEQPACKET pair and sends the
   configuration as JSON in a memory file, with the descriptors it names.
2. L makes a user name space (as host root: one with unprivileged host ids, and a mount of the root file
   system with its owners shifted into it), then mount, pid, network, IPC and UTS name spaces.
3. L forks I into the pid name space and waits for it. When L dies I is killed, and when I dies the kernel
   kills everything in the cell.
4. I mounts a tmpfs, on it a copy-on-write overlay of the root file system, makes that the root directory and
   lets go of the host's. All that the guest writes is in that tmpfs: bounded, and gone with the cell.
5. I forks G. G gets the standard descriptors, limits and a session of its own, installs the seccomp filter,
   sends the listener to S and executes the emulator from a descriptor that was opened before step 4.
   Where there is no listener to be had it asks L to trace it instead (`triage_tui.guest.calls.tracer`).
6. I reaps the cell's processes, reports each end to S, and does file work inside the root for S
   (`triage_tui.guest.cell.cell_files`). When S goes away, however it does, the pair's end closes and I ends.

Messages are JSON objects: {"failed": sentence}, {"notes": [...], "single_id": bool}, {"listener": true}
with the descriptor, {"traced": why not notified},
{"ended": pid, "status": wait status}, {"reply": ...}.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import sys

from triage_tui.guest.cell import cell_files, thread_ids
from triage_tui.guest.host import mounts, namespaces, network_interfaces, seccomp_install

# Each start waits for what is imported here: typing alone takes as long as all that the guest's root does.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, NoReturn

MAX_MESSAGE = 1 << 20
"""Bytes of one message. A SOCK_SEQPACKET message is never larger than the sender's buffer."""

_HINT = (
    "; allow unprivileged user name spaces (sysctl kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0)"
)

_NO_LISTENER = frozenset((errno.EBUSY, errno.EINVAL, errno.ENOSYS))
"""What seccomp(2) says where there is another listener, and in kernels without notifications."""

_OWN_PROCESSES = 2
"""This process and init are in the guest's user name space too."""

# Directories over which the working tmpfs may be mounted, in the cell only.
_PLACES = ("/tmp", "/run", "/var/tmp", "/mnt", "/srv", "/opt")


def _say(channel: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    socket.send_fds(channel, [json.dumps(message).encode()], list(fds))


def _make_cell(config: dict[str, Any], root_fd: int | None) -> list[str]:
    """Enter new name spaces; return what holds the guest, in words. The lower layer becomes the cwd."""
    notes = ["pid, mount, network, ipc and uts name spaces of its own"]
    if root_fd is not None:
        os.fchdir(root_fd)
    if os.geteuid() == 0:
        try:
            userns = _shift_owners(root_fd, config["processes"] + _OWN_PROCESSES)
        except OSError as error:
            if not config["allow_root"]:
                raise OSError(
                    error.errno, f"its root would be the host's root ({error}); run it as an ordinary user"
                ) from error
            notes.insert(0, "root of the guest is root of the host, as was allowed")
        else:
            namespaces.enter_user_namespace(userns)
            notes.insert(0, "root of the guest is an unprivileged host id")
        namespaces.unshare(namespaces.CLONE_CELL)
    else:
        uid, gid = os.geteuid(), os.getegid()
        namespaces.unshare(namespaces.CLONE_NEWUSER | namespaces.CLONE_CELL)
        namespaces.map_self(uid, gid)
        notes.insert(0, "root of the guest is the user who started it")
    return notes


def _shift_owners(root_fd: int | None, processes: int) -> int:
    """As host root: make a user name space, and the current directory a view of the root with owners shifted.

    At most `processes` are in it. Returns a descriptor of the name space. In the view, files of host root
    belong to the guest's root.
    """
    userns = namespaces.make_user_namespace(processes)
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    if root_fd is not None:
        place = _place()
        mounts.mount("tmpfs", place, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=755")
        lower = os.path.join(place, "lower")
        os.mkdir(lower)
        mounts.mount_idmapped(lower, userns)
        os.chdir(lower)
    return userns


def _place() -> str:
    """Return an existing directory that may be covered by a mount."""
    for path in _PLACES:
        if os.path.isdir(path) and not os.path.islink(path):
            return path
    raise OSError(errno.ENOENT, "none of " + ", ".join(_PLACES) + " exists")


def _make_root(config: dict[str, Any], fds: dict[str, int]) -> list[str]:
    """As pid 1: build the guest's root and move into it; return notes.

    Adds to `fds` "changes", the directory that holds what the guest writes, and "stdin" where there is none.
    """
    program_fd = fds.get("program")
    notes: list[str] = []
    mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    place = _place()
    options = f"mode=755,size={config['disk_bytes']}"
    mounts.mount("tmpfs", place, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, options)
    root, upper, work = (os.path.join(place, name) for name in ("root", "upper", "work"))
    for path in (root, upper, work):
        os.mkdir(path, 0o755)
    if "stdin" not in fds:
        fds["stdin"] = mounts.open_null(os.path.join(place, "null"))
    if program_fd is None:
        mounts.mount_overlay(root, upper, work)
        notes.append("copy-on-write view of the root file system")
    else:
        # A single static program: its root holds nothing but itself.
        mounts.mount(root, root, "", mounts.MS_BIND)
        target = os.path.join(root, config["program"].lstrip("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(program_fd, "rb", closefd=False) as source, open(target, "wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
        os.chmod(target, 0o755)
        notes.append("empty root file system with the program alone")
    place_of_changes = upper if program_fd is None else root
    fds["changes"] = os.open(place_of_changes, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    process_directory = os.path.join(root, "proc")
    with contextlib.suppress(OSError):
        # A filled /proc is somebody's stand-in, and a missing one is part of what is being looked at.
        if not os.path.islink(process_directory) and not os.listdir(process_directory):
            flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
            mounts.mount("proc", process_directory, "proc", flags)
            notes.append("/proc of the cell")
            namespaces.limit_shared_memory(process_directory, config["memory_bytes"])
            protected = mounts.make_proc_read_only(process_directory)
            notes.append("read-only: " + ", ".join(protected))
    devices = mounts.bind_safe_devices(root)
    if devices:
        notes.append("devices: " + ", ".join(devices))
    with contextlib.suppress(OSError):
        network_interfaces.bring_loopback_up()
        notes += network_interfaces.add_bridges(config["interfaces"])
    mounts.become_root_directory(root)
    return notes


def _has_single_id() -> bool:
    """Return whether no user id but 0 can be had in this user name space."""
    with open("/proc/self/uid_map") as file:
        return sum(int(line.split()[2]) for line in file) == 1


def _words(error: BaseException) -> str:
    """Return what went wrong without the number, for which the words already stand."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _tracer(config: dict[str, Any]) -> ModuleType | None:
    """Return what traces the guest where there is no listener to be had; None where there surely is one.

    Later nothing can be imported any more.
    """
    if config["carrier"] != "trace" and seccomp_install.surely_has_listener():
        return None
    from triage_tui.guest.calls import tracer

    return tracer


def _install_filter(
    config: dict[str, Any], channel: socket.socket, handshake: socket.socket, tracer: ModuleType | None
) -> None:
    """Have this process's watched calls be held from here on, by a listener or by the launcher's tracing."""
    why = "as was asked for"
    if config["carrier"] != "trace":
        try:
            seccomp_install.check_add_fd()
            listener = seccomp_install.install(bytes.fromhex(config["filter"]))
        except OSError as error:
            if error.errno not in _NO_LISTENER:
                raise
            why = _words(error)
            if error.errno == errno.EBUSY:
                why = "another program already listens to the system calls here, and there can be one only"
            if config["carrier"] == "notify" or tracer is None:
                raise OSError(error.errno, f"no seccomp notifications: {why}") from None
        else:
            _say(channel, {"listener": True}, (listener,))
            os.close(listener)
            return
    assert tracer is not None
    try:
        namespaces.show_memory()
        tracer.ask_to_be_traced(handshake)
        seccomp_install.install_traced(bytes.fromhex(config["trace_filter"]))
    except OSError as error:
        raise OSError(error.errno, f"no seccomp notifications ({why}); {_words(error)}") from None
    _say(channel, {"traced": why})


def _run_guest(
    config: dict[str, Any],
    channel: socket.socket,
    fds: dict[str, int],
    handshake: socket.socket,
    tracer: ModuleType | None,
) -> NoReturn:
    """In the guest's process: become the emulator. Tells the supervisor when that fails."""
    try:
        namespaces.die_with_parent()
        os.setsid()
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.dup2(fds[name], number)
        namespaces.set_limits(config["processes"], config["memory_bytes"], config["open_files"])
        namespaces.reset_signals()
        os.umask(0o022)
        try:
            os.chdir(config["cwd"])
        except OSError as error:
            raise OSError(
                error.errno, f"working directory {config['cwd']}: {os.strerror(error.errno or 0)}"
            ) from None
        user = config["user"]
        namespaces.drop_capabilities(keep_harmless=user == 0 or not config["single_id"])
        if user and not config["single_id"]:
            namespaces.become_user(user)
            namespaces.die_with_parent()
        # Up there sendmsg is never held, so that the listener gets through whatever the filter names.
        reserved = fcntl.fcntl(channel.fileno(), fcntl.F_DUPFD_CLOEXEC, config["first_skipped_fd"])
        channel = socket.socket(fileno=reserved)
        _install_filter(config, channel, handshake, tracer)
        # Everything else is close-on-exec.
        os.execve(fds["emulator"], config["argv"], config["env"])
    except BaseException as error:
        _say(channel, {"failed": f"the guest could not be started: {_words(error)}"})
    os._exit(127)


class _Init:
    """pid 1 of the cell: reaps, reports, does file work, ends with the supervisor."""

    def __init__(self, channel: socket.socket, last_id: int) -> None:
        self.channel = channel
        self.last_id = last_id
        self.wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            _say(self.channel, {"ended": pid, "status": status})

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        poll.register(self.wake_read, select.POLLIN)
        while True:
            for fd, _events in poll.poll():
                if fd == self.wake_read:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.wake_read, 4096)
                    self.reap()
                    continue
                data, fds, _flags, _address = socket.recv_fds(self.channel, MAX_MESSAGE, 4)
                if not data:
                    return
                made: tuple[int, ...] = ()
                try:
                    request = json.loads(data)
                    if request["do"] == "reap":
                        self.reap()
                        reply = 0
                    elif request["do"] == "reach_id":
                        reply = thread_ids.reach(self.last_id, request["id"])
                    elif request["do"] == "last_id":
                        reply = thread_ids.given_last(self.last_id)
                    elif request["do"] == "open_socket":
                        reply = cell_files.open_socket(request["family"], request["kind"])
                        if reply >= 0:
                            made, reply = (reply,), 0
                    elif request["do"] == "open_file":
                        reply = cell_files.open_file(bytes.fromhex(request["path"]))
                        if reply >= 0:
                            made, reply = (reply,), 0
                    elif request["do"] == "open_pair":
                        pair = cell_files.open_pair(request["kind"])
                        made, reply = ((), pair) if isinstance(pair, int) else (pair, 0)
                    else:
                        reply = cell_files.serve(request, fds)
                    _say(self.channel, {"reply": reply}, made)
                finally:
                    for received in (*fds, *made):
                        os.close(received)


def _be_init(
    config: dict[str, Any],
    channel: socket.socket,
    fds: dict[str, int],
    notes: list[str],
    handshake: socket.socket,
    tracer: ModuleType | None,
) -> NoReturn:
    """In pid 1: build the root, start the guest, serve until the supervisor goes away."""
    try:
        namespaces.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        last_id = thread_ids.open_last()
        config["single_id"] = _has_single_id()
        notes = notes + _make_root(config, fds)
        changes = fds.pop("changes")
        _say(channel, {"notes": notes, "single_id": config["single_id"]}, (changes,))
        os.close(changes)
        hidden, hide = os.pipe()
        guest = os.fork()
        if guest == 0:
            os.close(hide)
            # Until it is hidden, init could be looked into by whoever runs in the cell.
            os.read(hidden, 1)
            os.close(hidden)
            _run_guest(config, channel, fds, handshake, tracer)
        os.close(hidden)
        handshake.close()
        for fd in fds.values():
            os.close(fd)
        devnull = os.pipe()
        for number in (0, 1, 2):
            os.dup2(devnull[0], number)
        namespaces.hide_memory()
        os.close(hide)
        _Init(channel, last_id).serve()
    except BaseException as error:
        with contextlib.suppress(OSError):
            _say(channel, {"failed": f"the guest's cell could not be made: {_words(error)}"})
    os._exit(0)


def main(channel_fd: int) -> int:
    """Run the launcher on the socket `channel_fd`; return the exit code."""
    channel = socket.socket(fileno=channel_fd)
    data, received, _flags, _address = socket.recv_fds(channel, MAX_MESSAGE, 16)
    if not data:
        return 1
    with open(received.pop(0), "rb") as file:
        config = json.load(file)
    fds = dict(zip(config["fds"], received, strict=True))
    for fd in (channel_fd, *received):
        os.set_inheritable(fd, False)
    # Before the ids change: afterwards /proc/self belongs to somebody else.
    namespaces.be_first_victim()
    try:
        tracer = _tracer(config)
        notes = _make_cell(config, fds.get("root"))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        init = os.fork()
    except BaseException as error:
        hint = "" if os.geteuid() == 0 else _HINT
        _say(channel, {"failed": f"the guest cannot be contained on this system: {_words(error)}{hint}"})
        return 1
    if init == 0:
        ours.close()
        _be_init(config, channel, fds, notes, theirs, tracer)
    # Only init may hold the channel open: its end is how the supervisor sees that the cell is gone, and
    # this process has nothing to do but to be init's parent.
    channel.close()
    theirs.close()
    events, orders = (socket.socket(fileno=fds.pop(name)) for name in ("events", "orders"))
    for fd in fds.values():
        os.close(fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if tracer is not None and (guest := tracer.await_request(ours)):
        tracer.serve(ours, guest, init, events, orders)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(init, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
