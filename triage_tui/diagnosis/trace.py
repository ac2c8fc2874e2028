"""Walk a syscall history and remember what each process knows: descriptors, working directory, children.

One `Step` per call: the call itself, what it is for, the absolute path it names and what stands behind the
descriptor that it works on. This is where data flow through descriptors comes from.
"""

from __future__ import annotations

import msgspec

from triage_tui.diagnosis import calls as c
from triage_tui.runs.model import Syscall


class Origin(msgspec.Struct):
    """What a descriptor stands for."""

    label: str
    seq: int
    path: str = ""
    listening: bool = False
    bound: str = ""
    datagram: bool = False
    connected: str = ""


class Process(msgspec.Struct):
    """One process as far as the trace shows it."""

    pid: int
    cwd: str
    fds: dict[int, Origin] = msgspec.field(default_factory=dict)
    parent: int = 0
    ended: bool = False
    session_leader: bool = False
    threaded: bool = False


class Step(msgspec.Struct):
    """One call with what is known about its surroundings."""

    call: Syscall
    operation: str
    path: str
    """As the guest gave it; for a local socket the socket's name."""
    absolute: str
    origin: Origin | None


class Walk(msgspec.Struct):
    """A whole history."""

    steps: list[Step]
    processes: dict[int, Process]


def _standard_fds() -> dict[int, Origin]:
    return {fd: Origin(label=name, seq=-1) for fd, name in enumerate(("stdin", "stdout", "stderr"))}


def walk(calls: list[Syscall], cwd: str) -> Walk:
    """Follow `calls` (oldest first) from working directory `cwd`."""
    processes: dict[int, Process] = {}
    steps: list[Step] = []
    for call in calls:
        process = processes.get(call.pid)
        if process is None:
            process = processes[call.pid] = Process(pid=call.pid, cwd=cwd, fds=_standard_fds())
        kind = c.operation(call)
        path = c.made_by_link(call) or call.path or ""
        if not path and call.peer and call.peer.startswith("unix:"):
            path = call.peer.removeprefix("unix:")
        fd = c.descriptor(call)
        origin = process.fds.get(fd) if fd is not None and kind not in ("open", "socket") else None
        steps.append(
            Step(call=call, operation=kind, path=path, absolute=c.absolute(path, process.cwd), origin=origin)
        )
        if c.succeeded(call):
            _learn(processes, process, steps[-1], fd)
        elif kind == "exit":
            # exit ends one thread only.
            process.ended = process.ended or call.name == "exit_group" or not process.threaded
    return Walk(steps=steps, processes=processes)


def _any_port(call: Syscall) -> bool:
    """Tell whether a bind leaves the port to the kernel, as one does that only sends."""
    peer = call.peer or ""
    return (peer.startswith("inet") and peer.endswith(":0")) or "AF_UNSPEC" in c.argument(call, 1)


def _learn(processes: dict[int, Process], process: Process, step: Step, fd: int | None) -> None:
    """Note what a successful call changed."""
    call, kind = step.call, step.operation
    result = call.ret if call.ret is not None else -1
    if kind == "open":
        process.fds[result] = Origin(label=step.absolute, path=step.absolute, seq=call.seq)
    elif kind == "socket":
        process.fds[result] = Origin(
            label=f"socket {c.detail(call)}", seq=call.seq, datagram="SOCK_DGRAM" in c.detail(call)
        )
    elif call.name in c.FILE_WATCHES:
        process.fds[result] = Origin(label=c.CHANGES_OF_FILES, seq=call.seq)
    elif kind == "chdir":
        process.cwd = step.absolute or process.cwd
    elif call.name == "close" and fd is not None:
        process.fds.pop(fd, None)
    elif call.name in ("dup", "dup2", "dup3", "fcntl", "fcntl64") and fd in process.fds:
        if call.name.startswith("dup") or "F_DUPFD" in c.argument(call, 1):
            process.fds[result] = process.fds[fd]
    elif kind in ("bind", "listen") and fd is not None:
        # The socket call may be missing from a history that was cut.
        origin = process.fds.setdefault(fd, step.origin or Origin(label="socket", seq=call.seq))
        if kind == "listen":
            origin.listening = True
        elif not _any_port(call):
            origin.bound = call.peer or step.path or "an address"
    elif kind == "connect" and step.origin:
        step.origin.connected = call.peer or step.path or "a peer"
    elif kind == "accept" and step.origin:
        process.fds[result] = Origin(label="accepted connection", seq=call.seq, connected="a client")
    elif kind == "fork" and "CLONE_THREAD" in ",".join(call.arguments):
        process.threaded = True
    elif kind == "fork" and result > 0:
        child = processes.setdefault(result, Process(pid=result, cwd=process.cwd, fds=_standard_fds()))
        child.cwd, child.fds, child.parent = process.cwd, dict(process.fds), process.pid
    elif kind == "child_wait" and result in processes:
        processes[result].ended = True
    elif call.name == "setsid":
        process.session_leader = True
