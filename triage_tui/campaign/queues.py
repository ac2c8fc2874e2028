"""Queues between the threads of a campaign."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


def emptied(one: queue.SimpleQueue[T]) -> Iterator[T]:
    """Yield what is in a queue now, and wait for nothing."""
    while True:
        try:
            yield one.get_nowait()
        except queue.Empty:
            return
