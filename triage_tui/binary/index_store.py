"""The index of a file, made once per content and kept in the user's cache.

It is made in a process of its own: the file may want to do harm, and a terminal app goes on meanwhile. What
is kept carries its own hash, so that a damaged index is made again; the oldest go when there are too many.
"""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from triage_tui.binary.index_model import INDEX_VERSION, BinaryIndex
from triage_tui.errors import Stopped, TriageError
from triage_tui.resources import cache_dir
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.text import safe_line

SECONDS = 180.0
"""After which making an index is given up."""
MEMORY = 4 << 30
"""Address space of the process that makes it, in bytes."""
MAX_INDEX = 256 << 20
"""Largest index that is read back, in bytes."""
MAX_CACHE = 512 << 20
"""Bytes of all kept indexes."""
_LOOK_S = 0.05
_HASH = hashlib.sha256().digest_size
_KEPT = 6
"""Indexes that stay in memory."""

Progress = Callable[[str, float], None]

_memory: OrderedDict[str, BinaryIndex] = OrderedDict()
_memory_lock = threading.Lock()


def directory() -> Path:
    """Return where indexes of this version are kept."""
    return cache_dir() / "binary-index" / f"v{INDEX_VERSION}"


def index_of(
    data: bytes,
    *,
    progress: Progress = lambda what, share: None,
    cancel: threading.Event | None = None,
    seconds: float = SECONDS,
) -> BinaryIndex:
    """Return the index of a program file, made now if it is not kept yet.

    Args:
        data: the content of the file.
        progress: gets what is done, and the share that is done, from this thread.
        cancel: set by another thread, it ends the making.
        seconds: after so long it is given up.

    Raises:
        Stopped: `cancel` was set.
        TriageError: the file cannot be indexed; the text says why.
    """
    digest = hashlib.sha256(data).hexdigest()
    with _memory_lock:
        known = _memory.get(digest)
        if known is not None:
            _memory.move_to_end(digest)
            return known
    path = directory() / f"{digest}.msgpack"
    found = _kept(path, digest)
    if found is None:
        raw = _make(data, progress, cancel, seconds)
        found = _decoded(raw, digest)
        if found is None:
            raise TriageError("the file cannot be indexed: what was made of it is damaged")
        _keep(path, raw)
    with _memory_lock:
        _memory[digest] = found
        while len(_memory) > _KEPT:
            _memory.popitem(last=False)
    return found


def encode(index: BinaryIndex) -> bytes:
    """Return an index as it is kept: its hash, then its content."""
    body = msgspec.msgpack.encode(index)
    return hashlib.sha256(body).digest() + body


def _decoded(raw: bytes, digest: str) -> BinaryIndex | None:
    body = memoryview(raw)[_HASH:]
    if hashlib.sha256(body).digest() != raw[:_HASH]:
        return None
    try:
        index = msgspec.msgpack.decode(body, type=BinaryIndex)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return index if index.version == INDEX_VERSION and index.sha256 == digest else None


def _kept(path: Path, digest: str) -> BinaryIndex | None:
    if not path.exists():
        return None
    try:
        found = _decoded(read_bounded(path, MAX_INDEX, whole=True), digest)
    except TriageError:
        return None
    with suppress(OSError):
        if found is None:
            path.unlink()
        else:
            os.utime(path)
    return found


def _keep(path: Path, raw: bytes) -> None:
    """Keep an index; that there is no room for it is no reason to fail."""
    if len(raw) > MAX_INDEX:
        return
    with suppress(OSError):
        write_atomic(path, raw, mode=0o600)
        entries = sorted(
            (status.st_mtime, status.st_size, entry)
            # Those of other versions count as well.
            for entry in path.parent.parent.glob("v*/*.msgpack")
            if (status := entry.stat())
        )
        left = sum(size for _, size, _ in entries)
        for _, size, entry in entries:
            if left <= MAX_CACHE:
                break
            if entry != path:
                entry.unlink(missing_ok=True)
                left -= size


# --- the process ----------------------------------------------------------------------------------------


def _limit(seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MAX_INDEX, 2 * MAX_INDEX))
    os.nice(5)


def _make(data: bytes, progress: Progress, cancel: threading.Event | None, seconds: float) -> bytes:
    with tempfile.TemporaryDirectory(prefix="triage-tui-") as work:
        program, out, said, errors = (Path(work, name) for name in ("program", "index", "said", "errors"))
        program.write_bytes(data)
        command = [sys.executable, "-m", "triage_tui.binary.index_one", str(program), str(out)]
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        with (
            said.open("wb") as stream,
            errors.open("wb") as error_stream,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=error_stream,
                env=kept | {"HOME": work, "TMPDIR": work},
                cwd=work,
                preexec_fn=lambda: _limit(seconds),
            ) as process,
        ):
            try:
                status = _wait(process, said, progress, cancel, seconds)
            finally:
                process.kill()
        told = _lines(said)
        if status == 0 and out.exists():
            return read_bounded(out, 2 * MAX_INDEX, whole=True)
        refused = next((line[6:] for line in told if line.startswith("error ")), "")
        if refused:
            raise TriageError(refused)
        last = (_lines(errors) or ["it said nothing"])[-1]
        how = f"was ended by signal {-status}" if status < 0 else f"failed: {safe_line(last, 200)}"
        raise TriageError(f"the file could not be indexed: the process {how}")


def _wait(
    process: subprocess.Popen[bytes],
    said: Path,
    progress: Progress,
    cancel: threading.Event | None,
    seconds: float,
) -> int:
    end = time.monotonic() + seconds
    shown = 0
    while True:
        try:
            return process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if cancel is not None and cancel.is_set():
                raise Stopped("the indexing was stopped") from None
            if time.monotonic() > end:
                raise TriageError(f"the indexing was given up after {seconds:g} s") from None
        lines = _lines(said)
        if len(lines) > shown:
            shown = len(lines)
            share, _, what = lines[-1].partition(" ")
            with suppress(ValueError):
                progress(what, min(max(float(share), 0.0), 1.0))


def _lines(path: Path) -> list[str]:
    with suppress(TriageError):
        return read_bounded(path, 1 << 20, tail=True).decode("utf-8", "replace").splitlines()
    return []
