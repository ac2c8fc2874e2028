"""`triage-tui serve` as a user starts it, and requests as anybody can make them."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import urlsplit

from tests.e2e.commands import TIMEOUT, command


class Served:
    """The server on a workspace, from its start until the block is left."""

    def __init__(self, workspace: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            command(workspace, "serve", *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = self._line(self._process.stdout)
        """The printed address, with the key."""
        parts = urlsplit(self.address)
        assert parts.port, self._process.communicate()
        self.port = parts.port
        self.host = f"127.0.0.1:{parts.port}"
        self.key = parts.query.removeprefix("key=")
        self.cookie = f"triage_tui_{self.port}={self.key}"
        found = re.search(r"url=(/[^/]+/)\"", self.get(f"/?key={self.key}")[2])
        assert found is not None
        self.place = found[1]
        """The path below which everything is; only who holds the key is told."""

    @staticmethod
    def _line(stream: IO[str] | None) -> str:
        assert stream is not None
        return stream.readline().strip()

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def interrupt(self) -> tuple[int, str]:
        """Press ctrl-c; returns the exit code and what was said on standard error."""
        self._process.send_signal(signal.SIGINT)
        _, said = self._process.communicate(timeout=TIMEOUT)
        return self._process.returncode, said

    def kill(self) -> None:
        """End the server without a chance to tidy up."""
        self._process.kill()
        self._process.wait(TIMEOUT)

    def get(self, path: str, **headers: str) -> tuple[int, Message, str]:
        """Ask for a path with exactly these headers; returns status, headers and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
            for name, value in ({"Host": self.host} | headers).items():
                if value:
                    connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            if answer.status == 101:
                return answer.status, answer.headers, ""
            return answer.status, answer.headers, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
