"""What the server answers to requests that a browser would not make, and how it starts and ends."""

from __future__ import annotations

import asyncio
import socket
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.commands import processes_with, triage, wait_until_gone
from tests.serve.served import Served
from tests.waiting import PATIENCE_S

_PATHS = ("/", "/ws", "/static/js/textual.js", "/nothing", "//")
_NAMES = ("", "ws", "static/js/textual.js", "page/page.css", "static/", "nothing", "download/x", "/")
_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_without_the_key_nothing_is_served(served: Served) -> None:
    strangers: list[dict[str, str]] = [
        {},
        {"Cookie": f"triage_tui_{served.port}=wrong"},
        {"Cookie": f"triage_tui_{served.port}="},
        {"Cookie": f"other={served.key}"},
        {"Authorization": f"Bearer {served.key}"},
        {"Origin": f"http://{served.host}"},
        # Who holds the key comes by a name that is not this machine's: DNS rebinding.
        {"Cookie": served.cookie, "Host": f"attacker.test:{served.port}"},
    ]
    for headers in strangers:
        for path in (*_PATHS, *(served.place + name for name in _NAMES)):
            status, answer, text = served.get(path, **headers, **_UPGRADE)
            assert (status, path) == (403, path)
            assert "holds the key" in text
            assert "Set-Cookie" not in answer
            assert answer["Content-Security-Policy"].startswith("default-src 'none'")
    for path in (f"/?key={served.key}x", "/?key=", f"/static/js/textual.js?key={served.key}"):
        assert served.get(path)[0] == 403
    assert served.get(f"/?key={served.key}", Host="attacker.test")[0] == 403
    assert served.get(f"/?key={served.key}", Host="")[0] == 400


def test_with_the_key(served: Served) -> None:
    status, headers, text = served.get(f"/?key={served.key}")
    assert status == 200
    assert "textual-terminal" not in text
    cookie = headers["Set-Cookie"]
    assert cookie.startswith(f"triage_tui_{served.port}={served.key}; ")
    assert {"HttpOnly", "SameSite=Strict", f"Path={served.place}"} <= set(cookie.split("; "))
    status, headers, text = served.get(served.place, Cookie=served.cookie)
    assert status == 200
    assert served.key not in text
    assert f"ws://{served.host}{served.place}ws" in text
    assert "python" not in headers["Server"].lower()
    assert served.get(f"{served.place}static/js/textual.js", Cookie=served.cookie)[0] == 200
    for path in ("nothing", "download/x", "static/../server.py", "page/%2e%2e/server.py", "/"):
        assert served.get(served.place + path, Cookie=served.cookie)[0] == 404
    for path in ("static", "static/", "page/"):
        assert served.get(served.place + path, Cookie=served.cookie)[0] in (403, 404)


def test_a_websocket_is_for_pages_of_this_server(served: Served) -> None:
    for origin in (
        "",
        "null",
        "http://attacker.test",
        f"http://127.0.0.1:{served.port + 1}",
        "http://127.0.0.1",
    ):
        assert served.get(f"{served.place}ws", Cookie=served.cookie, Origin=origin, **_UPGRADE)[0] == 403
    assert (
        served.get(f"{served.place}ws", Cookie=served.cookie, Origin=f"http://{served.host}", **_UPGRADE)[0]
        == 101
    )


async def test_a_tab_too_many_is_refused() -> None:
    # Each worker of the tests reads this file; who runs it loads the web server.
    from aiohttp import ClientSession, CookieJar, WSServerHandshakeError

    from triage_tui.serve.server import MAX_TABS, Server

    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    # In place of the app something that starts at once and ends when it is told anything.
    serving = asyncio.create_task(
        Server(["head", "-c1"], "demo", lambda line: None).run(0, address.set_result)
    )
    entry = urlsplit(await address)
    base = f"http://{entry.netloc}"
    async with ClientSession(base, cookie_jar=CookieJar(unsafe=True)) as browser:
        async with browser.get(f"/?{entry.query}") as entered:
            place = (await entered.text()).partition("url=")[2].partition('"')[0]
        socket_of = partial(browser.ws_connect, f"{place}ws", origin=base)
        tabs = [await socket_of() for _ in range(MAX_TABS)]
        with pytest.raises(WSServerHandshakeError) as refused:
            await socket_of()
        assert refused.value.status == 503
        assert not any(tab.closed for tab in tabs)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


