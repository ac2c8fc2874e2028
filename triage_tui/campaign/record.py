"""Writing and reading the directory of a campaign.

One process at a time writes it, and holds flock(2) on the directory for as long; whoever reads needs no lock.
The directory may come from elsewhere: reading is bounded, and what cannot be read is named and passed over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from triage_tui.campaign.model import VERSION, Campaign, CampaignState, Progress, Target
from triage_tui.errors import Conflict, TriageError
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import read_bounded, sync_directory, write_all, write_atomic
from triage_tui.runs.ids import is_run_id, new_run_id
from triage_tui.runs.writer import encode_json
from triage_tui.text import number_of, safe_line

DIRECTORY = "campaigns"
CAMPAIGN_FILE = "campaign.json"
TARGETS_FILE = "targets.jsonl"
PROGRESS_FILE = "progress.jsonl"
MAX_CAMPAIGN_BYTES = 4 << 20
MAX_TARGETS_BYTES = 256 << 20
MAX_PROGRESS_BYTES = 1 << 30
MAX_LINE_BYTES = 1 << 20
"""Longer lines are passed over."""
_MAX_RUNS = 1000
_SHOWN_PROBLEMS = 20

_Line = TypeVar("_Line", Target, Progress)


def campaigns_dir(workspace: Path) -> Path:
    """Return the directory of the campaigns of a workspace."""
    return workspace / DIRECTORY


def campaign_ids(workspace: Path) -> list[str]:
    """Return the ids of the campaigns of a workspace, the newest first."""
    try:
        with os.scandir(campaigns_dir(workspace)) as entries:
            found = [entry.name for entry in entries if is_run_id(entry.name)]
    except OSError:
        return []
    return sorted(found, reverse=True)


def campaign_dir(workspace: Path, name: str) -> Path:
    """Return the directory of a campaign, given its id, a unique ending of it, or "last".

    Raises:
        TriageError: there is no such campaign, or several.
    """
    found = campaign_ids(workspace)
    if not found:
        raise TriageError(
            f"there is no campaign in {safe_line(str(workspace))} yet: begin one with `triage-tui campaign`"
        )
    if name == "last":
        return campaigns_dir(workspace) / found[0]
    matching = [one for one in found if one == name] or [one for one in found if name and one.endswith(name)]
    if len(matching) == 1:
        return campaigns_dir(workspace) / matching[0]
    if matching:
        raise TriageError(f"{len(matching)} campaigns end in {safe_line(name, 40)!r}: give more of the id")
    raise TriageError(
        f"there is no campaign {safe_line(name, 60)!r} in {safe_line(str(workspace))}:"
        f" the newest is {found[0]}"
    )


def create(workspace: Path, campaign: Campaign, targets: Iterable[Target]) -> Path:
    """Write a new campaign under an id of its own, which `campaign` gets, and return its directory.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    place = campaigns_dir(workspace)
    campaign.id = new_run_id(place)
    staging = place / f".tmp-{campaign.id}"
    try:
        write_atomic(staging / TARGETS_FILE, b"".join(encode_line(one) + b"\n" for one in targets))
        write_atomic(staging / PROGRESS_FILE, b"")
        write_atomic(staging / CAMPAIGN_FILE, encode_json(campaign))
        os.rename(staging, place / campaign.id)
        sync_directory(place)
    except BaseException:
        for path in staging.glob("*"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            staging.rmdir()
        raise
    return place / campaign.id


def write_campaign(directory: Path, campaign: Campaign) -> None:
    """Replace `campaign.json` atomically."""
    write_atomic(directory / CAMPAIGN_FILE, encode_json(campaign))


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Be the one process that works on a campaign.

    Raises:
        Conflict: another one does.
        TriageError: the directory cannot be opened.
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise TriageError(f"cannot open campaign {directory.name}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"campaign {directory.name} is at work in another process, so nothing was begun"
            ) from None
        yield
    finally:
        os.close(handle)


def is_held(directory: Path) -> bool:
    """Tell whether a process works on a campaign now."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


class ProgressLog:
    """`progress.jsonl`, open for appending: each line is whole, or not there."""

    def __init__(self, directory: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self._handle = os.open(directory / PROGRESS_FILE, flags, 0o644)
        except OSError as error:
            raise TriageError(
                f"cannot write the progress of campaign {directory.name}: {error.strerror}"
            ) from error
        try:
            status = os.fstat(self._handle)
            if not stat.S_ISREG(status.st_mode):
                raise TriageError(f"the progress of campaign {directory.name} is no regular file")
            if status.st_size and os.pread(self._handle, 1, status.st_size - 1) != b"\n":
                # A writer that died left half a line: end it, so that ours stands on its own.
                write_all(self._handle, b"\n")
        except BaseException:
            os.close(self._handle)
            raise

    def add(self, progress: Progress) -> None:
        """Append one line; all but `started` is on the disk when this returns.

        Raises:
            OSError: there is no room; the file is as it was.
        """
        size = os.fstat(self._handle).st_size
        line = encode_line(progress) + b"\n"
        try:
            write_all(self._handle, line)
            if progress.event != "started":
                os.fdatasync(self._handle)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, size)
            raise OSError(error.errno or errno.EIO, error.strerror) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def read_campaign(directory: Path, before: CampaignState | None = None) -> CampaignState:
    """Read a campaign, finished or at work; with `before`, an earlier reading, only what came since.

    Raises:
        TriageError: there is no campaign, or `campaign.json` is damaged or of a newer version.
    """
    campaign = _campaign(directory)
    problems: list[str] = []
    if before is not None and before.dir == directory and before.targets:
        targets, last, offset = before.targets, before.last, before.offset
        problems += before.problems
    else:
        raw, end = _lines_from(directory / TARGETS_FILE, 0, MAX_TARGETS_BYTES, problems)
        targets, last, offset = _parse(raw, Target, TARGETS_FILE, problems), {}, 0
        # It is written whole: what follows the last line was cut, and more may be gone.
        if _size(directory / TARGETS_FILE) > end:
            problems.append(f"{TARGETS_FILE} was cut: targets are missing")
    raw, offset = _lines_from(directory / PROGRESS_FILE, offset, MAX_PROGRESS_BYTES, problems)
    events = _parse(raw, Progress, PROGRESS_FILE, problems)
    if events:
        strangers = {event.target for event in events} - {one.target for one in targets}
        if strangers:
            told = number_of(len(strangers), "target")
            problems.append(f"{PROGRESS_FILE} tells of {told} that {TARGETS_FILE} does not have")
        last = {**last, **{event.target: _believed(event) for event in events}}
    return CampaignState(
        dir=directory,
        campaign=campaign,
        targets=targets,
        last=last,
        problems=problems[:_SHOWN_PROBLEMS],
        running=is_held(directory),
        offset=offset,
    )


def _campaign(directory: Path) -> Campaign:
    raw = read_bounded(directory / CAMPAIGN_FILE, MAX_CAMPAIGN_BYTES, whole=True)
    try:
        campaign = msgspec.json.decode(raw, type=Campaign)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TriageError(
            f"{CAMPAIGN_FILE} of campaign {safe_line(directory.name, 60)} is damaged:"
            f" {safe_line(str(error), 200)}"
        ) from None
    if campaign.schema_version > VERSION:
        raise TriageError(
            f"campaign {safe_line(directory.name, 60)} was written by a newer version of triage-tui"
        )
    return campaign


def _size(path: Path) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except OSError:
        return 0


def _lines_from(path: Path, offset: int, limit: int, problems: list[str]) -> tuple[bytes, int]:
    """Return the whole lines of a file from `offset` on, and where they end: the next is being written."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise TriageError(f"{safe_line(str(path))} is not a regular file, so it was not read")
            stream.seek(offset)
            raw = stream.read(limit)
    except OSError as error:
        problems.append(f"cannot read {safe_line(str(path))}: {error.strerror}")
        return b"", offset
    except TriageError as error:
        problems.append(str(error))
        return b"", offset
    whole = raw[: raw.rfind(b"\n") + 1]
    return whole, offset + len(whole)


def _parse(raw: bytes, kind: type[_Line], name: str, problems: list[str]) -> list[_Line]:
    decoder = msgspec.json.Decoder(kind)
    found: list[_Line] = []
    bad = 0
    for line in raw.split(b"\n"):
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ValueError
            found.append(decoder.decode(line))
        except (ValueError, RecursionError):
            # A DecodeError of msgspec, and text that is no UTF-8, are ValueErrors.
            bad += 1
    if bad:
        problems.append(
            f"{number_of(bad, 'line')} of {name} cannot be read and {'was' if bad == 1 else 'were'}"
            " passed over"
        )
    return found


def _believed(event: Progress) -> Progress:
    """Return an event without runs whose names are none: they become paths."""
    if event.outcome is not None:
        event.outcome.runs = [run for run in event.outcome.runs[:_MAX_RUNS] if is_run_id(run)]
    return event
