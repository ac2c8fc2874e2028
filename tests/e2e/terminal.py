"""A real terminal for the app: a pty, with a screen that understands what is written to it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pexpect
import pyte

from tests.e2e.commands import TIMEOUT, command


class Terminal:
    """The app in a pty of `columns` x `lines`."""

    def __init__(self, workspace: Path, *arguments: str, columns: int = 120, lines: int = 40) -> None:
        program, *rest = command(workspace, *(arguments or ("ui",)))
        self.raw = b""
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._child = pexpect.spawn(
            program,
            rest,
            dimensions=(lines, columns),
            timeout=TIMEOUT,
            env={**os.environ, "TERM": "xterm-256color"},
        )

    def text(self) -> str:
        """Return what the screen shows now."""
        return "\n".join(self._screen.display)

    def press(self, keys: str) -> None:
        """Type keys."""
        self._child.send(keys)

    def wait_for(self, *texts: str) -> str:
        """Wait until the screen shows all of `texts` and return it."""
        deadline = time.monotonic() + TIMEOUT
        while not all(text in self.text() for text in texts):
            if time.monotonic() > deadline:
                raise AssertionError(f"never showed {texts}:\n{self.text()}")
            self._read()
        return self.text()

    def _read(self) -> None:
        try:
            data = self._child.read_nonblocking(65536, timeout=1)
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            raise AssertionError(f"the app ended:\n{self.text()}") from None
        self.raw += data
        self._stream.feed(data)

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal."""
        self._screen.resize(lines, columns)
        self._child.setwinsize(lines, columns)

    def wait_for_end(self) -> int:
        """Wait until the app has ended and return its exit code."""
        self._child.expect(pexpect.EOF, timeout=TIMEOUT)
        self._child.close()
        return int(self._child.exitstatus if self._child.exitstatus is not None else -1)

    def close(self) -> None:
        """End the app whatever it does."""
        self._child.close(force=True)
