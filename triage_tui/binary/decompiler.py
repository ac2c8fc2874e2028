"""Decompile one function with angr, in a process of its own that may be killed at any time.

angr is an optional extra (`pip install 'triage-tui[decompiler]'`, BSD licence). It reads a program that wants
to do harm: it runs with bounds on memory, CPU time and output, without our environment, and its text is
treated like any other guest text.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.binary.code_source import CodePoint, FunctionCode
from triage_tui.errors import TriageError
from triage_tui.resources import cache_dir
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.text import safe_line

MEMORY = 6 << 30
"""Address space of the decompiler, in bytes; importing angr alone takes about one GiB of it."""
SECONDS = 60.0
_LOOK_S = 0.1
"""How often it is looked whether the decompiler is to be ended."""
MAX_OUTPUT = 1 << 20
"""Bytes of pseudocode kept."""
MAX_KEPT = 2000
"""Functions whose pseudocode stays in the user's cache; the oldest go."""


def why_missing() -> str | None:
    """Return why nothing can be decompiled, or None if it can."""
    if importlib.util.find_spec("angr") is None:
        return "no decompiler is installed: pip install 'triage-tui[decompiler]' adds angr"
    return None


def version() -> str:
    """Return the decompiler's version."""
    import importlib.metadata

    return importlib.metadata.version("angr")


def _place(point: CodePoint) -> tuple[int, int]:
    """Return (address, start of the function) in the file."""
    assert point.location is not None
    vaddr = point.location.vaddr
    return vaddr, vaddr if point.start is None else point.start - point.location.module.bias


def _code(answer: Mapping[str, Any]) -> FunctionCode:
    text, name, prototype = (answer.get(key) for key in ("text", "name", "prototype"))
    text = text if isinstance(text, str) else ""
    given = answer.get("variables")
    variables = [
        (str(one[0]), str(one[1]), str(one[2]))
        for one in (given if isinstance(given, list) else ())
        if isinstance(one, list) and len(one) == 3
    ]
    return FunctionCode(
        text[:MAX_OUTPUT],
        "pseudocode",
        f"decompiled by angr {'.'.join(version().split('.')[:2])}",
        name=name if isinstance(name, str) else None,
        prototype=prototype if isinstance(prototype, str) and prototype else None,
        truncated=len(text) > MAX_OUTPUT,
        variables=tuple(variables),
    )


def _kept_file(program: bytes, start: int) -> Path:
    digest = hashlib.sha256(program).hexdigest()
    return cache_dir() / "decompiled" / version() / f"{digest}-{start:x}.json"


def keep(program: bytes, start: int, answer: Mapping[str, Any]) -> None:
    """Keep what was decompiled; that there is no room for it is no reason to fail."""
    path = _kept_file(program, start)
    with suppress(OSError, TriageError):
        write_atomic(path, json.dumps(dict(answer)), mode=0o600)
        entries = sorted((one.stat().st_mtime, one) for one in path.parent.parent.glob("*/*.json"))
        for _, one in entries[: max(0, len(entries) - MAX_KEPT)]:
            one.unlink(missing_ok=True)


def read_kept(program: bytes, start: int) -> dict[str, Any] | None:
    """Return what was decompiled before of a function, None if nothing was or it is damaged."""
    path = _kept_file(program, start)
    if not path.exists():
        return None
    with suppress(TriageError, ValueError, RecursionError):
        found = json.loads(read_bounded(path, 8 * MAX_OUTPUT, whole=True))
        if isinstance(found, dict) and isinstance(found.get("text"), str):
            return found
    return None


def _limit(seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
    os.nice(5)


class Angr(msgspec.Struct, frozen=True):
    """A source that decompiles functions of one program file."""

    program: bytes
    """The content of the ELF file that the guest has mapped."""
    seconds: float = SECONDS
    cancel: threading.Event | None = None
    """Set by another thread, it ends the decompiler."""

    def function(self, point: CodePoint) -> FunctionCode:
        """Return the pseudocode of the function at `point`.

        Raises:
            TriageError: there is no decompiler, it failed, took too long, or was ended; the text says which.
        """
        missing = why_missing()
        if missing is not None:
            raise TriageError(missing)
        if point.location is None:
            raise TriageError("the address lies in no program file, so that nothing can be decompiled")
        known = self.kept(point)
        if known is not None:
            return known
        vaddr, start = _place(point)
        answer = self._ask(vaddr, start, point.thumb)
        keep(self.program, start, answer)
        return _code(answer)

    def kept(self, point: CodePoint) -> FunctionCode | None:
        """Return what was decompiled before of the function at `point`, None if nothing was."""
        if point.location is None or why_missing() is not None:
            return None
        answer = read_kept(self.program, _place(point)[1])
        return _code(answer) if answer is not None else None

    def _ask(self, vaddr: int, start: int, thumb: bool) -> dict[str, Any]:
        """Run the decompiler's process and return its answer."""
        with tempfile.TemporaryDirectory(prefix="triage-tui-") as work:
            path = Path(work, "program")
            path.write_bytes(self.program)
            command = [sys.executable, "-m", "triage_tui.binary.decompile_one"]
            command += [str(path), hex(vaddr), hex(start), "thumb" if thumb else "plain"]
            kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
            out, errors = Path(work, "answer"), Path(work, "errors")
            status = self._run(command, kept | {"HOME": work, "TMPDIR": work}, work, out, errors)
            with out.open("rb") as stream:
                raw = stream.read(4 * MAX_OUTPUT)
            last = raw.splitlines()[-1:] or [b""]
            try:
                found = json.loads(last[0])
            except ValueError:
                found = {}
            if isinstance(found, dict) and isinstance(found.get("text"), str):
                return found
            said = found.get("error") if isinstance(found, dict) else None
            if not said:
                with errors.open("rb") as stream:
                    lines = stream.read(MAX_OUTPUT).decode("utf-8", "replace").strip().splitlines()
                ended = f"ended by signal {-status}" if status < 0 else "gave nothing"
                said = lines[-1] if lines and status > 0 else ended
            raise TriageError(f"angr could not decompile the function: {safe_line(str(said), 300)}")

    def _run(self, command: Sequence[str], env: Mapping[str, str], work: str, out: Path, errors: Path) -> int:
        """Run the decompiler until it ends or is ended, and return its status."""
        end = time.monotonic() + self.seconds
        with (
            out.open("wb") as answer,
            errors.open("wb") as said,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=said,
                env=env,
                cwd=work,
                preexec_fn=lambda: _limit(self.seconds),
            ) as process,
        ):
            try:
                while True:
                    try:
                        return process.wait(min(_LOOK_S, max(0.0, end - time.monotonic())))
                    except subprocess.TimeoutExpired:
                        if self.cancel is not None and self.cancel.is_set():
                            raise TriageError("the decompiler was stopped") from None
                        if time.monotonic() >= end:
                            raise TriageError(
                                f"the decompiler was ended after {self.seconds:g} s without a result"
                            ) from None
            finally:
                # Also when this thread is interrupted: nothing that was started stays behind.
                process.kill()
