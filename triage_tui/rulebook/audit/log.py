"""The audit log of a workspace's rules: append-only, one JSON object a line, each bound to the one before it.

    rulebook/.audit/log.jsonl     one `Entry` a line; `prev` is the SHA-256 of the line before
    rulebook/.audit/head.json     how many lines there are, how many bytes, and the SHA-256 of the last one

A changed, removed or moved line breaks the chain; lines that were cut off at the end are missed by the head.
Who can write both files can write both anew: note the digest of the last line elsewhere, and
`audit_check.check` tells later whether the log still holds everything that it held then. A program that is
killed while it writes leaves half a line, or a head that is one line behind: neither looks like tampering.

Writers hold flock(2) on the log, so that of two at once each gets a line of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.clock import local_time
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import read_bounded, refuse_link, sync_directory, write_all, write_atomic
from triage_tui.runs.record import Record
from triage_tui.text import safe_line

AUDIT_DIR = ".audit"
"""In the rulebook; no target's directory can begin with a dot."""
LOG_FILE, HEAD_FILE = "log.jsonl", "head.json"

MAX_LOG_BYTES = 256 << 20
MAX_LINE_BYTES = 1 << 20
MAX_HEAD_BYTES = 4096
MAX_RULES = 512
"""Rules that one line names; of a generation with more, its digest stands for them."""
MAX_TEXT = 1000


class Entry(Record, kw_only=True):
    """One decision.

    `kind` is that of an event of a run (see `runs.events`), or one of `OWN_KINDS`; `says` is the reason
    or what was decided; `rules` maps names of rule files to the SHA-256 of what was decided on; `before`
    and `after` are the generations that were active, 0 for none, None where no generation changed;
    `digest` is that of the generation `after`, or of a rollout as it was decided; `source` is the SHA-256
    of the line of the run's event log that this tells of; `change` names the change of the rulebook that
    this announces. `mended` counts the bytes of half a line that a killed program left in front of this
    one. The first line has number 1.
    """

    number: int = 0
    wall: str = ""
    kind: str
    actor: str
    says: str = ""
    run: str = ""
    target: str = ""
    rules: dict[str, str] = {}
    before: int | None = None
    after: int | None = None
    digest: str = ""
    source: str = ""
    change: str = ""
    mended: int = 0
    prev: str = ""


Activation = Literal["activated", "expired", "renewed"]
"""Kinds of lines that announce a new generation: "expired" sets rules aside whose evidence is gone, "renewed"
makes such rules active again."""
MOVES = (*get_args(Activation), "rolled_back")
"""Kinds of lines after which another generation is active."""

ROLLOUT_KINDS = ("rollout_started", "promoted", "stopped", "rollout_done")
"""Kinds of the steps of a rollout."""
OBSERVED = "observed"
"""Kind of a line about a run that a rollout tried its rule at."""

OWN_KINDS = (
    *MOVES, "withdrawn", "imported", "exported", "trusted", "distrusted", "own_files",
    *ROLLOUT_KINDS, OBSERVED,
)  # fmt: skip
"""Kinds that do not come from a run's event log. "withdrawn" takes back a change that was announced and then
interrupted before it took place."""


class Head(Record):
    """What is known of the end of the log; `digest` is "" for an empty one."""

    lines: int
    size: int
    digest: str


class Line(NamedTuple):
    """One line as it is on disk; `entry` None: it cannot be read."""

    raw: bytes
    entry: Entry | None

    @property
    def digest(self) -> str:
        """What the next line has as its `prev`."""
        return digest_of(self.raw)


_decoder = msgspec.json.Decoder(Entry)


def digest_of(line: bytes) -> str:
    """Return the SHA-256 of a line without its end."""
    return hashlib.sha256(line).hexdigest()


def log_path(rulebook: Path) -> Path:
    """Return where the log of a rulebook lies."""
    return rulebook / AUDIT_DIR / LOG_FILE


