"""What a link points to, with what is around it, as rows: to be read without leaving the pane."""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.runs.evidence import Resolved, resolve
from triage_tui.text import safe_line
from triage_tui.ui.hex_rows import bytes_per_row, hex_row
from triage_tui.ui.loading import RunView
from triage_tui.ui.rows import Part, Row, clip, wrapped
from triage_tui.ui.words import call_words

AROUND = 5
"""Calls, lines or frames that are shown before and behind what the link points to."""
MAX_BYTES = 256
"""Bytes of memory that are shown."""


def peek(view: RunView, text: str) -> Resolved:
    """Look up what a link points to; it may be read from the disk, so call it in a thread."""
    return resolve(view.run, text)


def peek_rows(view: RunView, found: Resolved, width: int) -> list[Row]:
    """Return what was found as rows, the cited one marked; text of the guest is made safe."""
    if not found.exists:
        return wrapped(safe_line(f"This evidence is not in the run: {found.text}.", 400), width, "warn", 1)
    rows = _around(view, found, width) or _plain(found, width)
    if not found.hash_ok:
        rows += wrapped("It has changed since it was cited.", width, "bad", 1)
    return rows


def title_of(found: Resolved) -> str:
    """Return what is peeked at, in words."""
    return safe_line(found.title[:1].upper() + found.title[1:], 80)


def _around(view: RunView, found: Resolved, width: int) -> list[Row]:
    link = found.link
    match link.kind:
        case "syscall":
            place = next((n for n, call in enumerate(view.calls) if str(call.seq) == link.id), None)
            return [] if place is None else _calls(view, place, width)
        case "code":
            return _lines(_cited(view, found), link.line, width)
        case "log":
            return _lines(view.logs.get(link.id, []), link.line, width)
        case "frame":
            frames = view.snapshot.backtrace.frames
            texts = [
                safe_line(
                    f"#{one.idx:<3} {one.addr_hex}  {one.func_name or '?'}  {one.module_name or ''}", 200
                )
                for one in frames
            ]
            place = next((n for n, one in enumerate(frames) if str(one.idx) == link.id), None)
            return _lines(texts, None if place is None else place + 1, width, numbered=False)
        case _:
            return []


def _cited(view: RunView, found: Resolved) -> list[str]:
    """Return the lines of the source of code that has the cited one."""
    link = found.link
    if link.line is None or not link.id.isdecimal():
        return []
    for source in view.code.get(int(link.id), ()):
        if source.raw.split("\n")[link.line - 1 : link.line] == [found.text]:
            return source.lines
    return []


def _calls(view: RunView, place: int, width: int) -> list[Row]:
    rows = []
    for index in range(max(0, place - AROUND), min(len(view.calls), place + AROUND + 1)):
        call = view.calls[index]
        name, arguments, result = call_words(call)
        room = max(10, width - 9 - len(result) - 4)
        parts: tuple[Part, ...] = (
            (f" {call.seq:>6}  ", "faint"),
            (clip(f"{name}({arguments})", room), "failed" if call.errno else ""),
            (f" = {result}", "failed" if call.errno else "number"),
        )
        rows.append(Row(parts, call.seq, "mark" if index == place else ""))
    return rows


def _lines(lines: Sequence[str], number: int | None, width: int, numbered: bool = True) -> list[Row]:
    if number is None or not 1 <= number <= len(lines):
        return []
    rows = []
    for index in range(max(1, number - AROUND), min(len(lines), number + AROUND) + 1):
        head = f" {index:>5}  " if numbered else " "
        text = clip(safe_line(lines[index - 1], 400), max(10, width - len(head)))
        rows.append(Row(((head, "faint"), (text, "")), index, "mark" if index == number else ""))
    return rows


def _plain(found: Resolved, width: int) -> list[Row]:
    """Return bytes as a hex dump and anything else as text."""
    if found.link.kind == "mem":
        try:
            data = bytes.fromhex(found.text)[:MAX_BYTES]
        except ValueError:
            data = b""
        count = bytes_per_row(width)
        start = found.link.offset or 0
        return [hex_row(data, place, start, count) for place in range(0, len(data), count)]
    return [
        row for line in found.text.split("\n")[:40] for row in wrapped(safe_line(line, 600), width, "", 1)
    ]
