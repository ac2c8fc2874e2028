"""The call contexts and loop reports that SFEmu keeps beside its runs: times, results and call stacks.

    syscall_ctx_<seq, 8 digits>_<name>.txt   one call: number, time, arguments, return addresses, result
    deadloop_<seq, 8 digits>.log             the rounds that its detector counted, in the same form

They belong to no run by name, and the next start of the program writes the same names again: a context counts
for a run only where it agrees with the call that the run's snapshot has under its number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.sfemu.snapshot import Call
from triage_tui.text import safe_line

MAX_FILES = 4096
MAX_BYTES = 16 << 10
MAX_REPORT_BYTES = 1 << 20
_NAME = re.compile(r"syscall_ctx_(\d{8,16})_.{0,80}\.txt\Z", re.DOTALL)
_ADDRESS = re.compile(r"\s*#\d+ 0x([0-9a-f]{1,16})\Z")
_CALL = re.compile(r"(.{0,80}) \((-?\d{1,19})\)\Z", re.DOTALL)
_REPORT = re.compile(r"deadloop: seq_len=(\d{1,4}) repeats=(\d{1,9})")
_REPORTED = re.compile(r"^== ctx #\d+ \(global_seq=(\d{1,15})\) ==$", re.MULTILINE)


@dataclass(frozen=True)
class Context:
    """What one file says of a call."""

    call: Call
    text: str
    """As SFEmu wrote it."""
    ts_ns: int
    """By the clock of the day, in nanoseconds since 1970; 0: not recorded."""
    returns: tuple[int, ...]
    """Return addresses, innermost first."""


@dataclass(frozen=True)
class LoopReport:
    """What SFEmu's detector counted: `repeats` rounds of `period` calls, whose numbers are `seqs`."""

    period: int
    repeats: int
    seqs: tuple[int, ...]
    text: bytes


HEAD = "== {} =="
"""What stands before each context in the log that a record of ours keeps of them."""
_BLOCK = re.compile(r"^== syscall_ctx_.* ==$", re.MULTILINE)


def contexts_beside(records: Path, calls: Iterable[Call]) -> dict[int, Context]:
    """Return the contexts in a directory of records that are of the run with these calls, by number.

    Nothing is returned where one of them is of another run: then all of them are.
    """
    texts = [(path.name, text) for path in _files(records) if (text := _read(path)) is not None]
    return _of_run(texts, calls)


def contexts_in(log: str, calls: Iterable[Call]) -> dict[int, Context]:
    """Return the same out of the log that a record of ours keeps of them."""
    heads = [found[0][3:-3] for found in _BLOCK.finditer(log)]
    return _of_run(zip(heads, _BLOCK.split(log)[1:], strict=True), calls)


def _of_run(texts: Iterable[tuple[str, str]], calls: Iterable[Call]) -> dict[int, Context]:
    known = {call.seq: call for call in calls}
    found: dict[int, Context] = {}
    agreeing = False
    for name, text in texts:
        context = _parsed(name, text)
        if context is None:
            continue
        call = known.get(context.call.seq)
        if call is not None:
            if (call.num, call.args[: len(context.call.args)]) != (context.call.num, context.call.args):
                return {}
            agreeing = True
        found[context.call.seq] = context
    last = max(known, default=0)
    return {seq: one for seq, one in found.items() if seq <= last} if agreeing else {}


def _files(records: Path) -> list[Path]:
    try:
        with os.scandir(records) as entries:
            names = [e.name for e in entries if _NAME.match(e.name) and e.is_file(follow_symlinks=False)]
    except OSError:
        return []
    return [records / name for name in sorted(names)[-MAX_FILES:]]


def _read(path: Path) -> str | None:
    try:
        return read_bounded(path, MAX_BYTES).decode("utf-8", "backslashreplace")
    except TriageError:
        return None


def _parsed(title: str, text: str) -> Context | None:
    fields: dict[str, str] = {}
    returns: list[int] = []
    for line in text.split("\n"):
        if address := _ADDRESS.match(line):
            returns.append(int(address[1], 16))
            continue
        name, colon, value = line.partition(": ")
        if colon:
            # The result is appended; a name that a guest chose cannot come before the first line.
            fields.setdefault(name, value)
    what = _CALL.match(fields.get("syscall", ""))
    seq = _integer(fields.get("seq", ""))
    if what is None or seq is None or seq < 0:
        return None
    args = [_integer(word) for word in fields.get("args", "").split(",") if word.strip()]
    call = Call(
        seq=seq,
        name="" if what[1] == "nil" else what[1],
        num=int(what[2]),
        args=tuple(0 if one is None else one for one in args[:8]),
        ret=_integer(fields.get("ret", "")),
        intercepted=fields.get("intercepted") == "true",
    )
    return Context(
        call,
        f"{HEAD.format(safe_line(title, 120))}\n{text.lstrip()}",
        _nanoseconds(fields.get("ts", "")),
        tuple(returns[:64]),
    )


def _integer(text: str) -> int | None:
    try:
        found = int(text) if len(text) <= 20 else None
    except ValueError:
        return None
    return found if found is not None and -(1 << 63) <= found < 1 << 64 else None


def _nanoseconds(text: str) -> int:
    seconds, _, rest = text.partition(".")
    if not (seconds.isdigit() and rest.isdigit() and len(seconds) <= 10 and len(rest) == 9):
        return 0
    return int(seconds) * 1_000_000_000 + int(rest)


def loop_report(records: Path, trigger_seq: int) -> LoopReport | None:
    """Return the report that belongs to a stop at this number, None where there is none that can be read."""
    path = records / f"deadloop_{trigger_seq:08d}.log"
    if not os.path.lexists(path):
        return None
    try:
        raw = read_bounded(path, MAX_REPORT_BYTES)
    except TriageError:
        return None
    text = raw.decode("utf-8", "backslashreplace")
    head = _REPORT.match(text)
    if head is None:
        return None
    seqs = tuple(int(one) for one in _REPORTED.findall(text)[:MAX_FILES])
    return LoopReport(int(head[1]), int(head[2]), seqs, raw)