def parse_line(raw: bytes) -> Line:
    """Return a line of the log."""
    try:
        return Line(raw, _decoder.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Line(raw, None)


def read_log(rulebook: Path) -> tuple[list[Line], bytes]:
    """Return the whole lines of the log, and the bytes after the last line end; nothing where none is.

    Raises:
        TriageError: it cannot be read, or is longer than `MAX_LOG_BYTES`.
    """
    path = log_path(rulebook)
    if not os.path.lexists(path):
        return [], b""
    *whole, rest = read_bounded(path, MAX_LOG_BYTES, whole=True).split(b"\n")
    return [parse_line(raw) for raw in whole], rest


def read_head(rulebook: Path) -> Head | None:
    """Return what the head says, None where there is none.

    Raises:
        TriageError: it is damaged.
    """
    path = rulebook / AUDIT_DIR / HEAD_FILE
    if not os.path.lexists(path):
        return None
    try:
        return msgspec.json.decode(read_bounded(path, MAX_HEAD_BYTES, whole=True), type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TriageError(f"{safe_line(str(path))} is damaged: {safe_line(str(error), 200)}") from None


class Writer:
    """The log while it is locked for writing."""

    def __init__(self, rulebook: Path, handle: int) -> None:
        self._rulebook = rulebook
        self._handle = handle

    def sources_of(self, run: str) -> set[str]:
        """Return the `source` of every line about a run."""
        size = os.fstat(self._handle).st_size
        if size > MAX_LOG_BYTES:
            raise TriageError(f"the audit log is longer than {MAX_LOG_BYTES} bytes: move {AUDIT_DIR} away")
        raw = os.pread(self._handle, size, 0)
        return {entry.source for entry in _entries_with(raw, "run", run) if entry.run == run}

    def mend_head(self) -> None:
        """Bring a head up to date that a killed program left one line behind."""
        size = os.fstat(self._handle).st_size
        head = read_head(self._rulebook)
        if size == (head.size if head is not None else 0):
            return
        last, rest = self._end(size)
        known = head or Head(lines=0, size=0, digest="")
        entry = last.entry if last is not None else None
        if last is None or entry is None or entry.number != known.lines + 1 or entry.prev != known.digest:
            return
        head = Head(lines=entry.number, size=size - len(rest), digest=last.digest)
        write_head(self._rulebook, head)

    def _end(self, size: int) -> tuple[Line | None, bytes]:
        """Return the last whole line, and the bytes after its end."""
        tail = os.pread(self._handle, 2 * MAX_LINE_BYTES, max(0, size - 2 * MAX_LINE_BYTES))
        whole, end, rest = tail.rpartition(b"\n")
        return (parse_line(whole.rpartition(b"\n")[2]) if end else None), rest

    def append(self, entry: Entry) -> Entry:
        """Write one line, durably, and return it with what it got: its number, time and place in the chain.

        Raises:
            TriageError: it could not be written; the log is as it was.
        """
        size = os.fstat(self._handle).st_size
        last, rest = self._end(size)
        whole = size - len(rest)
        head = read_head(self._rulebook)
        number = last.entry.number if last is not None and last.entry is not None else 0
        prev = last.digest if last is not None else ""
        if head is not None and not _ends_with(last, head):
            # It was cut or changed. Going on from the line that was there keeps that visible for ever.
            number, prev = max(number, head.lines), head.digest
        line = msgspec.structs.replace(
            entry,
            number=number + 1,
            wall=local_time("milliseconds"),
            says=entry.says[:MAX_TEXT],
            rules=entry.rules if len(entry.rules) <= MAX_RULES else {},
            mended=len(rest),
            prev=prev,
        )
        raw = encode_line(line)
        if len(raw) >= MAX_LINE_BYTES:
            raise TriageError(f"a line of {len(raw)} bytes is too long for the audit log")
        self._write(raw, whole)
        try:
            head = Head(lines=line.number, size=whole + len(raw) + 1, digest=digest_of(raw))
            write_head(self._rulebook, head)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, whole)
            raise _cannot(self._rulebook, error) from error
        return line

    def _write(self, raw: bytes, whole: int) -> None:
        """Put a line after the last whole one."""
        try:
            os.ftruncate(self._handle, whole)
            write_all(self._handle, raw + b"\n")
            os.fsync(self._handle)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, whole)
            raise _cannot(self._rulebook, error) from error


