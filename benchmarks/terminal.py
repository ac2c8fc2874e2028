"""A program in a pseudo terminal, and the moment at which it shows something."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Sequence
from pathlib import Path


class Terminal:
    """`command` in a terminal of `columns` x `rows`; end it with `close`, or use it as a context."""

    def __init__(self, command: Sequence[str], cwd: Path, columns: int = 120, rows: int = 40) -> None:
        self.started = time.monotonic()
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            try:
                os.chdir(cwd)
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execvpe(
                    command[0],
                    list(command),
                    os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
                )
            finally:
                os._exit(127)
        self.seen = b""

    def wait_for(self, text: str, timeout: float = 60.0) -> float:
        """Read until `text` has been written; returns the CLOCK_MONOTONIC time of that, in seconds.

        The text must be one that the program writes in one piece: styles and cursor moves are not taken out.

        Raises:
            RuntimeError: the program ended, or did not write it in time.
        """
        wanted = text.encode()
        deadline = time.monotonic() + timeout
        start = 0
        while wanted not in self.seen[start:]:
            start = max(0, len(self.seen) - len(wanted))
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            try:
                data = os.read(self._fd, 1 << 16) if ready else b""
            except OSError:
                data = b""
            if not data:
                raise RuntimeError(
                    f"{text!r} was never shown; the terminal's last bytes: {self.seen[-400:]!r}"
                )
            self.seen += data
        return time.monotonic()

    def send(self, keys: str) -> None:
        """Type `keys`."""
        os.write(self._fd, keys.encode())

    def close(self) -> None:
        """End the program and reap it."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
