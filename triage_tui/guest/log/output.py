"""Read what the guest prints, and keep a bounded part of it: its first half and its last half."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping

_READ_SIZE = 65536


class OutputBuffer:
    """The first and the last bytes of a stream; what is between is counted only."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0
        """Bytes printed in all."""

    def add(self, data: bytes) -> None:
        """Append `data`."""
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data:
            return
        self._tail.append(data)
        self._tail_size += len(data)
        while self._tail_size - len(self._tail[0]) >= self._half:
            self._tail_size -= len(self._tail.popleft())

    def content(self) -> bytes:
        """Return what is kept; a gap is marked with its size."""
        tail = b"".join(self._tail)[-self._half :]
        left_out = self.total - len(self._head) - len(tail)
        gap = b"\n[... %d bytes left out ...]\n" % left_out if left_out else b""
        return bytes(self._head) + gap + tail


class GuestOutput:
    """The pipes behind the guest's stdout and stderr, and what is kept of each and of both together."""

    def __init__(self, names: Iterable[str], limit: int, on_text: Callable[[str], None]) -> None:
        """`names` are those of the streams, `limit` bytes are kept of each; `on_text` is told all of it."""
        self.both = OutputBuffer(limit)
        """In the order of arrival."""
        self.streams = {name: OutputBuffer(limit) for name in names}
        self.pipes: dict[int, str] = {}
        """Read end -> name of the stream."""
        self._on_text = on_text

    def continue_after(self, streams: Mapping[str, bytes], both: bytes, totals: Mapping[str, int]) -> None:
        """Have what is kept begin with what an earlier run printed; `totals` are the bytes of its streams."""
        for name, buffer in self.streams.items():
            buffer.add(streams.get(name, b""))
            buffer.total = max(buffer.total, totals.get(name, 0))
        self.both.add(both)
        self.both.total = max(self.both.total, sum(totals.values()))

    def read(self, fd: int) -> bool:
        """Take what is in one pipe; False when it has ended.

        One read holds all that a pipe can, and a guest that prints without end must not keep us here.
        """
        try:
            data = os.read(fd, _READ_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data:
            self.both.add(data)
            self.streams[self.pipes[fd]].add(data)
            self._on_text(data.decode("utf-8", "backslashreplace"))
        return bool(data)

    def read_all(self) -> None:
        """Take what is in every pipe."""
        for fd in self.pipes:
            self.read(fd)

    def close(self) -> None:
        """Take the rest and close the pipes."""
        self.read_all()
        for fd in self.pipes:
            with contextlib.suppress(OSError):
                os.close(fd)
        self.pipes.clear()
