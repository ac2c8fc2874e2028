"""One browser tab: a process of the app, and the messages between it and the page's terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence

from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from triage_tui.setup.child import ends_with_us
from triage_tui.text import safe_line

MAX_CELLS = 1000
"""The most columns, and the most rows, that a page can ask for."""
_GRACE_S = 5.0
"""How long the app has to leave once it is told to."""
_OUTER_TERMINAL = ("TMUX", "TMUX_PANE", "STY", "WINDOWID")
"""They tell of the terminal of the server, which is not the one that the app draws on."""


class Tab(AppService):
    """The app started as `command` (no shell), drawing on a page.

    `say` takes one safe line of what the app had to say on standard error.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        write_bytes: Callable[[bytes], Awaitable[None]],
        write_str: Callable[[str], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(
            " ".join(command),
            write_bytes=write_bytes,
            write_str=write_str,
            close=close,
            download_manager=DownloadManager(),
        )
        self._argv = tuple(command)
        self._say = say
        self._errors: asyncio.Task[None] | None = None

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        environment = self._build_environment(width=width, height=height)
        for name in _OUTER_TERMINAL:
            environment.pop(name, None)
        self._process = process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment,
            # ctrl-c is for the server, which then tells its tabs to end; killed, it can tell nobody.
            start_new_session=True,
            preexec_fn=ends_with_us(),
        )
        self._stdin = process.stdin
        assert process.stderr is not None
        self._errors = asyncio.create_task(self._read_errors(process.stderr))
        # The library would print it as it is.
        process.stderr = asyncio.StreamReader()
        process.stderr.feed_eof()
        return process

    async def _read_errors(self, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(4096):
            for line in data.decode("utf-8", "replace").splitlines():
                if line.strip():
                    self._say(safe_line(line, 400))

    async def on_meta(self, data: bytes) -> None:
        """Take what the app tells of itself. It ends; it opens no pages and hands out no files."""
        if json.loads(data).get("type") == "exit":
            await self.remote_close()

    async def on_packed(self, payload: bytes) -> None:
        """Take no file from the app."""

    async def receive(self, text: str) -> str | None:
        """Take one message of the page; returns the answer, if there is one.

        Messages that mean nothing are passed over.
        """
        try:
            kind, *rest = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return None
        match kind, rest:
            case "stdin", [str(typed)]:
                await self.send_bytes(typed.encode("utf-8", "replace"))
            case "resize", [{"width": int(width), "height": int(height)}]:
                await self.set_terminal_size(cells(width), cells(height))
            case "ping", [str() | int() | float() as data]:
                return json.dumps(["pong", data])
            case "blur", _:
                await self.blur()
            case "focus", _:
                await self.focus()
        return None

    async def end(self) -> None:
        """Tell the app to leave, wait until its process is gone, and end it if it will not leave."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await self.stop()
        process = self._process
        if process is not None:
            if process.returncode is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GRACE_S):
                        await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
        if self._errors is not None:
            await self._errors


def cells(wanted: int) -> int:
    """Return a number of columns or rows within what a terminal can have."""
    return min(max(wanted, 1), MAX_CELLS)
