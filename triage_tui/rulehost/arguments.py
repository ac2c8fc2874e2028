"""The arguments of a rule's request, which come from a process that counts as hostile."""

from __future__ import annotations

from collections.abc import Iterator

PATH_MAX = 4096
_LABEL_MAX = 200
"""Longest label of a descriptor; the name of a file in memory may have 249 bytes, memfd_create(2)."""


class BadRequest(Exception):
    """The request's arguments are not what the method takes."""


class Arguments:
    """The arguments of one request, taken one after the other and checked."""

    def __init__(self, values: tuple[int | bytes, ...]) -> None:
        self._values = iter(values)

    def any(self) -> int | bytes:
        """Return the next argument, whatever it is."""
        try:
            return next(self._values)
        except StopIteration:
            raise BadRequest from None

    def rest(self) -> Iterator[int | bytes]:
        """Return all arguments that were not taken yet."""
        return self._values

    def integer(self, low: int = -(1 << 63), high: int = (1 << 64) - 1) -> int:
        """Return the next argument, an integer in low..high."""
        value = self.any()
        if not isinstance(value, int) or not low <= value <= high:
            raise BadRequest
        return value

    def data(self, limit: int) -> bytes:
        """Return the next argument, at most `limit` bytes."""
        value = self.any()
        if not isinstance(value, bytes) or len(value) > limit:
            raise BadRequest
        return value

    def label(self) -> bytes:
        """Return the next argument, the label of a private file: without NUL, empty for none."""
        label = self.data(_LABEL_MAX)
        if b"\0" in label:
            raise BadRequest
        return label

    def guest_path(self) -> bytes:
        """Return the next argument, an absolute guest path without NUL and without `..`."""
        path = self.data(PATH_MAX)
        if not path.startswith(b"/") or b"\0" in path or b".." in path.split(b"/"):
            raise BadRequest
        return path
