"""Calls that a stop ends with EINTR go on as if nothing had been."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from triage_tui.guest.freezing import pausing
from triage_tui.guest.freezing.holding import HeldThreads
from triage_tui.guest.host import process

# Python itself begins interrupted calls again, so the calls are made through libc. Each prints what it got.
_BEGIN = """
import ctypes, os, select, socket, struct, threading
libc = ctypes.CDLL(None, use_errno=True)
def got(result):
    print(result, ctypes.get_errno() if result < 0 else 0, flush=True)
left, right = socket.socketpair()
buffer = ctypes.create_string_buffer(64)
print("ready", flush=True)
"""
_CALLS = {
    "epoll_wait": """
epoll = select.epoll()
epoll.register(0, select.EPOLLIN)
got(libc.epoll_wait(epoll.fileno(), buffer, 1, -1))
""",
    "recv with a timeout": """
left, right = socket.socket(fileno=0), None
left.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 600, 0))
got(libc.recv(0, buffer, 1, 0))
""",
    "read": "got(libc.read(0, buffer, 1))",
    "poll": """
entry = ctypes.create_string_buffer(struct.pack("ihh", 0, select.POLLIN, 0))
got(libc.poll(entry, 1, -1))
""",
    "select": """
one = (ctypes.c_ulong * 16)(1)
got(libc.select(1, one, None, None, None))
""",
    "accept": """
with open(0, "rb", buffering=0, closefd=False):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
def connect():
    os.read(0, 1)
    socket.create_connection(listener.getsockname())
threading.Thread(target=connect).start()
got(min(libc.accept(listener.fileno(), None, None), 1))
""",
}


def _is_waiting(pid: int) -> bool:
    states = [process.thread_state(pid, tid) for tid in process.threads(pid)]
    return bool(states) and all(state is not None and state.state == "S" for state in states)


@contextmanager
def _program(code: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `code` with one end of a socket pair as its standard input; give the process and the other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BEGIN + code], stdin=theirs.fileno(), stdout=subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            while not _is_waiting(child.pid) and child.poll() is None:
                os.sched_yield()
            yield child, ours.fileno()
        finally:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


class NotAllowed(HeldThreads):
    """The system allows no ptrace."""

    def hold(self, tids: Iterable[int]) -> set[int]:
        self.refused.update(tids)
        return set()


@pytest.mark.parametrize(("holds", "state"), [(HeldThreads, "t"), (NotAllowed, "T")])
@pytest.mark.parametrize("name", _CALLS)
def test_a_waiting_call_is_not_interrupted_by_a_stop(
    name: str, holds: Callable[[], HeldThreads], state: str
) -> None:
    holder = holds()
    with _program(_CALLS[name]) as (child, line):
        for _ in range(3):
            signalled: set[int] = set()
            pausing.stop_all(lambda: [child.pid], holder, signalled)
            assert signalled == ({child.pid} if state == "T" else set())
            states = [process.thread_state(child.pid, tid) for tid in process.threads(child.pid)]
            assert {found.state for found in states if found} == {state}
            pausing.let_go(holder, signalled)
            while not _is_waiting(child.pid) and child.poll() is None:
                os.sched_yield()
        os.write(line, b"x")
        assert child.stdout is not None
        assert child.stdout.readline() == b"1 0\n"


def test_who_is_killed_while_it_is_held_leaves_nothing() -> None:
    holder = HeldThreads()
    with _program(_CALLS["accept"]) as (child, _line):
        pausing.stop_all(lambda: [child.pid], holder, set())
        assert len(process.threads(child.pid)) == 2
        child.kill()
        pausing.let_go(holder, ())
        assert process.threads(child.pid) == []
    with _program(_CALLS["accept"]) as (child, _line):
        pausing.stop_all(lambda: [child.pid], holder, set())
        holder.kill()
        assert process.threads(child.pid) == []
