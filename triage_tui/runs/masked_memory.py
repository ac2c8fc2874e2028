"""Recorded memory with its secrets masked in place: what may leave the machine of it.

Whether bytes are a secret is often told by what stands before them, so that a piece is never looked at alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.errors import TriageError
from triage_tui.runs.evidence import Resolved, parse_address
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction

MAX_LEARNT_BYTES = 16 << 20
"""Bytes of memory objects in which secrets are looked for that may stand elsewhere in the run as well."""
AROUND = 512
"""Bytes before and behind a piece of kept memory that are looked at with it."""


def masked_object(run: Run, object_id: str, redaction: Redaction) -> tuple[bytes, list[int]]:
    """Return the bytes of a memory object with `*` for those of secrets, and the places of these.

    Raises:
        TriageError: there are none, they cannot be read, or not be masked.
    """
    data, spans = redaction.masked_bytes(run.memory_bytes(object_id))
    return data, [at for first, last in spans for at in range(first, last)]


def masked_memory(run: Run, found: Resolved, redaction: Redaction) -> tuple[bytes, list[int]]:
    """Return the same of the piece that a link to memory points to; no bytes when it cannot be masked."""
    link = found.link
    size = len(found.text.split())
    try:
        if (place := parse_address(link.id)) is None:
            data, hidden = masked_object(run, link.id, redaction)
            return _piece(data, hidden, link.offset or 0, size)
        pid, address = place
        return masked_at(run, address + (link.offset or 0), size, pid, redaction)
    except TriageError:
        return b"", []


def masked_at(
    run: Run, address: int, size: int, pid: int | None, redaction: Redaction
) -> tuple[bytes, list[int]]:
    """Return the same of kept memory at an address.

    Raises:
        TriageError: it was not kept, or cannot be masked.
    """
    before = next((n for n in (AROUND, 64, 16) if n <= address and _kept(run, address - n, n, pid)), 0)
    behind = next((n for n in (AROUND, 64, 16) if _kept(run, address + size, n, pid)), 0)
    whole = run.read_memory(address - before, before + size + behind, pid)
    data, spans = redaction.masked_bytes(whole)
    return _piece(data, [at for first, last in spans for at in range(first, last)], before, size)


def _kept(run: Run, address: int, size: int, pid: int | None) -> bool:
    try:
        return len(run.read_memory(address, size, pid)) == size
    except (TriageError, OverflowError):
        return False


def _piece(data: bytes, hidden: Sequence[int], offset: int, size: int) -> tuple[bytes, list[int]]:
    return data[offset : offset + size], [at - offset for at in hidden if offset <= at < offset + size]


def learn_from_memory(run: Run, redaction: Redaction, room: int = MAX_LEARNT_BYTES) -> None:
    """Have secrets that memory names as such masked everywhere: decoded fields show their values alone.

    At most `room` bytes are looked at.
    """
    before = redaction.count
    for entry in run.snapshot.memory:
        if redaction.off or entry.blob is None or not 0 < entry.blob.size <= room:
            continue
        try:
            data = run.memory_bytes(entry.id)
            room -= len(data)
            _, spans = redaction.masked_bytes(data)
        except TriageError:
            continue
        texts = (data[first:last].decode("utf-8", "replace") for first, last in spans)
        redaction.learn(text for text in texts if text.isprintable() and "\ufffd" not in text)
    redaction.count = before
