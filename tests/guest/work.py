"""How much work something does, counted in Python's function calls: the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class TooMuchWorkError(AssertionError):
    """More calls than allowed."""


def within(limit: int, do: Callable[[], T]) -> T:
    """Return what `do` returns.

    Raises:
        TooMuchWorkError: it makes more than `limit` calls of Python functions and built-in ones.
    """
    made = 0

    def count(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal made
        made += event in ("call", "c_call")
        if made > limit:
            sys.setprofile(None)
            raise TooMuchWorkError(f"more than {limit} calls")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return do()
    finally:
        sys.setprofile(before)
