"""The program's own words: lines of its output, lined up with the writes that made them.

QEMU's trace shows that something was written, not what; the text is in the guest log. When the successful
writes to descriptors 1 and 2 add up to the size of the log, each line can be placed in the trace exactly.
Otherwise the log was cut or something else wrote into it, and the lines are matched from the end.
"""

from __future__ import annotations

import errno
import os

import msgspec
import re2

from triage_tui.diagnosis.calls import descriptor
from triage_tui.runs.emulator_text import emulator_lines
from triage_tui.runs.model import Syscall

MAX_LINES = 400
"""Lines kept, counted from the end: what was said last explains the end."""

MAX_LINE_BYTES = 2000

_COMPLAINT = re2.compile(
    r"(?i)\b(error|err|fail(ed|ure|s)?|fatal|cannot|can't|cant|could ?n.t|unable|no such|not found|missing|"
    r"denied|invalid|illegal|bad|unknown|unsupported|not supported|refus(ed|ing)|abort(ed|ing)?|panic|"
    r"exception|traceback|must|need(s|ed)?|permission|not permitted|no \w+ (found|available|support)|sorry|"
    r"timed? ?out|usage|warning|exiting|does(n't| not) exist|not exist|"
    r"not (implemented|available|open|running|root|readable|usable)|not superuser|required|"
    r"un(readable|usable|available|reachable|expected(ly)?)|corrupt(ed)?|damaged|broken|rejected|"
    r"(giving|gave) up)\b"
)


class Line(msgspec.Struct, frozen=True):
    """One line of output. `number` counts from 1 in the log file; `seq` is -1 when its write is not known."""

    number: int
    text: str
    seq: int
    pid: int
    emulator: bool = False
    """The emulator wrote it, not the program."""


_ERROR_TEXTS = re2.compile(
    "(?i)(?:" + "|".join(re2.escape(os.strerror(number)) for number in errno.errorcode) + ")"
)
"""What strerror(3) says of any error."""


def is_complaint(text: str) -> bool:
    """Tell whether a line reads like an error message."""
    return _COMPLAINT.search(text) is not None or _ERROR_TEXTS.search(text) is not None


def writes_to_output(calls: list[Syscall]) -> list[Syscall]:
    """Return the calls that put bytes on descriptor 1 or 2, in order.

    Where the record says what a call wrote to, that is believed: a shell turns its descriptors to files.
    """
    return [call for call in calls if (call.ret or 0) > 0 and _writes_to_output(call)]


def _writes_to_output(call: Syscall) -> bool:
    if call.printed is not None:
        return call.printed.stream in ("stdout", "stderr")
    return call.name in ("write", "writev") and descriptor(call) in (1, 2)


def lines_of(data: bytes, writes: list[Syscall]) -> list[Line]:
    """Return the non-empty lines of the guest log with the write that finished each.

    `writes` are the calls of `writes_to_output`. At most `MAX_LINES` lines are returned, the last ones.
    """
    ends: list[tuple[int, Syscall]] = []
    own = emulator_lines(data, sum(call.ret or 0 for call in writes))
    position = len(data) - sum(own.values())
    # From the end, so that a log whose beginning was cut still lines up.
    for call in reversed(writes):
        if position <= 0:
            break
        ends.append((position, call))
        position -= call.ret or 0
    ends.reverse()
    exact = position == 0 or (position > 0 and not ends)
    lines: list[Line] = []
    offset = 0
    index = 0
    for number, raw in enumerate(data.split(b"\n"), start=1):
        if number in own:
            text = raw[:MAX_LINE_BYTES].decode("utf-8", "backslashreplace").strip()
            lines.append(Line(number=number, text=text, seq=-1, pid=0, emulator=True))
            continue
        finish = offset + len(raw)
        while index < len(ends) and ends[index][0] < finish:
            index += 1
        write = ends[min(index, len(ends) - 1)][1] if ends else None
        text = raw[:MAX_LINE_BYTES].decode("utf-8", "backslashreplace").strip()
        if text:
            known = write is not None and (exact or finish >= position)
            lines.append(
                Line(
                    number=number,
                    text=text,
                    seq=write.seq if write and known else -1,
                    pid=write.pid if write else 0,
                )
            )
        offset = finish + 1
    return lines[-MAX_LINES:]
