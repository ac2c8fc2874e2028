"""Run the product as a person would, as a process of its own, and return what it said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.text import safe_line

_POLL_S = 0.05
_END_S = 15.0


def run_product(
    command: Sequence[str], emulators: Path, limit_s: float, cancel: threading.Event
) -> dict[str, Any]:
    """Run `triage-tui run --json` and return the object that it printed, with one round at least.

    Raises:
        TriageError: it could not run the program (its own sentence), hung, or was cancelled.
    """
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "TRIAGE_TUI_QEMU_DIR": str(emulators)}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        # Ctrl-C is for this process, which then ends the run in good order.
        start_new_session=True,
    )
    said: list[bytes] = [b"", b""]
    readers = [
        threading.Thread(target=_read, args=(pipe, said, index), daemon=True)
        for index, pipe in enumerate((process.stdout, process.stderr))
    ]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + limit_s
    why = ""
    try:
        while process.poll() is None:
            if cancel.wait(_POLL_S):
                why = "it was cancelled"
            elif time.monotonic() > deadline:
                why = f"the run took more than {limit_s:.0f} seconds"
            if why:
                break
    finally:
        _end(process)
        for reader in readers:
            reader.join(_END_S)
    if why:
        raise TriageError(why)
    try:
        told: dict[str, Any] = json.loads(said[0].splitlines()[-1])
        rounds = told["rounds"]
    except (ValueError, IndexError, KeyError, TypeError):
        rounds = []
    if not rounds:
        lines = said[1].decode("utf-8", "replace").strip().splitlines()
        last = lines[-1].removeprefix("triage-tui: ") if lines else f"it ended with code {process.returncode}"
        raise TriageError(f"the program could not be run: {safe_line(last, 300)}")
    return told


def _read(pipe: object, said: list[bytes], index: int) -> None:
    read: Callable[[int], bytes] = pipe.read1  # type: ignore[attr-defined]
    while data := read(1 << 16):
        # Only the end matters: the result, or the reason.
        said[index] = (said[index] + data)[-(4 << 20) :]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the supervisor in good order, so that no guest is left, and hard if that does not help."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
