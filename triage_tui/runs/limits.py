"""How often and how much may be captured. Over a limit a run is brief and says so; nothing is deleted."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.ids import is_run_id
from triage_tui.text import safe_line

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d{1,12})\s*([kmgt]?)i?b?\Z", re.IGNORECASE)

_NUMBER = re.compile(r"[0-9]{1,12}\Z")

VARIABLES = {
    "per_minute": "TRIAGE_TUI_CAPTURES_PER_MINUTE",
    "capture_bytes": "TRIAGE_TUI_CAPTURE_SIZE",
    "disk_bytes": "TRIAGE_TUI_DISK",
}
"""Environment variables that set the limits, by field."""


BRIEF_LACKS = "the longer trace, code, memory and processes"
"""What a brief record says that it lacks, in `unavailable`."""


def parse_size(text: str) -> int:
    """Return the bytes that a text like "512", "64k", "500M" or "2GiB" means.

    Raises:
        TriageError: it is no such text.
    """
    found = _SIZE.match(text.strip())
    if found is None:
        raise TriageError(f"{safe_line(text, 40)!r} is no size: give bytes, or a number with k, M, G or T")
    return int(found[1]) * _UNITS[found[2].lower()]


def parse_rate(text: str) -> int:
    """Return the number of captures in a minute that a text means, 0 for no limit.

    Raises:
        TriageError: it is no such text.
    """
    if _NUMBER.match(text.strip()) is None:
        raise TriageError(f"{safe_line(text, 40)!r} is no number of captures: give 0 (no limit) or more")
    return int(text)


_MOST_SHOWN = 1 << 80
"""A larger number in a record is no size, and no float may hold it."""


def show_size(size: int) -> str:
    """Return a number of bytes for reading: "512 bytes", "64 kB", "1.5 GB" (of 1024)."""
    value, unit = float(max(0, min(size, _MOST_SHOWN))), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value >= 10 or value == int(value) else f"{value:.1f} {unit}"


class CaptureLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What captures may use. 0 is no limit."""

    per_minute: int = 60
    """Captures in a minute, in one directory of runs."""
    capture_bytes: int = 4 << 30
    """Bytes of one capture."""
    disk_bytes: int = 64 << 30
    """Bytes of all runs."""

    def __post_init__(self) -> None:
        """Refuse limits that are none.

        Raises:
            TriageError: one of them is negative.
        """
        if min(self.per_minute, self.capture_bytes, self.disk_bytes) < 0:
            raise TriageError("limits of captures must be 0 (none) or more")

    @classmethod
    def of(
        cls, given: Mapping[str, str | None], environment: Mapping[str, str] = os.environ
    ) -> CaptureLimits:
        """Return the limits that are given by field name, else in the environment, else the usual ones.

        Raises:
            TriageError: one of them is no number or size.
        """
        values: dict[str, int] = {}
        for field, variable in VARIABLES.items():
            read = parse_rate if field == "per_minute" else parse_size
            if (text := given.get(field)) is not None:
                values[field] = read(text)
            elif text := environment.get(variable):
                try:
                    values[field] = read(text)
                except TriageError as error:
                    raise TriageError(f"{variable}: {error}") from error
        return cls(**values)


class DiskUsage:
    """How much a directory of runs holds. A run that was counted is only looked at again when it changed."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._known: dict[str, tuple[int, int]] = {}

    def bytes(self) -> int:
        """Return the bytes of all runs on the disk, those that are being written included."""
        total = 0
        with suppress(OSError), os.scandir(self._runs_dir) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        total += self._size(entry)
        return total

    def _size(self, entry: os.DirEntry[str]) -> int:
        changed = entry.stat(follow_symlinks=False).st_mtime_ns
        known = self._known.get(entry.name)
        if known is None or known[0] != changed:
            known = self._known[entry.name] = (changed, tree_bytes(Path(entry.path)))
        return known[1]


def tree_bytes(directory: Path) -> int:
    """Return the bytes that a directory's files take on the disk; links are not followed."""
    total = 0
    places = [os.fspath(directory)]
    while places:
        with suppress(OSError), os.scandir(places.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        places.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def recent_captures(runs_dir: Path, now: float | None = None) -> int:
    """Return how many runs were begun within the last minute, by their ids."""
    end = time.time() if now is None else now
    first, last = (time.strftime("%Y%m%d_%H%M%S", time.localtime(at)) for at in (end - 60, end))
    try:
        names = os.listdir(runs_dir)
    except OSError:
        return 0
    return sum(is_run_id(name) and first < name[:15] <= last for name in names)


class Allowance(msgspec.Struct, frozen=True):
    """What the next capture may hold: `max_bytes`, or only what is needed most, for the reason `brief`."""

    max_bytes: int
    brief: str = ""


def allowance(limits: CaptureLimits, runs_dir: Path, usage: DiskUsage) -> Allowance:
    """Return what the next capture in `runs_dir` may hold."""
    most = limits.capture_bytes or 1 << 62
    if limits.per_minute and (count := recent_captures(runs_dir)) >= limits.per_minute:
        return Allowance(
            most, f"{count} captures were made within a minute, which is the limit of {limits.per_minute}"
        )
    if limits.disk_bytes:
        used = usage.bytes()
        if used >= limits.disk_bytes:
            return Allowance(
                most,
                f"all runs take {show_size(used)}, which is over the limit of "
                f"{show_size(limits.disk_bytes)}: remove old ones or raise it",
            )
        most = min(most, limits.disk_bytes - used)
    return Allowance(most)
