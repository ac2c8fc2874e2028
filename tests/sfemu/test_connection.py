"""The supervisor's end of a Lua process: what it hears, and when it listens no more."""

from __future__ import annotations

import socket
import time

import pytest

from triage_tui.rulehost import wire
from triage_tui.sfemu.running.connection import Broken, LuaConnection


def test_one_that_talks_on_and_on_is_left_when_a_person_wants_all_to_end() -> None:
    ours, theirs = socket.socketpair()
    wanted = False
    with theirs:
        connection = LuaConnection(ours, lambda: wanted)
        theirs.sendall(wire.frame(wire.Log(b"a line")) * 2)
        deadline = time.monotonic() + 1000
        assert isinstance(connection.receive(deadline), wire.Log)
        wanted = True
        with pytest.raises(Broken, match="it was interrupted"):
            _listen(connection, theirs, deadline)
    connection.end()


def _listen(connection: LuaConnection, theirs: socket.socket, deadline: float) -> None:
    """Hear one line and say the next: there is always more to read, so that nothing is ever waited for."""
    while True:
        connection.receive(deadline)
        theirs.sendall(wire.frame(wire.Log(b"a line")))
