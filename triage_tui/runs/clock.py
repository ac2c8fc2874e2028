"""The time that records and logs carry."""

from __future__ import annotations

from datetime import datetime
from typing import Literal


def local_time(precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """Return the local time with its distance to UTC, ISO 8601."""
    return datetime.now().astimezone().isoformat(timespec=precision)
