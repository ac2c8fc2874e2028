"""Rows of the syscall timeline: a call with its loop, thread, times and result, and what it printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from rich.cells import cell_len

from triage_tui.runs.model import Loop, Syscall
from triage_tui.text import safe_line
from triage_tui.ui.rows import Part, Row, clip, field, short
from triage_tui.ui.run_view import RunView
from triage_tui.ui.words import call_words

_SEQ = 5
_TIME = 9
_GAP = 9
TIME_FROM, GAP_FROM = 70, 104
"""Columns from which the time since the start, and the time since the call before, are shown."""
_LOOK_AHEAD = 64
"""Calls looked at for the next one of the same thread."""


class OutputLine(NamedTuple):
    """What a row of guest output stands for."""

    seq: int
    """The call that printed it."""
    line: int


class Timeline(msgspec.Struct):
    """What the rows of a run's calls have in common; made once for each reading of the run."""

    view: RunView
    calls: Sequence[Syscall]
    start: int = 0
    """`ts_mono_ns` of the first call that has one."""
    threads: int = 1
    processes: int = 1
    rounds: frozenset[int] = frozenset()
    column: int = 0
    """Cells of the column that names the thread, 0 where there is one only."""

    @classmethod
    def of(cls, view: RunView) -> Timeline:
        """Return what the rows of a run need."""
        calls, loop = view.calls, view.snapshot.loop
        made = cls(view, calls)
        made.start = next((call.ts_mono_ns for call in calls if call.ts_mono_ns), 0)
        makers = {(call.pid, call.tid or call.pid) for call in calls}
        made.threads, made.processes = len(makers), len({pid for pid, _ in makers})
        made.rounds = frozenset(loop.round_seqs) if loop is not None else frozenset()
        if made.threads > 1:
            made.column = max(cell_len(made.thread_of(pid, tid)) for pid, tid in makers)
        return made

    @property
    def printed(self) -> dict[int, list[str]]:
        """Number of a call to the lines that it printed."""
        return self.view.printed

    def thread_of(self, pid: int, tid: int) -> str:
        """Return the name of a thread: its number, behind that of its process where there are several."""
        return f"{pid}/{tid}" if self.processes > 1 and pid != tid else f"{tid}"


def loop_mark(
    loop: Loop | None, call: Syscall, rounds: frozenset[int] | None = None, last: bool = False
) -> Part:
    """Return the gutter sign of a call: the bracket of its round in the loop, or a blank.

    `rounds` are the first calls of the rounds (default: those that the record has), `last` says that the
    next call of the thread begins another round.
    """
    if loop is None or not loop.first_seq <= call.seq <= loop.last_seq:
        return (" ", "")
    if loop.tid and call.tid != loop.tid:
        # The bracket of the thread that goes round runs on beside the calls of the others.
        return ("┊", "faint")
    if loop.period == 1:
        return ("↻", "loop")
    if call.seq == loop.first_seq or call.seq in (loop.round_seqs if rounds is None else rounds):
        return ("╭", "loop")
    return ("╰" if last or call.seq == loop.last_seq else "│", "loop")


def _ends_round(line: Timeline, place: int) -> bool:
    """Tell whether the next call of the same thread begins another round."""
    call = line.calls[place]
    for other in line.calls[place + 1 : place + 1 + _LOOK_AHEAD]:
        if other.tid == call.tid:
            return other.seq in line.rounds
    return False


def _round_note(line: Timeline, call: Syscall) -> str:
    """Return "round 117 of 119" at the first call of a round, where the rounds were counted exactly."""
    loop = line.view.snapshot.loop
    if loop is None or loop.period < 2 or loop.skimmed or loop.varies or call.seq not in line.rounds:
        return ""
    behind = sum(1 for seq in line.rounds if seq > call.seq)
    number = loop.repeats - behind
    return f"  round {number} of {loop.repeats}" if number > 0 else ""


def _duration(ns: int) -> str:
    ms = ns / 1e6
    return f"{ms:.1f}ms" if ms < 1000 else f"{ms / 1000:.3f}s"


def _elapsed(line: Timeline, call: Syscall) -> str:
    if not call.ts_mono_ns or not line.start or call.ts_mono_ns < line.start:
        return ""
    return _duration(call.ts_mono_ns - line.start)


def _since_before(line: Timeline, place: int) -> str:
    """Return the time since the call before; calls that were read from the log together have none between."""
    here = line.calls[place].ts_mono_ns
    before = line.calls[place - 1].ts_mono_ns if place else 0
    if not here or not before or here - before < 50_000:
        return ""
    return f"+{_duration(here - before)}"


