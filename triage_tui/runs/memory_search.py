"""Searching recorded memory for bytes: single objects, and gigabytes of regions, block by block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from triage_tui.errors import TriageError
from triage_tui.runs.memory_files import RegionReader

BLOCK = 1 << 20
"""Bytes that are read at once."""
MAX_HITS = 10_000
"""Hits after which a search ends."""
MAX_PATTERN = 4096

_PAIRS = re.compile(r"[0-9a-f]{2}(?:\s+[0-9a-f]{2})+\Z", re.IGNORECASE)
_PREFIXED = re.compile(r"0x((?:[0-9a-f]{2})+)\Z", re.IGNORECASE)


class Hit(NamedTuple):
    """Where the bytes are: in which object or region, by its number, and at which address."""

    kind: str
    """"object" or "region"."""
    number: int
    address: int


class Found(NamedTuple):
    """How far a search is: what was found since the last time, and how many bytes were looked through."""

    hits: list[Hit]
    done: int
    total: int
    problem: str = ""
    """Why some of it could not be searched."""


def pattern_of(text: str) -> bytes:
    """Return the bytes that a person means: `de ad be ef` and `0xdeadbeef` are bytes, all else is text.

    Quotes around it make it text, whatever it looks like.

    Raises:
        TriageError: it is empty or too long.
    """
    stripped = text.strip()
    if len(stripped) > 1 and stripped[0] == stripped[-1] == '"':
        found = stripped[1:-1].encode("utf-8", "surrogateescape")
    elif _PAIRS.match(stripped):
        found = bytes.fromhex(stripped)
    elif prefixed := _PREFIXED.match(stripped):
        found = bytes.fromhex(prefixed[1])
    else:
        found = text.encode("utf-8", "surrogateescape")
    if not found:
        raise TriageError('Type text, or bytes as "de ad be ef".')
    if len(found) > MAX_PATTERN:
        raise TriageError(f"That is longer than {MAX_PATTERN} bytes.")
    return found


def search(
    pattern: bytes,
    objects: Sequence[tuple[int, bytes]],
    regions: Sequence[RegionReader],
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Found]:
    """Search objects (address and bytes), then regions, and tell after each block how far it is.

    What was never written is all zero, and is not looked through. It ends early when `cancelled` says so, or
    after `MAX_HITS`.
    """
    spans = [_spans(reader) for reader in regions]
    total = sum(len(data) for _, data in objects) + sum(end - start for one in spans for start, end in one)
    done = count = 0
    for number, (address, data) in enumerate(objects):
        hits = [Hit("object", number, address + at) for at in _places(pattern, data, MAX_HITS - count)]
        done, count = done + len(data), count + len(hits)
        if hits:
            yield Found(hits, done, total)
        if count >= MAX_HITS or cancelled():
            return
    for number, reader in enumerate(regions):
        for start, end in spans[number]:
            for at, data, problem in _blocks(reader, start, end, len(pattern)):
                places = _places(pattern, data, MAX_HITS - count)
                hits = [Hit("region", number, at + place) for place in places]
                count += len(hits)
                yield Found(hits, min(done + at + len(data) - start, total), total, problem)
                if count >= MAX_HITS or cancelled():
                    return
            done += end - start


def _blocks(reader: RegionReader, start: int, end: int, overlap: int) -> Iterator[tuple[int, bytes, str]]:
    """Yield (address, bytes, problem) of all of [start, end) that can be read.

    Blocks overlap, so that what lies across their border is found. What cannot be read costs no more than
    the piece that it is in.
    """
    borders = sorted(end for _, end in _pieces(reader))
    at = start
    while at < end:
        border = next((one for one in borders if one > at), end)
        wanted = min(BLOCK, end - at)
        try:
            data = reader.read(at, wanted)
        except (TriageError, OSError, ValueError) as error:
            try:
                data = reader.read(at, min(wanted, border - at)) if at + wanted > border else b""
            except (TriageError, OSError, ValueError):
                data = b""
            yield at, data, str(error)
            at = border if at + len(data) >= border or not data else at + len(data)
            continue
        if not data:
            return
        yield at, data, ""
        at += len(data) if at + len(data) >= end else max(1, len(data) - overlap + 1)


def _places(pattern: bytes, data: bytes, most: int) -> list[int]:
    found: list[int] = []
    at = data.find(pattern)
    while at >= 0 and len(found) < most:
        found.append(at)
        at = data.find(pattern, at + 1)
    return found


def _pieces(reader: RegionReader) -> list[tuple[int, int]]:
    """Return the stretches of a region that have bytes, by address."""
    region = reader.region
    found = [(one.addr, one.addr + one.size) for one in region.extents]
    found += [(one.addr, one.addr + one.size) for one in region.files]
    inside = ((max(start, region.start), min(end, region.end)) for start, end in found)
    return sorted((start, end) for start, end in inside if start < end)


def _spans(reader: RegionReader) -> list[tuple[int, int]]:
    """Return these stretches, those that touch put together."""
    found: list[tuple[int, int]] = []
    for start, end in _pieces(reader):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
