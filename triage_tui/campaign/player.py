"""A worker's hold on the process that plays its targets: one target at a time, none after the worker."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from triage_tui.campaign.place import ANSWER_FILE
from triage_tui.errors import TriageError

_TICK_S = 0.2
_LINE = 1 << 12


class Died(TriageError):
    """The process that played a target was killed."""


class Player:
    """A process of `zygote`, started when it is first needed, and again when it was killed.

    It belongs to one thread. Its input ends with this process, however that ends, and so does all it plays.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said = b""
        self.child = 0
        """Process id of the child that plays, 0 for none."""

    @property
    def pid(self) -> int:
        """Process id of the waiting process, 0 for none."""
        return self._process.pid if self._process is not None else 0

    def play(self, place: Path, cancelled: Callable[[], bool], limit_s: float = 0.0) -> bool:
        """Have the order in `place` played; True when it ended by itself, False when it was stopped.

        `limit_s` is how long it may take at most, 0 for any time.

        Raises:
            Died: the process that played it was killed, or left no answer.
        """
        self._tell(f"play {place}\n".encode("utf-8", "surrogateescape"))
        deadline = time.monotonic() + limit_s if limit_s else None
        stopped = False
        while True:
            line = self._line()
            word, _, rest = line.partition(" ")
            if word == "started":
                self.child = int(rest)
            elif word:
                self.child = 0
                if stopped or (place / ANSWER_FILE).is_file():
                    return not stopped
                raise Died(_how(word, rest))
            elif not stopped and (cancelled() or (deadline is not None and time.monotonic() > deadline)):
                # The kernel ends its guest with it.
                stopped = True
                self._tell(b"stop\n")

    def _tell(self, data: bytes) -> None:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "triage_tui.campaign.zygote"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
            )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except OSError as error:
            self.close()
            raise Died(f"the process that plays targets cannot be reached: {error.strerror}") from error

    def _line(self) -> str:
        """Return the next line that it says, "" where it says none for a moment."""
        assert self._process is not None
        assert self._process.stdout is not None
        if b"\n" not in self._said:
            if not select.select([self._process.stdout], [], [], _TICK_S)[0]:
                return ""
            data = os.read(self._process.stdout.fileno(), _LINE)
            if not data:
                code = self._process.wait()
                self.close()
                how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
                raise Died(f"the process that played it {how}")
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line.decode("ascii", "replace")

    def close(self) -> None:
        """End the process, and with it whatever it plays; safe to call more than once."""
        process, self._process, self._said, self.child = self._process, None, b"", 0
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_TICK_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _how(word: str, rest: str) -> str:
    if word == "killed":
        return f"the process that played it was killed by signal {rest}"
    return f"the process that played it ended with code {rest} and left no answer"
