"""Compare the files of all runs with the index in another process, while this one is still starting.

Ten thousand runs take thirty thousand calls of stat(2): as long as the app needs until it can draw. A second
process does that meanwhile and tells which runs are not as the index says; it changes nothing. Whatever goes
wrong with it, the runs are looked at in this process, as if it had not been there.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from triage_tui.runs.index_path import index_file

if TYPE_CHECKING:
    from triage_tui.runs.catalog import Seen

_WAIT_S = 1.0
"""How long an answer is waited for: then this process is as fast."""
LEAST_BYTES = 256 << 10
"""Size of an index from which the second process is worth its start."""


class LookAhead:
    """The other process; ask it once, or `end` it."""

    def __init__(self, pid: int, answer: int) -> None:
        self._pid = pid
        self._answer = answer

    def take(self) -> Seen | None:
        """Wait for what it found; None when it found nothing that can be used."""
        from triage_tui.runs.catalog import Seen

        try:
            return msgspec.msgpack.decode(self._read(), type=Seen)
        except (msgspec.MsgspecError, OSError, TimeoutError):
            return None
        finally:
            self.end()

    def end(self) -> None:
        """End it without asking."""
        os.close(self._answer)
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _read(self) -> bytes:
        parts: list[bytes] = []
        deadline = time.monotonic() + _WAIT_S
        while True:
            ready, _, _ = select.select([self._answer], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            part = os.read(self._answer, 1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)


def look_ahead(runs_dir: Path) -> LookAhead | None:
    """Start comparing; None when there is nothing to gain, or this process has threads and must not fork."""
    index = index_file(runs_dir)
    try:
        if index.stat().st_size < LEAST_BYTES or threading.active_count() > 1:
            return None
        answer, told = os.pipe()
        pid = os.fork()
    except OSError:
        return None
    if pid:
        os.close(told)
        return LookAhead(pid, answer)
    # In the child: whatever happens, nothing of the parent's may be flushed, closed or run at its exit.
    try:
        from triage_tui.runs.catalog import compare_with_index

        os.close(answer)
        with open(told, "wb") as stream:
            stream.write(msgspec.msgpack.encode(compare_with_index(runs_dir, index)))
    finally:
        os._exit(0)
