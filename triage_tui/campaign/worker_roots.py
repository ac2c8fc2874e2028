"""The root file systems that a worker elsewhere keeps, by content hash: sent once, used by many targets.

    <cache>/campaign-roots/<sha256>/root/       an unpacked root; flock(2) on the directory: in use
    <cache>/campaign-roots/<sha256>/bytes       what it takes
    <cache>/campaign-roots/<sha256>.pack        one that came and is not unpacked yet

`$TRIAGE_TUI_ROOTS` names another directory, `$TRIAGE_TUI_ROOTS_SIZE` what they may take together (default
20G). The longest unused go first, and none that is in use.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage_tui.campaign.place import is_full
from triage_tui.campaign.roots import remove_tree, unpack_root
from triage_tui.errors import TriageError
from triage_tui.resources import cache_dir
from triage_tui.runs.files import inside
from triage_tui.runs.limits import parse_size
from triage_tui.runs.writer import remove_abandoned

_HASH = re.compile(r"[0-9a-f]{64}")
_USUAL_SIZE = "20G"
_BYTES = "bytes"
_BLOCK = 4096
_ABANDONED_S = 3600.0
FULL = -1
"""What is answered for a piece for which there is no room."""


def store() -> Path:
    """Return the directory of the roots."""
    named = os.environ.get("TRIAGE_TUI_ROOTS")
    return Path(named).absolute() if named else cache_dir() / "campaign-roots"


def root_of(sha256: str) -> Path | None:
    """Return the root of a hash, unpacked if it came packed; None where it has to be sent.

    Raises:
        TriageError: it is no hash, what came is not that root, or there is no room (its cause says so).
        OSError: there is no room.
    """
    place = _place(sha256)
    if not (place / "root").is_dir():
        packed = place.with_name(f"{sha256}.pack")
        try:
            handle = os.open(packed, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            # One unpacks it; the others of this machine wait, and find it there.
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not (place / "root").is_dir():
                if os.fstat(handle).st_nlink == 0:
                    return None
                _clear_up()
                root = unpack_root(packed, sha256, store())
                (place / _BYTES).write_text(str(_size(root)), encoding="ascii")
        finally:
            packed.unlink(missing_ok=True)
            os.close(handle)
        _make_room(keep=sha256)
    # The kernel's own clock for this ticks in milliseconds.
    now = time.time_ns()
    with contextlib.suppress(FileNotFoundError):
        os.utime(place, ns=(now, now))
        return place / "root"
    return None


@contextmanager
def in_use(sha256: str) -> Iterator[bool]:
    """Keep a root from being removed; gives whether it is there."""
    try:
        handle = os.open(_place(sha256), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield (_place(sha256) / "root").is_dir()
    finally:
        os.close(handle)


def receive(sha256: str, sender: str, offset: int, data: bytes, last: bool) -> int:
    """Take a piece of a packed root, and with the last one the whole; return how many bytes there are.

    `FULL` stands for a disk without room: nothing of the root is left then.

    Raises:
        TriageError: it is no hash.
        OSError: it cannot be written for another reason.
    """
    place = _place(sha256)
    store().mkdir(parents=True, exist_ok=True, mode=0o700)
    part = inside(store(), f".{sha256}-{sender}-{os.getpid()}")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if offset else os.O_TRUNC)
    try:
        handle = os.open(part, flags, 0o600)
        with os.fdopen(handle, "r+b") as stream:
            stream.seek(offset)
            stream.write(data)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if is_full(error):
            return FULL
        raise
    if last:
        os.replace(part, place.with_name(f"{sha256}.pack"))
    return offset + len(data)


def _place(sha256: str) -> Path:
    if not _HASH.fullmatch(sha256):
        raise TriageError("an order names no root file system by its hash")
    return store() / sha256


def _size(root: Path) -> int:
    found = 0
    for directory, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):
                # Blocks of what was just written may not be counted yet.
                found += -(-os.lstat(os.path.join(directory, name)).st_size // _BLOCK) * _BLOCK
    return found


def _clear_up() -> None:
    """Remove what killed workers left half unpacked or half removed, and roots that came by half."""
    for pattern in (".tmp-*", ".gone-*"):
        remove_abandoned(store(), pattern, remove_tree)
    for path in store().glob(".*-*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > _ABANDONED_S:
                path.unlink()


def _make_room(keep: str) -> None:
    """Remove the longest unused roots until the others take no more than they may."""
    most = parse_size(os.environ.get("TRIAGE_TUI_ROOTS_SIZE", _USUAL_SIZE))
    found: list[tuple[int, int, Path]] = []
    for path in store().iterdir():
        with contextlib.suppress(OSError, ValueError):
            if _HASH.fullmatch(path.name):
                found.append((path.lstat().st_mtime_ns, int((path / _BYTES).read_text("ascii")), path))
    taken = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if taken <= most:
            return
        if path.name != keep and _remove(path):
            taken -= size


def _remove(path: Path) -> bool:
    """Remove a root that nobody uses; whether that was so."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        # Another worker of this machine was quicker.
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        gone = path.with_name(f".gone-{path.name}-{os.getpid()}")
        os.rename(path, gone)
        remove_tree(gone)
        return True
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