def test_a_websocket_of_the_right_origin_needs_the_key(served: Served) -> None:
    """Origin is a header like others to a program that is no browser."""
    origin = f"http://{served.host}"
    for cookie in ("", f"triage_tui_{served.port}=wrong", f"triage_tui_{served.port}="):
        for path in ("/ws", "/ws?width=80&height=24", f"/ws?key={served.key}x"):
            status, answer, _ = served.get(path, Cookie=cookie, Origin=origin, **_UPGRADE)
            assert (status, path) in ((403, path), (404, path))
            assert "Sec-WebSocket-Accept" not in answer


def test_what_is_no_request_is_answered_in_short_and_not_told(served: Served) -> None:
    for sent in (
        b"GET /\x1b]0;x\x07 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost \x1b[31m: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"A" * 70_000 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as stranger:
            stranger.sendall(sent)
            answer = b"".join(iter(lambda one=stranger: one.recv(65536), b""))  # type: ignore[misc]
        head, _, text = answer.partition(b"\r\n\r\n")
        assert head.split()[1] == b"400"
        assert b"Server: triage-tui" in head
        assert b"aiohttp" not in answer
        assert b"Content-Security-Policy" in head
        assert text == b"This is no request that can be answered.\n"
    _, said = served.interrupt()
    assert len(said.splitlines()) == 3, said
    assert "Traceback" not in said


def test_nobody_beyond_this_machine_is_served(served: Served) -> None:
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = [row.split()[1] for row in table if row.split()[3] == "0A"]
    here = f"{served.port:04X}"
    assert [address for address in listening if address.endswith(f":{here}")] == [f"0100007F:{here}"]
    assert not any(
        row.split()[1].endswith(f":{here}") for row in Path("/proc/net/tcp6").read_text().splitlines()[1:]
    )


def test_interrupt_ends_it_in_order(served: Served) -> None:
    code, said = served.interrupt()
    assert code == 0
    assert "on this machine only" in said
    assert "Traceback" not in said
    assert served.key not in said


@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_no_process_of_a_tab_is_left(demo: Path, end: str) -> None:
    marker = f"triage_tui.cli.served -C {demo}"
    with Served(demo, "--read-only") as served, socket.create_connection(("127.0.0.1", served.port)) as tab:
        tab.sendall(
            f"GET {served.place}ws?width=80&height=24 HTTP/1.1\r\n"
            f"Host: {served.host}\r\nOrigin: http://{served.host}\r\n"
            f"Cookie: {served.cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        received = b""
        # Its first frame, then: the app has started.
        while b"\x1b[?1049h" not in received:
            data = tab.recv(65536)
            assert data, received
            received += data
        [line] = processes_with(marker)
        assert line.startswith(f"{sys.executable} -m {marker}")
        assert line.split()[-1] == "--read-only"
        if end == "kill":
            served.kill()
        else:
            assert served.interrupt()[0] == 0
            assert not processes_with(marker)
    wait_until_gone(marker)


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = triage(tmp_path, "serve", "--port", port)
        assert done.returncode == 2
        assert f"port {port} of 127.0.0.1 cannot be had" in done.stderr
    done = triage(tmp_path / "nowhere", "serve")
    assert (done.returncode, "there is no directory" in done.stderr) == (2, True)
    done = triage(tmp_path, "serve", "--port", "http")
    assert (done.returncode, "is not a port" in done.stderr) == (2, True)


def test_a_missing_extra_is_one_sentence(tmp_path: Path) -> None:
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text("import sys\nsys.modules['textual_serve'] = None\n")
    done = triage(tmp_path, "serve", env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"})
    assert done.returncode == 2
    assert done.stderr == (
        "triage-tui: `triage-tui serve` needs the Python package textual-serve: "
        "pip install 'textual-serve>=1.1.3,<2'\n"
    )
