"""The app in a real pseudo terminal: keys go in, bytes come out, a terminal emulator shows what they mean."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pexpect
import pyte

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]


class _Screen(pyte.Screen):
    """A screen that passes over the private form of SGR (a question about keyboard modes)."""

    def select_graphic_rendition(self, *attributes: int, private: bool = False) -> None:
        if not private:
            super().select_graphic_rendition(*attributes)


class Terminal:
    """The app on a workspace in a terminal of `rows` x `columns`."""

    def __init__(
        self,
        workspace: Path,
        rows: int = 24,
        columns: int = 80,
        command: Sequence[str] = ("ui",),
        **environment: str,
    ) -> None:
        self.raw = b""
        self._screen = _Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._child = pexpect.spawn(
            sys.executable,
            ["-m", "triage_tui", command[0], "-C", str(workspace), *command[1:]],
            cwd=str(ROOT),
            dimensions=(rows, columns),
            env={
                # These would hold instead of the terminal's size; a parallel test run sets them.
                **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
                "TEXTUAL_ANIMATIONS": "none",
                **environment,
            },
            timeout=PATIENCE_S,
        )

    def __enter__(self) -> Terminal:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the app if it still runs."""
        # By itself it would give a killed app a tenth of a second to be gone.
        if self._child.isalive():
            self._child.kill(signal.SIGKILL)
            self._child.wait()
        self._child.close()

    @property
    def pid(self) -> int:
        """Process id of the app."""
        assert self._child.pid is not None
        return self._child.pid

    @property
    def text(self) -> str:
        """What the terminal shows."""
        # Not its `display`: that fails at a wide letter of which the program has overwritten one half.
        lines = (self._screen.buffer[y] for y in range(self._screen.lines))
        return "\n".join("".join(line[x].data for x in range(self._screen.columns)) for line in lines)

    def _take(self, data: Any) -> None:
        assert isinstance(data, bytes)
        self.raw += data
        self._stream.feed(data)

    def _read(self) -> bool:
        try:
            data = self._child.read_nonblocking(65536, timeout=0.2)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            # It is said too of an app that wrote and ended just after it was looked for what it wrote.
            with contextlib.suppress(OSError):
                while select.select([self._child], [], [], 0)[0] and (
                    rest := os.read(self._child.child_fd, 65536)
                ):
                    self._take(rest)
            return False
        self._take(data)
        return True

    def until(self, text: str, seconds: float = PATIENCE_S) -> None:
        """Read until the terminal shows `text`."""
        end = time.monotonic() + seconds
        while text not in self.text:
            assert self._read(), f"the app ended before it showed {text!r}:\n{self.text}"
            assert time.monotonic() < end, f"{text!r} did not come:\n{self.text}"

    def until_gone(self, text: str, seconds: float = PATIENCE_S) -> None:
        """Read until the terminal no longer shows `text`, and has drawn what it shows in its place."""
        end = time.monotonic() + seconds
        drawing = True
        while text in self.text or drawing:
            before = len(self.raw)
            assert self._read(), "the app ended"
            # In the middle of a frame the text may be half overwritten and come back.
            drawing = len(self.raw) != before
            assert time.monotonic() < end, f"{text!r} stayed:\n{self.text}"

    def settle(self) -> None:
        """Read until nothing is drawn for a moment: what is still being read is shown then."""
        for _ in range(5):
            self.until_gone("\0")

    def until_stopped(self, seconds: float = PATIENCE_S) -> None:
        """Read until the app is stopped (job control), and clear what the terminal shows."""
        end = time.monotonic() + seconds
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            self._read()
            assert time.monotonic() < end, "the app did not stop"
        self._read()
        self._screen.reset()

    def press(self, keys: str | bytes) -> None:
        """Type."""
        self._child.send(keys)

    def insist(self, keys: str, text: str) -> None:
        """Press keys until they show a text: while something is still being read they may be refused.

        Only for keys that may come twice: on a slow machine they are pressed again though they were heard.
        """
        for _ in range(10):
            self.press(keys)
            with contextlib.suppress(AssertionError):
                self.until(text, 10)
                return
        self.until(text)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the terminal."""
        self._screen.resize(rows, columns)
        self._screen.reset()
        self._child.setwinsize(rows, columns)

    def finish(self) -> int:
        """Read to the end and return the exit status."""
        end = time.monotonic() + PATIENCE_S
        while self._read():
            assert time.monotonic() < end, "the app did not end"
        self._child.wait()
        return int(self._child.exitstatus if self._child.exitstatus is not None else -1)
