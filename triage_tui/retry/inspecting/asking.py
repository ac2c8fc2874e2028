"""Ask the model about a run in a process of its own: its library is large, and would stay in the app."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from triage_tui.analyst.settings import load_settings
from triage_tui.errors import Stopped, TriageError
from triage_tui.retry.background import end_with_parent
from triage_tui.runs.analysis_model import Outcome, Progress
from triage_tui.text import number_of, safe_line

_POLL_S = 0.1
_END_S = 4.0
"""Longest time that stopping takes: the model library cannot be stopped while it is loaded."""
_OWN_WORDS = "triage-tui: "


def ask_model(
    workspace: Path,
    run_id: str,
    cancel: threading.Event,
    tell: Callable[[str], None] = lambda line: None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> str:
    """Have the model that is set up look at a run; return one sentence on what came of it.

    `tell` gets each line of progress, `watch` how far it is about once a second; `cancel` ends the work.

    Raises:
        Stopped: it was cancelled, and nothing came of it.
        TriageError: no model is set up, or it did not answer.
    """
    # Without a model there is no need to start anything to say so.
    load_settings()
    command = [sys.executable, "-m", "triage_tui", "analyze", "-C", str(workspace), "--json", "--progress"]
    with tempfile.TemporaryFile() as result:
        try:
            process = subprocess.Popen(
                [*command, run_id],
                stdin=subprocess.DEVNULL,
                stdout=result,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        except OSError as error:
            raise TriageError(f"the model cannot be asked from here: {error.strerror or error}") from error
        lines = _Lines(process, tell, watch)
        try:
            _wait(process, cancel, tell)
        finally:
            _end(process)
            lines.join()
        result.seek(0)
        raw = result.read()
    if process.returncode != 0:
        last = lines.last.removeprefix(_OWN_WORDS) if lines.last.startswith(_OWN_WORDS) else ""
        if cancel.is_set():
            raise Stopped(last or "the analysis was stopped")
        raise TriageError(last or "the model could not be asked")
    told = msgspec.json.decode(raw, type=Outcome)
    found = number_of(len(told.hypotheses), "hypothesis", "hypotheses")
    proposals = number_of(len(told.proposals), "proposal")
    text = f"{found} and {proposals} by {safe_line(told.model, 60)}"
    if told.invented:
        text += f", {number_of(told.invented, 'id')} that the record has not"
    if told.unsupported:
        text += f", {number_of(told.unsupported, 'claim')} without evidence"
    return text if told.complete else f"{text}; it ended early: {safe_line(told.ended, 200)}"


class _Lines:
    """Reads what a process says of its progress, while it works."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        tell: Callable[[str], None],
        watch: Callable[[Progress], None],
    ) -> None:
        self.last = ""
        self._process = process
        self._tell = tell
        self._watch = watch
        self._thread = threading.Thread(target=self._read, name="analysis progress", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            if raw.startswith(b"{"):
                # Its other lines begin with a word.
                with contextlib.suppress(msgspec.DecodeError, UnicodeError):
                    self._watch(msgspec.json.decode(raw, type=Progress))
                    continue
            line = safe_line(raw.rstrip(b"\n"), 400)
            if line:
                self.last = line
                self._tell(line)

    def join(self) -> None:
        """Wait for the rest."""
        self._thread.join(_END_S)


def _wait(process: subprocess.Popen[bytes], cancel: threading.Event, tell: Callable[[str], None]) -> None:
    """Wait for the process, and end it in good order when it is not wanted any more."""
    asked = False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S if asked else _POLL_S)
            return
        if asked:
            return
        if cancel.is_set():
            tell("stopping")
            process.terminate()
            asked = True


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
