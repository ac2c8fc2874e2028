"""Which call printed what: the guest's output, cut into what each of its calls wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

from triage_tui.errors import TriageError
from triage_tui.runs.emulator_text import emulator_tail
from triage_tui.runs.model import Printed, Syscall
from triage_tui.runs.reader import Run
from triage_tui.runs.record import Record
from triage_tui.text import safe_line

MAX_STREAM = 4 << 20
"""Bytes read of one stream."""
_GAP = re.compile(rb"\n\[\.\.\. (\d{1,15}) bytes left out \.\.\.\]\n")
_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_UNKNOWN = "which call printed what"


class PrintedText(Record):
    """What each call printed."""

    texts: dict[int, bytes] = {}
    """Number of the call -> the bytes that it printed, raw. Bytes that were not kept are missing."""
    why: str = ""
    """Why nothing is known, in one sentence without a full stop; "" when something is."""


def printed_text(run: Run, calls: Sequence[Syscall]) -> PrintedText:
    """Return what each call of a run printed: by the record, in older ones by the sizes of its writes."""
    placed = [(call.seq, call.printed) for call in calls if call.printed is not None]
    if placed:
        streams = {
            name: _content(run, f"logs/{name}.log")
            for name in {printed.stream for _, printed in placed}
            if _STREAM.match(name)
        }
        found = {seq: _piece(streams.get(printed.stream, b""), printed) for seq, printed in placed}
        return PrintedText(texts={seq: text for seq, text in found.items() if text})
    for entry in run.snapshot.unavailable:
        if entry.what == _UNKNOWN:
            return PrintedText(why=f"it is not known which call printed what: {safe_line(entry.why, 200)}")
    return _by_sizes(_content(run, run.snapshot.guest_output), calls)


def _content(run: Run, name: str) -> bytes:
    try:
        return run.text_bytes(name, MAX_STREAM)
    except TriageError:
        return b""


def offsets_of_lines(content: bytes) -> list[tuple[bytes, int]]:
    """Return the lines of what is kept of a stream, each with the offset behind it in the whole stream.

    The lines that tell of a gap are among them, so that lines keep their numbers.
    """
    gap = _GAP.search(content)
    found: list[tuple[bytes, int]] = []
    at = 0
    for line in content.split(b"\n"):
        end = at + len(line)
        behind = gap is not None and end >= gap.end()
        moved = int(gap[1]) - (gap.end() - gap.start()) if gap is not None and behind else 0
        found.append((line, end + moved))
        at = end + 1
    return found


def _piece(content: bytes, printed: Printed) -> bytes:
    """Return a part of a stream of which the middle may be left out."""
    start, end = printed.offset, printed.offset + printed.size
    if start < 0 or end < start:
        return b""
    gap = _GAP.search(content)
    if gap is None or start < gap.start():
        return content[start : end if gap is None else min(end, gap.start())]
    moved = gap.end() - gap.start() - int(gap[1])
    return content[max(start + moved, gap.end()) : max(end + moved, gap.end())]


def _by_sizes(content: bytes, calls: Sequence[Syscall]) -> PrintedText:
    """Cut the output of both streams together at the sizes of the writes, if these add up."""
    writers = [
        call
        for call in calls
        if call.name in ("write", "writev") and call.arguments[:1] in (["1"], ["2"]) and (call.ret or 0) > 0
    ]
    written = sum(call.ret or 0 for call in writers)
    if written not in (len(content), len(content) - emulator_tail(content)):
        return PrintedText(why="this record does not say which call printed what")
    texts: dict[int, bytes] = {}
    at = 0
    for call in writers:
        texts[call.seq] = content[at : at + (call.ret or 0)]
        at += call.ret or 0
    return PrintedText(texts=texts, why="" if texts else "this program printed nothing")
