"""Write a run record: staged under a temporary name, published by one rename."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import inside, sync_directory, waits_for_disk, write_atomic
from triage_tui.runs.form import SNAPSHOT_FILE as SNAPSHOT_FILE
from triage_tui.runs.ids import new_run_id
from triage_tui.runs.limits import tree_bytes
from triage_tui.runs.memory_model import Blob
from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.text import safe_name

TRACE_FILE = "trace.jsonl"
ENVIRONMENT_FILE = "environment.json"
START_FILE = "start.json"
"""Process id -> "NAME=value" entries."""
SUPERVISOR_LOG = "supervisor.log"
"""What went wrong in the supervision itself, below `logs/`; absent when nothing did."""
RULES_LOG = "rules.log"
"""What rules logged, below `logs/`; absent when they logged nothing."""


_ABANDONED_S = 60
_SYNCING = 8
"""Files that are written out at the same time."""


def fnv1a32(data: bytes) -> int:
    """Return the 32-bit FNV-1a hash of `data` (SFEmu's checksum of memory blobs)."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def encode_json(value: object) -> bytes:
    """Return `value` as indented JSON with a final newline, the form of all JSON files of a run."""
    return msgspec.json.format(encode_line(value), indent=1) + b"\n"


def remove_abandoned(
    directory: Path, names: str = ".tmp-*", remove: Callable[[Path], None] | None = None
) -> None:
    """Remove what killed processes of this user left in a directory: old directories that nobody holds.

    `names` is the pattern of their names; who works in one holds flock(2) on it. `remove` is for those whose
    own directories may forbid their removal.
    """
    for path in directory.glob(names):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _ABANDONED_S:
                # Its owner may be about to lock it.
                continue
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if remove is not None:
                    remove(path)
                else:
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_all(paths: Sequence[Path]) -> None:
    """Have all the files on the disk, several at a time.

    By threads of our own: importing concurrent.futures costs more than reading a run.

    Raises:
        OSError: one could not be written.
    """
    left = iter(paths)
    failed: list[OSError] = []

    def work() -> None:
        for path in left:
            try:
                _sync(path)
            except OSError as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(min(_SYNCING, len(paths)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


class RunWriter:
    """One run directory in the making.

    Files go to `.tmp-<run_id>`; `publish` gives the directory its name once `snapshot.json` is in it, so a
    listing never shows a run without one. After that, writing goes on in place (each file atomically).
    """

    def __init__(self, runs_dir: Path, run_id: str | None = None) -> None:
        self.runs_dir = runs_dir
        remove_abandoned(runs_dir)
        self.run_id = run_id or new_run_id(runs_dir)
        self._staging = runs_dir / f".tmp-{self.run_id}"
        self._staging.mkdir(parents=True, exist_ok=True)
        self._claim = os.open(self._staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        """Its lock says that the directory is being written; it ends with the process."""
        fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._published = False
        self._unsynced: dict[Path, None] = {}

    @property
    def dir(self) -> Path:
        """The directory that files go to now."""
        return self.runs_dir / self.run_id if self._published else self._staging

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file below the run directory; `name` may hold a sub-directory."""
        path = inside(self.dir, name)
        self._write(path, text.encode("utf-8", "surrogateescape"))
        return path

    def _write(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        """Write a file, complete or not at all.

        Nobody reads one before the run is published: it is on the disk by then, with all others at once.
        """
        if self._published:
            write_atomic(path, data, mode=mode)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(path, flags, mode), "wb") as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(data)
        except BaseException:
            path.unlink(missing_ok=True)
            self._unsynced.pop(path, None)
            raise
        self._unsynced[path] = None

    def write_snapshot(self, snapshot: Snapshot) -> None:
        """Write `snapshot.json`."""
        self._write(self.dir / SNAPSHOT_FILE, encode_json(snapshot))

    def write_environments(self, environments: Mapping[int, list[str]]) -> None:
        """Write the environments of processes, by id; only the owner may read them, they may hold secrets."""
        self._write(self.dir / ENVIRONMENT_FILE, encode_json(environments), 0o600)

    def write_trace(self, calls: Iterable[Syscall], limit: int = 1 << 62) -> int:
        """Write the longer syscall history, oldest first, one JSON object a line; return how many there are.

        Calls that would make the file longer than `limit` bytes are left out.
        """
        lines: list[bytes] = []
        for call in calls:
            line = encode_line(call) + b"\n"
            limit -= len(line)
            if limit < 0:
                break
            lines.append(line)
        self._write(self.dir / TRACE_FILE, b"".join(lines))
        return len(lines)

    def disk_bytes(self) -> int:
        """Return what the run takes on the disk so far."""
        return tree_bytes(self.dir)

    def add_blob(self, name: str, addr: int, data: bytes) -> Blob:
        """Keep `data`, read at guest address `addr`, as `memory/<name>` and return its index entry."""
        file = f"memory/{safe_name(name)}"
        path = inside(self.dir, file)
        self._write(path, data)
        return Blob(
            addr=addr,
            addr_hex=f"0x{addr:x}",
            size=len(data),
            file=file,
            fnv1a32=f"0x{fnv1a32(data):08x}",
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def add_log(self, name: str, data: bytes) -> Path:
        """Keep raw log bytes as `logs/<name>`."""
        path = inside(self.dir, f"logs/{safe_name(name)}")
        self._write(path, data)
        return path

    def publish(self) -> Path:
        """Give the directory its final name and return it; the snapshot must have been written."""
        if not self._published:
            if not (self._staging / SNAPSHOT_FILE).is_file():
                raise ValueError("a run is published only with its snapshot")
            self._sync_written()
            os.rename(self._staging, self.runs_dir / self.run_id)
            sync_directory(self.runs_dir)
            self._published = True
            self._let_go()
        return self.dir

    def _sync_written(self) -> None:
        """Have what was written on the disk. Dozens of small files at once cost what a few cost in turn."""
        if self._unsynced and waits_for_disk():
            _sync_all(list(self._unsynced))
            for directory in {path.parent for path in self._unsynced}:
                sync_directory(directory)
            self._unsynced.clear()

    def discard(self) -> None:
        """Remove an unpublished run."""
        if not self._published:
            self._let_go()
            shutil.rmtree(self._staging, ignore_errors=True)

    def _let_go(self) -> None:
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1
