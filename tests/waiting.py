"""Wait in tests for what can be seen only by looking again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 120.0
"""Longer than anything takes that comes at all, on the slowest of machines with others at work beside it."""


def wait_until(condition: Callable[[], object], what: Callable[[], object] = lambda: "") -> None:
    """Return as soon as `condition` holds; fail, with what `what` says then, when it does not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"this did not come: {what() or condition}"
        time.sleep(0.01)
