"""Try what the engine asks of the kernel, in processes of their own: nothing of it stays.

Versions say little, because distributions and containers switch features off: each is used once, as the
engine uses it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from triage_tui.guest.calls import tracer
from triage_tui.guest.calls.trace_carrier import TraceCarrier
from triage_tui.guest.host import mounts, namespaces, seccomp
from triage_tui.guest.host.seccomp import Notification

_ROOT = Path(__file__).resolve().parents[2]
_BOOT = "import sys; sys.path.insert(0, {root!r}); from triage_tui.telemetry.kernel import {name}; {name}()"
_TIMEOUT = 30

Findings = dict[str, str]
"""Feature -> "" when it works, else the kernel's words."""

NOTIFICATION = ("listener", "continue", "addfd", "wait_killable", "sync_wake_up")
"""seccomp_unotify(2): Linux 5.0, 5.5, 5.9, 5.19 and 6.6."""
TRACING = ("trace", "trace_addfd")
"""What takes the place of notifications: ptrace stops at a filter's calls, and pidfd_getfd(2) (Linux 5.6)."""
CELL = ("user", "others", "tmpfs", "overlay", "idmapped", "proc")
"""Name spaces (user first), and mounts in them: overlay in a user name space 5.11, idmapped overlay 5.19."""


def notification_features() -> Findings:
    """Return what of `NOTIFICATION` works here."""
    return _in_a_process("try_notification", NOTIFICATION)


def tracing_features() -> Findings:
    """Return what of `TRACING` works here."""
    return _in_a_process("try_tracing", TRACING)


def cell_features() -> Findings:
    """Return what of `CELL` works here."""
    return _in_a_process("try_cell", CELL)


def _in_a_process(name: str, features: tuple[str, ...]) -> Findings:
    command = [sys.executable, "-c", _BOOT.format(root=str(_ROOT), name=name)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return dict.fromkeys(features, str(error))
    found: Findings = {}
    for line in done.stdout.splitlines():
        with contextlib.suppress(ValueError):
            found |= json.loads(line)
    words = (done.stderr.strip().splitlines() or ["it was not reached"])[-1]
    return {feature: found.get(feature, words) for feature in features}


def _tell(feature: str, trial: Callable[[], object]) -> bool:
    """Print what came of a trial; True when it worked."""
    try:
        trial()
    except OSError as error:
        print(json.dumps({feature: error.strerror or str(error)}), flush=True)
        return False
    print(json.dumps({feature: ""}), flush=True)
    return True


def try_notification() -> None:
    """In a process of its own: be notified about a call of a child, and answer it in each way."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _be_watched(theirs)
    theirs.close()
    text, fds, _flags, _address = socket.recv_fds(ours, 4096, 1)
    if not fds:
        print(text.decode(), flush=True)
        os.waitpid(child, 0)
        return
    listener = fds[0]
    print(json.dumps({"listener": ""}), flush=True)
    _tell("sync_wake_up", lambda: seccomp.set_wake_in_turn(listener))
    notification = seccomp.receive(listener)
    if notification is not None:
        _tell("addfd", lambda: seccomp.add_fd(listener, notification, 0))

        def proceed() -> None:
            if not seccomp.proceed(listener, notification):
                raise OSError(errno.ENOENT, "the call was not waiting any more")

        _tell("continue", proceed)
    _tell("wait_killable", seccomp.check_wait_killable)
    os.waitpid(child, 0)


def _be_watched(channel: socket.socket) -> NoReturn:
    """In the child: hand over a listener, then make the call that it tells of."""
    try:
        listener = seccomp.install(seccomp.program([seccomp.Watch("getppid")], 1 << 20))
        socket.send_fds(channel, [b"here"], [listener])
    except OSError as error:
        channel.send(json.dumps({"listener": error.strerror or str(error)}).encode())
    else:
        os.close(listener)
        os.getppid()
    os._exit(0)


def try_tracing() -> None:
    """In a process of its own: have a call of a grandchild held by its tracer, and give it a descriptor."""
    events, their_events = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    orders, their_orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    tracing = os.fork()
    if tracing == 0:
        events.close()
        orders.close()
        _be_tracer(their_events, their_orders)
    their_events.close()
    their_orders.close()
    carrier = TraceCarrier(events, orders)
    held: list[Notification] = []

    def receive() -> None:
        notification = carrier.receive()
        held.extend([] if notification is None else [notification])

    if _tell("trace", receive):
        _tell("trace_addfd", lambda: carrier.add_fd(held[0], 0))
        carrier.proceed(held[0])
    os.waitpid(tracing, 0)


def _be_tracer(events: socket.socket, orders: socket.socket) -> NoReturn:
    """In the child: trace a child of this one, which makes a watched call."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    child = os.fork()
    try:
        if child == 0:
            for end in (events, orders, ours):
                end.close()
            tracer.ask_to_be_traced(theirs)
            watches = [seccomp.Watch("getppid")]
            seccomp.install_traced(seccomp.program(watches, 1 << 20, held=seccomp.TRACE))
            os.getppid()
        else:
            theirs.close()
            if pid := tracer.await_request(ours):
                tracer.serve(ours, pid, child, events, orders)
    finally:
        os._exit(0)


def try_cell() -> None:
    """In a process of its own: make name spaces and mounts as the launcher does."""
    lower = tempfile.mkdtemp()
    os.chdir(lower)
    userns = -1

    def enter() -> None:
        nonlocal userns
        uid, gid = os.geteuid(), os.getegid()
        if uid == 0:
            userns = namespaces.make_user_namespace()
            namespaces.unshare(namespaces.CLONE_NEWNS)
            mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
            mounts.mount("tmpfs", "/tmp", "tmpfs")
            for name in ("lower", "root", "upper", "work", "proc"):
                os.mkdir(f"/tmp/{name}", 0o777)
            _tell("idmapped", lambda: mounts.mount_idmapped("/tmp/lower", userns))
            namespaces.enter_user_namespace(userns)
        else:
            print(json.dumps({"idmapped": ""}), flush=True)
            namespaces.unshare(namespaces.CLONE_NEWUSER)
            namespaces.map_self(uid, gid)

    try:
        if not _tell("user", enter) or not _tell("others", lambda: namespaces.unshare(namespaces.CLONE_CELL)):
            return
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(lower)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    _tell("tmpfs", lambda: mounts.mount("tmpfs", "/tmp", "tmpfs"))
    for name in ("lower", "root", "upper", "work", "proc"):
        os.makedirs(f"/tmp/{name}", exist_ok=True)
    os.chdir("/tmp/lower")
    _tell("overlay", lambda: mounts.mount_overlay("/tmp/root", "/tmp/upper", "/tmp/work"))
    _tell("proc", lambda: mounts.mount("proc", "/tmp/proc", "proc"))
    os._exit(0)
