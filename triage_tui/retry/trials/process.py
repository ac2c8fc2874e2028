"""A trial in a process of its own: for who must go on meanwhile, as the app does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from triage_tui.errors import Stopped, TriageError
from triage_tui.retry.background import end_with_parent
from triage_tui.text import safe_line

Tell = Callable[[str], None]

_POLL_S = 0.05
_END_S = 15.0
"""How long it may take to end its guests in good order."""
_MAX_ANSWER = 8 << 20


def in_process(root: Path, words: Sequence[str], cancel: threading.Event, tell: Tell) -> dict[str, Any]:
    """Run a command of triage-tui with `--json` on a workspace; return what it prints.

    `words` are the command and what is behind its options. It ends with this process.

    Raises:
        Stopped: `cancel` was set.
        TriageError: it cannot be started, or says why it was not carried out.
    """
    command, *rest = words
    arguments = [sys.executable, "-m", "triage_tui", command, "-C", str(root), "--json", "--", *rest]
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    except OSError as error:
        raise TriageError(f"{command} cannot be started from here: {error.strerror or error}") from error
    answer = bytearray()
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=_collect, args=(process.stdout, answer), daemon=True),
        threading.Thread(target=_pass_on, args=(process.stderr, tell), daemon=True),
    ]
    for reader in readers:
        reader.start()
    _await(process, cancel)
    for reader in readers:
        reader.join(_END_S)
    if cancel.is_set():
        raise Stopped(f"{command} was stopped, and nothing of it is kept")
    return _told(command, bytes(answer), process.returncode)


def _await(process: subprocess.Popen[bytes], cancel: threading.Event) -> None:
    while process.poll() is None and not cancel.wait(_POLL_S):
        pass
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            # Its guests end with it: no cell outlives its supervisor.
            process.kill()
            process.wait()


def _collect(stream: IO[bytes], into: bytearray) -> None:
    while piece := stream.read(1 << 16):
        if len(into) < _MAX_ANSWER:
            into += piece


def _pass_on(stream: IO[bytes], tell: Tell) -> None:
    for line in stream:
        tell(safe_line(line.strip(), 300))


def _told(command: str, answer: bytes, code: int) -> dict[str, Any]:
    lines = [line for line in answer.splitlines() if line.strip()]
    try:
        found = json.loads(lines[-1]) if lines else {}
    except (ValueError, RecursionError):
        found = {}
    error = found.get("error") if isinstance(found, dict) else None
    if isinstance(error, dict):
        raise TriageError(safe_line(str(error.get("message", "")), 600))
    if not isinstance(found, dict) or not found:
        raise TriageError(f"{command} ended with code {code} and said nothing")
    return found
