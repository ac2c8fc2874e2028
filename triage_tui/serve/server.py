"""The web server: a page with a terminal, and behind its websocket a process of the app for each tab."""

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from string import Template

import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web

from triage_tui.errors import TriageError
from triage_tui.serve.access import PARAMETER, Key, headers, is_loopback, is_same_origin
from triage_tui.serve.tab import Tab, cells

ADDRESS = "127.0.0.1"
MAX_TABS = 16
"""Each is a process of the app."""
_MAX_MESSAGE = 1 << 20
_HEARTBEAT_S = 15.0
_STATIC = Path(textual_serve.__file__).parent / "static"
_PAGE = Path(__file__).parent / "page"
_REFUSED = "Open the address that `triage-tui serve` printed: it holds the key to this page.\n"
# A redirection would count as a request of the site that the address was followed from, and leave the cookie
# out; what the page itself asks for does not.
_ENTER = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={}"><title>…</title>'
)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves the app that `command` starts, to whoever holds the key.

    `title` is what the page is called; `say` takes one line for the person who started the server.
    """

    def __init__(self, command: Sequence[str], title: str, say: Callable[[str], None]) -> None:
        self._command = tuple(command)
        self._title = title
        self._say = say
        self._key = Key()
        self._cookie = ""
        # Browsers send a cookie to all ports of an address: what is served on another one, by whomever, gets
        # it only for paths below this one, which nobody else knows.
        self._place = f"/{secrets.token_urlsafe(16)}/"
        self._sockets: set[web.WebSocketResponse] = set()
        self._page = Template((_PAGE / "index.html").read_text(encoding="utf-8"))

    async def run(self, port: int, ready: Callable[[str], None]) -> None:
        """Serve until SIGINT or SIGTERM; `ready` is given the address with the key once it works.

        Raises:
            TriageError: the port cannot be had.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        listener = _listen(port)
        port = listener.getsockname()[1]
        # As cookies know no ports, two servers must not share a name.
        self._cookie = f"triage_tui_{port}"
        runner = _Runner(self._application(), access_log=None, logger=_quiet_logger(), shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            ready(f"http://{ADDRESS}:{port}/?{PARAMETER}={self._key.value}")
            await stop.wait()
        finally:
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.get(self._place, self._index),
                web.get(f"{self._place}ws", self._websocket),
                web.static(f"{self._place}static", _STATIC),
                web.static(f"{self._place}page", _PAGE),
            ]
        )
        application.on_response_prepare.append(_add_headers)
        application.on_shutdown.append(self._close_tabs)
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not is_loopback(request.headers.get("Host")):
            return web.Response(status=403, text=_REFUSED)
        if request.path == "/" and self._key.fits(request.query.get(PARAMETER)):
            entered = web.Response(text=_ENTER.format(self._place), content_type="text/html")
            entered.set_cookie(
                self._cookie, self._key.value, httponly=True, samesite="Strict", path=self._place
            )
            return entered
        if not self._key.fits(request.cookies.get(self._cookie)):
            return web.Response(status=403, text=_REFUSED)
        return await handler(request)

    async def _index(self, request: web.Request) -> web.Response:
        text = self._page.substitute(
            title=html.escape(self._title), websocket=html.escape(f"ws://{request.host}{self._place}ws")
        )
        return web.Response(text=text, content_type="text/html")

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if not is_same_origin(request.headers.get("Origin"), request.host):
            return web.Response(status=403, text=_REFUSED)
        if len(self._sockets) >= MAX_TABS:
            return web.Response(status=503, text=f"There are {MAX_TABS} tabs already: close one.\n")
        websocket = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, max_msg_size=_MAX_MESSAGE)
        self._sockets.add(websocket)
        try:
            await websocket.prepare(request)
            await self._serve_tab(request, websocket)
        finally:
            self._sockets.discard(websocket)
        return websocket

    async def _serve_tab(self, request: web.Request, websocket: web.WebSocketResponse) -> None:
        async def close() -> None:
            await websocket.close()

        tab = Tab(
            self._command,
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=close,
            say=self._say,
        )
        try:
            await tab.start(_cells(request, "width", 80), _cells(request, "height", 24))
            async for message in websocket:
                if message.type == WSMsgType.TEXT and (answer := await tab.receive(message.data)) is not None:
                    await websocket.send_str(answer)
        except ConnectionError:
            # The tab was closed while something was on its way to it.
            pass
        except OSError as error:
            self._say(f"the app cannot be started for a tab: {error.strerror or error}")
        finally:
            await tab.end()
            with contextlib.suppress(ConnectionError):
                await websocket.close()

    async def _close_tabs(self, _application: web.Application) -> None:
        goodbyes = (websocket.close(code=WSCloseCode.GOING_AWAY) for websocket in self._sockets)
        await asyncio.gather(*goodbyes, return_exceptions=True)


class _Connection(web.RequestHandler):
    """A connection whose answers to what is no HTTP are like the others."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with the status alone: the message of the library quotes what was sent."""
        super().handle_error(request, status, exc, message)
        text = "This is no request that can be answered.\n"
        answer = web.Response(status=status, text=text, headers=headers(ADDRESS))
        answer.force_close()
        return answer


class _Connections(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        # The library has no other way to name the class of connections.
        server.__class__ = _Connections
        return server


def _quiet_logger() -> logging.Logger:
    """Return a logger that says nothing: whoever reaches the port could write on the person's terminal."""
    logger = logging.getLogger("triage_tui.serve")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise TriageError(
            f"port {port} of {ADDRESS} cannot be had ({error.strerror}): name another with --port, "
            "or leave --port out for a free one"
        ) from error
    return listener


def _cells(request: web.Request, name: str, default: int) -> int:
    try:
        return cells(int(request.query.get(name, default)))
    except ValueError:
        return default


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    host = request.headers.get("Host")
    response.headers.update(headers(host if host is not None and is_loopback(host) else ADDRESS))
