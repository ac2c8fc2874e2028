"""How a start of a campaign ends, in words that say how it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.campaign.model import Options
from triage_tui.campaign.place import is_full
from triage_tui.runs.limits import show_size
from triage_tui.text import number_of, safe_line

How = Literal["done", "cancelled", "limit", "disk", "scheduler"]
"""How a start of a campaign ended: every target was given out; a person stopped it; a limit of the whole; the
disk is full; the scheduler, or its last worker, is gone."""


class Ended(msgspec.Struct, frozen=True):
    """How a start ended, and one sentence about it."""

    how: How
    says: str


def cancelled(by: str, left: int) -> Ended:
    """Return the end by a person or a signal; `left` targets are not through."""
    return Ended("cancelled", f"{by or 'a person'} stopped it, {_left(left)}")


def limit_reached(options: Options, seconds: float, size: int, left: int) -> Ended | None:
    """Return the end by a limit of the whole, None where none is reached.

    `seconds` is how long this start has been at work, `size` how many bytes the runs of the campaign take.
    """
    if options.total_s and seconds > options.total_s:
        return Ended(
            "limit", f"the limit of {options.total_s:g} s for the campaign is reached, {_left(left)}"
        )
    if options.disk_bytes and size >= options.disk_bytes:
        most = show_size(options.disk_bytes)
        return Ended("limit", f"the limit of {most} for the runs of the campaign is reached, {_left(left)}")
    return None


def disk_is_full(root: Path, error: OSError | None = None) -> Ended:
    """Return the end because nothing more can be written in a workspace, for want of room by default."""
    where = safe_line(str(root), 200)
    if error is not None and not is_full(error):
        said = f"{where} cannot be written ({error.strerror or error})"
        return Ended("disk", f"{said}: mend that, and say the same command again")
    return Ended("disk", f"the disk of {where} is full: make room, and say the same command again")


def scheduler_gone(left: int) -> Ended:
    """Return the end because the scheduler does not come back."""
    said = f"the scheduler is gone, {number_of(left, 'target')} left"
    return Ended("scheduler", f"{said}: start it, and say the same command again")


def scheduler_silent(left: int) -> Ended:
    """Return the end because the scheduler is there and does not answer."""
    said = f"the scheduler does not answer, {number_of(left, 'target')} left"
    return Ended("scheduler", f"{said}: start it anew, and say the same command again")


def workers_full(count: int, left: int) -> Ended:
    """Return the end because no worker has room for what it plays."""
    said = f"the disk of {'the worker' if count == 1 else f'all {count} workers'} is full"
    return Ended(
        "disk", f"{said}, {number_of(left, 'target')} left: make room, and say the same command again"
    )


def _left(count: int) -> str:
    return f"{number_of(count, 'target')} left; the same command goes on with them"
