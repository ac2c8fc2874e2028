"""What sockets are and whom they talk to, asked of this process's own."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from triage_tui.guest.state import sockets
from triage_tui.runs.process_model import Socket


def look(one: socket.socket) -> Socket:
    with sockets.process_handle(os.getpid()) as handle:
        found = sockets.look(handle, one.fileno())
    assert found is not None
    return found


def test_what_others_can_reach() -> None:
    states = [
        "listening 0.0.0.0:80",
        "listening unix:/run/x.sock",
        "bound 0.0.0.0:67",
        "bound [::]:67",
        "bound 0.0.0.0:0",
        "bound unix:/dev/log",
        "connected 127.0.0.1:53 127.0.0.1:900",
        "open unix:",
    ]
    chosen = f"bound 0.0.0.0:{sockets._ephemeral_ports()[5]}"
    assert sockets.reachable_addresses([*states, chosen]) == [
        "0.0.0.0:80",
        "udp 0.0.0.0:67",
        "udp [::]:67",
        "unix:/run/x.sock",
    ]


def test_datagram_sockets() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        here, there = (f"127.0.0.1:{one.getsockname()[1]}" for one in (client, server))
        assert sockets.in_words(look(server)) == f"bound {there}"
        assert sockets.in_words(look(client)) == f"connected {here} {there}"
        assert look(client) == Socket(family="inet", type="dgram", state="connected", local=here, peer=there)


def test_stream_sockets_of_both_families() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        shown = host if family == socket.AF_INET else f"[{host}]"
        with socket.socket(family) as server, socket.socket(family) as client:
            server.bind((host, 0))
            assert look(server).state == "open"
            server.listen()
            place = f"{shown}:{server.getsockname()[1]}"
            assert sockets.in_words(look(server)) == f"listening {place}"
            client.connect(server.getsockname())
            assert (look(client).state, look(client).peer) == ("connected", place)


def test_local_sockets_name_their_peer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        path = str(tmp_path / "new\nline")
        server.bind(path)
        server.listen()
        client.connect(path)
        assert sockets.in_words(look(server)) == f"listening unix:{path}"
        assert look(client) == Socket(
            family="unix", type="stream", state="connected", local="unix:", peer=f"unix:{path}"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind("\0triage-test")
        assert sockets.in_words(look(one)) == "bound unix:@triage-test"


def test_what_is_no_socket_or_not_there() -> None:
    with sockets.process_handle(os.getpid()) as handle, open(os.devnull, "rb") as file:
        assert sockets.look(handle, file.fileno()) is None
        assert sockets.look(handle, 1 << 20) is None


def test_asking_leaves_nothing_behind() -> None:
    with socket.socket(socket.AF_UNIX) as one:
        before = len(os.listdir("/proc/self/fd"))
        look(one)
        assert len(os.listdir("/proc/self/fd")) == before
        assert any(state == "open unix:" for state in sockets.states(os.getpid(), 1 << 20))
