"""The part of a long log that is of the time of a run, found by halving: most logs rise in time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from triage_tui.runs.files import read_bounded

PART = 4 << 20
"""Bytes that are read from the place that was found."""
_PROBE = 64 << 10
_FURTHER = 4
"""Probes one behind the other that may be without a time."""

IsBefore = Callable[[bytes], bool | None]
"""Whether the first time in some lines is before what is looked for; None where there is none."""


class Part(msgspec.Struct):
    """What was read of a file."""

    raw: bytes
    """Whole lines where `unread` is not 0."""
    unread: int = 0
    """Bytes of the file that were not read."""


def read_end(path: Path, most: int) -> Part:
    """Return the end of a file.

    Raises:
        TriageError: it cannot be read.
    """
    raw = read_bounded(path, most + 1, tail=True)
    if len(raw) <= most:
        return Part(raw)
    whole = raw[raw.find(b"\n") + 1 :]
    return Part(whole, max(0, size_of(path) - len(whole)))


def read_from(path: Path, is_before: IsBefore) -> Part | None:
    """Return some of a file from where what is looked for begins; None where no time tells where that is.

    Raises:
        TriageError: it cannot be read.
    """
    size = size_of(path)
    low, high = 0, size
    while high - low > _PROBE:
        middle = (low + high) // 2
        before = _probe(path, middle, high, is_before)
        if before is None:
            return None
        low, high = (middle, high) if before else (low, middle)
    raw = read_bounded(path, PART, at=low)
    begin = raw.find(b"\n") + 1 if low else 0
    end = raw.rfind(b"\n") + 1 if low + len(raw) < size else len(raw)
    return Part(raw[begin:end], max(0, size - max(0, end - begin)))


def _probe(path: Path, at: int, end: int, is_before: IsBefore) -> bool | None:
    for number in range(_FURTHER):
        start = at + number * _PROBE
        if start >= end:
            # Behind the last time of what is left.
            return False
        raw = read_bounded(path, _PROBE, at=start)
        before = is_before(raw[raw.find(b"\n") + 1 : raw.rfind(b"\n") + 1])
        if before is not None:
            return before
    return None


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 where it cannot be told."""
    with contextlib.suppress(OSError):
        return os.stat(path, follow_symlinks=False).st_size
    return 0