def announcement(rulebook: Path, change: str) -> Entry | None:
    """Return the line that announces a change of the rulebook, None where none does, or one takes it back.

    Raises:
        TriageError: the log cannot be read.
    """
    path = log_path(rulebook)
    if not change or not os.path.lexists(path):
        return None
    raw = read_bounded(path, MAX_LOG_BYTES, whole=True)
    found = [entry for entry in _entries_with(raw, "change", change) if entry.change == change]
    return found[0] if found and all(entry.kind != "withdrawn" for entry in found) else None


def latest(rulebook: Path, kind: str, target: str) -> Entry | None:
    """Return the last line of a kind about a target, None where there is none.

    Raises:
        TriageError: the log cannot be read.
    """
    path = log_path(rulebook)
    if not os.path.lexists(path):
        return None
    raw = read_bounded(path, MAX_LOG_BYTES, whole=True)
    found = [one for one in _entries_with(raw, "kind", kind) if one.kind == kind and one.target == target]
    return found[-1] if found else None


def _entries_with(raw: bytes, key: str, value: str) -> Iterator[Entry]:
    """Yield the entries of the lines that hold a key with a value, without reading the others."""
    # Quotes inside of texts are escaped in JSON, so this stands nowhere but at a key.
    wanted = msgspec.json.encode(key) + b":" + msgspec.json.encode(value)
    at = raw.find(wanted)
    while at >= 0:
        start, end = raw.rfind(b"\n", 0, at) + 1, raw.find(b"\n", at)
        end = len(raw) if end < 0 else end
        entry = parse_line(raw[start:end]).entry
        if entry is not None:
            yield entry
        at = raw.find(wanted, end)


def _ends_with(last: Line | None, head: Head) -> bool:
    """Tell whether the last line is the one that the head knows, or the next after it."""
    if last is None or last.entry is None:
        return head.lines == 0
    if last.entry.number == head.lines:
        return last.digest == head.digest
    return last.entry.number == head.lines + 1 and last.entry.prev == head.digest


def write_head(rulebook: Path, head: Head) -> None:
    """Replace the head, atomically."""
    write_atomic(rulebook / AUDIT_DIR / HEAD_FILE, encode_line(head) + b"\n")


@contextmanager
def writing(rulebook: Path) -> Iterator[Writer]:
    """Hold the log for writing; it is made where there is none.

    Raises:
        TriageError: it cannot be opened.
    """
    path = log_path(rulebook)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    refuse_link(path.parent)
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_directory(rulebook)
        handle = os.open(path, flags, 0o644)
    except OSError as error:
        raise _cannot(rulebook, error) from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise TriageError(f"{safe_line(str(path))} is no regular file, so nothing was decided")
        fcntl.flock(handle, fcntl.LOCK_EX)
        for leftover in path.parent.glob(f".{HEAD_FILE}.*.tmp"):
            # Of a killed program: nobody else writes now.
            leftover.unlink(missing_ok=True)
        log = Writer(rulebook, handle)
        log.mend_head()
        yield log
    finally:
        os.close(handle)


def append(rulebook: Path, entry: Entry) -> Entry:
    """Write one line; see `Writer.append`."""
    with writing(rulebook) as log:
        return log.append(entry)


def _cannot(rulebook: Path, error: OSError) -> TriageError:
    where = safe_line(str(log_path(rulebook)))
    return TriageError(f"the audit log {where} cannot be written: {error.strerror or error}")
