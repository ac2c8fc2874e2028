"""Keep a bounded part of what the guest prints: its first half and its last half."""

from __future__ import annotations

from collections import deque


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
