"""The process that takes in what SFEmu records while the app is open: started, listened to and ended."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from triage_tui.retry.background import end_with_parent
from triage_tui.runs.foreign import is_home
from triage_tui.runs.ids import is_run_id

_END_S = 2.0


@contextmanager
def following(workspace: Path) -> Iterator[None]:
    """Take in what SFEmu records beside a workspace while the block runs; of any other nothing is done."""
    if not is_home(workspace):
        yield
        return
    follower = SfemuFollower(workspace)
    follower.start()
    try:
        yield
    finally:
        follower.stop()


class SfemuFollower:
    """Takes in the runs of SFEmu beside a workspace until `stop`."""

    def __init__(self, home: Path, changed: Callable[[set[str]], object] = lambda _names: None) -> None:
        """`changed` is called, in an own thread, with each run that was taken in or cannot be."""
        self._home = home
        self._changed = changed
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin. Where no process can be started, runs are taken in when they are opened."""
        command = [sys.executable, "-m", "triage_tui.sfemu.worker", str(self._home)]
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
            threading.Thread(target=self._listen, name="sfemu", daemon=True).start()

    def stop(self) -> None:
        """End."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if is_run_id(name := line.strip()):
                self._changed({name})