def call_row(line: Timeline, place: int, width: int) -> Row:
    """Return one syscall as a row: loop, number, times, thread, call, result, what else is known."""
    call, snapshot = line.calls[place], line.view.snapshot
    name, arguments, result = call_words(call)
    trigger = call.seq == snapshot.trigger.seq
    loop = snapshot.loop
    inside = loop is not None and loop.first_seq <= call.seq <= loop.last_seq
    parts: list[Part] = [
        loop_mark(loop, call, line.rounds, inside and _ends_round(line, place)),
        (f"{call.seq:>{_SEQ}} ", "faint"),
    ]
    if width >= TIME_FROM:
        parts.append((f"{_elapsed(line, call):>{_TIME}} ", "faint"))
    if width >= GAP_FROM:
        parts.append((f"{_since_before(line, place):>{_GAP}} ", "faint"))
    if line.column:
        thread = line.thread_of(call.pid, call.tid or call.pid)
        parts.append((f"{thread:>{line.column}} ", "info" if _is_cause(line, call) else "muted"))
    used = sum(len(text) for text, _ in parts) + 2
    role = "failed" if call.errno else "changed" if trigger else "symbol"
    extra: list[Part] = []
    if call.peer and call.peer not in arguments:
        extra.append(("  " + safe_line(call.peer, 100), "info"))
    if call.interface and call.interface not in arguments:
        extra.append(("  " + short(call.interface, 20), "info"))
    if call.rule:
        extra.append(("  ◆ " + short(call.rule, 60), "good"))
    if call.note:
        extra.append(("  " + safe_line(call.note, 120), "warn"))
    if inside and width >= GAP_FROM and (note := _round_note(line, call)):
        extra.append((note, "loop"))
    end: list[Part] = [(" = ", "muted"), (result, "failed" if call.errno else "number")]
    if trigger and call.ret is None:
        held = snapshot.reason == "exit"
        end = [(" held before it happens" if held else " frozen here", "changed")]
    tail = sum(cell_len(text) for text, _ in (*extra, *end))
    room = max(16, width - used - len(name) - 2 - tail)
    parts += [
        ("▶ " if trigger else "  ", "changed"),
        (name, role),
        ("(", "muted"),
        (clip(arguments, room), ""),
        (")", "muted"),
        *end,
    ]
    return Row((*parts, *extra), target=call.seq, fill="current" if trigger else "")


def _is_cause(line: Timeline, call: Syscall) -> bool:
    trigger = line.view.snapshot.trigger
    return bool(trigger.tid) and (call.tid or call.pid) == trigger.tid


def output_row(line: Timeline, place: int, number: int, width: int) -> Row:
    """Return one line of what a call printed, below it."""
    call, loop = line.calls[place], line.view.snapshot.loop
    mark: Part = (" ", "")
    if loop is not None and loop.first_seq <= call.seq < loop.last_seq:
        mine = not loop.tid or call.tid == loop.tid
        # Between two rounds the bracket is open.
        closed = mine and (loop.period == 1 or _ends_round(line, place))
        mark = (" ", "") if closed else ("│", "loop") if mine else ("┊", "faint")
    indent = _SEQ + 1 + (_TIME + 1 if width >= TIME_FROM else 0) + (_GAP + 1 if width >= GAP_FROM else 0)
    indent += line.column + 1 if line.column else 0
    text = line.printed[call.seq][number]
    parts: tuple[Part, ...] = (
        mark,
        (" " * indent, ""),
        ("  ┃ ", "string"),
        (clip(text, max(8, width - indent - 5)), "string"),
    )
    return Row(parts, target=OutputLine(call.seq, number))


def call_rows(call: Syscall, width: int, printed: Sequence[str] = ()) -> list[Row]:
    """Return everything that is known of one syscall, nothing cut."""
    name, _, result = call_words(call)
    rows = field("call", name, width, "strong")
    for number, argument in enumerate(call.arguments or [f"{value:#x}" for value in call.args], 1):
        rows += field(f"arg {number}", safe_line(argument), width)
    rows += field("result", result, width, "failed" if call.errno else "number")
    for label, text in (
        ("path", call.path),
        ("peer", call.peer),
        ("request", call.request),
        ("interface", call.interface),
        ("rule", call.rule),
        ("note", call.note),
        ("seen as", call.host),
    ):
        if text:
            rows += field(label, safe_line(text), width)
    for number, text in enumerate(printed):
        rows += field("" if number else "printed", text, width, "string")
    if call.args:
        rows += field("raw", " ".join(f"{value:#x}" for value in call.args), width, "muted")
    for label, address in (("pc", call.pc), ("returns to", call.return_address)):
        if address is not None:
            rows += field(label, f"{address:#x}", width, "address", column=11)
    rows += field("pid", str(call.pid) + (f", thread {call.tid}" if call.tid else ""), width, "muted")
    return rows
