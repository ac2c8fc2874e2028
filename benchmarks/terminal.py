"""A program in a pseudo terminal: what it shows, when it shows it, and how long it takes to answer a key."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyte

_QUIET_S = 0.025
"""A terminal that was written nothing for so long has got the whole answer to a key."""
_PATIENCE_S = 20.0
_STYLE = re.compile(rb"\x1b\[[0-9;:]*m")
_CONTROL = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P_^X].*?(?:\x07|\x1b\\)|[ -/]*[0-~])", re.DOTALL)
_UNFINISHED = re.compile(rb"\x1b[^\x1b]*$")


class Screen(pyte.Screen):
    """A screen that passes over the private form of SGR (a question about keyboard modes)."""

    def select_graphic_rendition(self, *attributes: int, private: bool = False) -> None:
        """Take attributes that are meant for text."""
        if not private:
            super().select_graphic_rendition(*attributes)


def plain(raw: bytes) -> bytes:
    """Return what was written without styles; each other control sequence becomes a line break."""
    return _CONTROL.sub(b"\n", _UNFINISHED.sub(b"", _STYLE.sub(b"", raw)))


class Terminal:
    """`command` in a terminal of `columns` x `rows`; end it with `close`, or use it as a context.

    Times are those of CLOCK_MONOTONIC in seconds, taken when the bytes came out of the program, before they
    are looked at.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        columns: int = 120,
        rows: int = 40,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._raw = b""
        self._pieces: list[tuple[float, bytes]] = []
        self.screen = Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        given = {"TERM": "xterm-256color", "COLORTERM": "truecolor", **(environment or {})}
        # These would hold instead of the terminal's size.
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.started = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execvpe(command[0], list(command), inherited | given)
            finally:
                os._exit(127)

    # --- what it shows -----------------------------------------------------------------------------------

    def _read(self, timeout: float) -> bool:
        """Take one piece; False when none came in time.

        Raises:
            RuntimeError: the program ended.
        """
        if not select.select([self._fd], [], [], max(0.0, timeout))[0]:
            return False
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            data = b""
        if not data:
            raise RuntimeError(f"it ended; the last it wrote: {plain(self._raw)[-400:]!r}")
        self._pieces.append((time.monotonic(), data))
        self._raw += data
        return True

    def _until(self, reached: Callable[[bytes], bool], what: str, timeout: float) -> float:
        deadline = time.monotonic() + timeout
        while not (self._pieces and reached(plain(self._raw))):
            if not self._read(deadline - time.monotonic()) and time.monotonic() >= deadline:
                raise RuntimeError(f"{what} never came; the last it wrote: {plain(self._raw)[-400:]!r}")
        return self._pieces[-1][0]

    def wait_for_frame(self, timeout: float = 60.0) -> float:
        """Read until something can be seen; returns when that was."""
        return self._until(lambda text: bool(text.strip()), "a painted frame", timeout)

    def wait_for(self, text: str, timeout: float = 60.0) -> float:
        """Read until `text` was written; returns when that was.

        Raises:
            RuntimeError: the program ended, or did not write it in time.
        """
        wanted = text.encode()
        return self._until(lambda seen: wanted in seen, repr(text), timeout)

    def settle(self, quiet_s: float = 0.3, patience_s: float = _PATIENCE_S) -> None:
        """Read until nothing was written for `quiet_s`, and draw it."""
        deadline = time.monotonic() + patience_s
        while self._read(quiet_s) and time.monotonic() < deadline:
            pass
        self._draw(lambda: None)
        self._raw = b""

    def _draw(self, look: Callable[[], object]) -> float | None:
        """Draw the pieces; returns when the first came after which `look` sees something else."""
        before, found = look(), None
        for at, data in self._pieces:
            self._stream.feed(data)
            if found is None and look() != before:
                found = at
        self._pieces.clear()
        return found

    # --- keys --------------------------------------------------------------------------------------------

    def send(self, keys: str) -> float:
        """Type `keys`; returns when."""
        at = time.monotonic()
        os.write(self._fd, keys.encode())
        return at

    def hold(self, keys: str, times: int, every_s: float = 1 / 30) -> None:
        """Type `keys` again and again, as fast as a key that is held down repeats."""
        for _ in range(times):
            deadline = self.send(keys) + every_s
            while (left := deadline - time.monotonic()) > 0:
                self._read(left)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size; the program is told by the kernel."""
        self.screen.resize(rows, columns)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def answer(self, keys: str, look: Callable[[], object]) -> float:
        """Type `keys`; returns the seconds until the terminal was written what changes what `look` sees.

        `look` reads `screen`. The bytes are drawn only when the program rests, so drawing costs it no time.

        Raises:
            RuntimeError: the program ended, or nothing changed.
        """
        while self._read(0):
            pass
        self._draw(look)
        sent = self.send(keys)
        while time.monotonic() < sent + _PATIENCE_S:
            while self._read(_QUIET_S):
                pass
            if (at := self._draw(look)) is not None:
                self._raw = b""
                return at - sent
        shown = "\n".join(self.screen.display)
        raise RuntimeError(f"nothing changed after {keys!r}:\n{shown}")

    # --- the process -------------------------------------------------------------------------------------

    def memory(self) -> tuple[int, int]:
        """Return the bytes of memory that are resident, and its proportional share of them (PSS)."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        found = {line.split()[0]: int(line.split()[1]) << 10 for line in text.splitlines()[1:]}
        return found["Rss:"], found["Pss:"]

    def computed(self) -> float:
        """Return the seconds that the process has computed, which other programs hardly change."""
        found = 0
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(OSError):
                found += int((thread / "schedstat").read_text().split()[0])
        return found / 1e9

    def close(self) -> None:
        """End the program and reap it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
