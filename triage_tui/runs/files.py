"""Reading and writing files of the run record: atomic, bounded, never outside their directory."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.text import safe_line

_thread = threading.local()


@contextmanager
def can_be_made_again() -> Iterator[None]:
    """Within, this thread waits for no disk: what is written can be made again after a crash of the machine.

    A crash may leave it empty, or of an older content. Whoever uses this must see that.
    """
    before = waits_for_disk()
    _thread.waits = False
    try:
        yield
    finally:
        _thread.waits = before


def waits_for_disk() -> bool:
    """Tell whether what this thread writes is to be on the disk before it goes on."""
    return getattr(_thread, "waits", True)


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Replace `path` by a file holding `data`: a reader finds the old bytes or the new, never a mixture.

    The data is on disk before the name moves (fsync of the file, then rename(2), then fsync of the
    directory), so that a crash of the machine keeps the promise too.
    """
    # Only here: who reads a run needs none of it, nor of what it imports.
    import tempfile

    raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if waits_for_disk():
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_all(handle: int, data: bytes) -> None:
    """Write all of `data` to an open file; where there is room for a part only, that part is written.

    Raises:
        OSError: there is no room.
    """
    while data:
        data = data[os.write(handle, data) :]


def sync_directory(path: Path) -> None:
    """Make the names in directory `path` durable."""
    if not waits_for_disk():
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_bounded(path: Path, limit: int, *, tail: bool = False, whole: bool = False, at: int = 0) -> bytes:
    """Return at most `limit` bytes of the regular file `path`, its end if `tail`, else from the offset `at`.

    Opens without following a final symbolic link and without blocking on a FIFO or device, because run
    directories may come from elsewhere.

    Raises:
        TriageError: not a regular file, unreadable, or (if `whole`) longer than `limit`.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise TriageError(f"cannot read {safe_line(str(path))}: {error.strerror}") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise TriageError(f"{safe_line(str(path))} is not a regular file, so it was not read")
    with os.fdopen(handle, "rb") as stream:
        if whole and status.st_size > limit:
            raise TriageError(
                f"{safe_line(str(path))} holds {status.st_size} bytes, more than the {limit} read here"
            )
        try:
            if tail and status.st_size > limit:
                stream.seek(status.st_size - limit)
            elif at:
                stream.seek(at)
            return stream.read(limit)
        except OSError as error:
            # A bad disk, a server that is gone, or a file that the kernel makes up.
            raise TriageError(f"cannot read {safe_line(str(path))}: {error.strerror}") from error


def refuse_link(*paths: Path) -> None:
    """Refuse to write below directories that are links: in a directory from elsewhere they may lead anywhere.

    Raises:
        TriageError: one is a link.
    """
    for path in paths:
        if path.is_symlink():
            raise TriageError(
                f"{safe_line(str(path))} is a link, which may lead anywhere, so nothing was written:"
                " put a directory in its place"
            )


def real_path(path: Path) -> Path:
    """Return `path` without links. Links in a circle stay as they are: opening them says what is wrong."""
    return Path(os.path.realpath(path))


def inside(root: Path, name: str) -> Path:
    """Return the path of `name` below `root`, resolved.

    Raises:
        TriageError: `name` is absolute, climbs with "..", holds a NUL, or a link on the way leads outside.
    """
    parts = Path(name).parts
    if not name or "\0" in name or name.startswith("/") or ".." in parts:
        raise TriageError(f"the name {safe_line(name)!r} leaves its directory, so it was refused")
    base = real_path(root)
    resolved = real_path(base / name)
    if not resolved.is_relative_to(base):
        raise TriageError(
            f"the name {safe_line(name)!r} leads out of {safe_line(str(root))}, so it was refused"
        )
    return resolved
