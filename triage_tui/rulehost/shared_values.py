"""What the rules of one run keep for each other, by value and bounded."""

from __future__ import annotations


class SharedValues:
    """What the rules of one run keep for each other: it outlives a rule host that had to be restarted."""

    def __init__(self, most_bytes: int, most_keys: int) -> None:
        """Hold at most `most_bytes` of keys and values under at most `most_keys` keys."""
        self._values: dict[bytes, bytes] = {}
        self._most_bytes, self._most_keys = most_bytes, most_keys
        self._bytes = 0

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, None when there is none."""
        return self._values.get(key)

    def set(self, key: bytes, value: bytes) -> bool:
        """Keep `value`, empty to forget the key; False when there is no room (the old value stays)."""
        old = self._values.get(key)
        if not value:
            if old is not None:
                del self._values[key]
                self._bytes -= len(key) + len(old)
            return True
        grown = self._bytes + len(value) - len(old or b"") + (len(key) if old is None else 0)
        if grown > self._most_bytes or (old is None and len(self._values) >= self._most_keys):
            return False
        self._values[key], self._bytes = value, grown
        return True
