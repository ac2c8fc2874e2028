"""Line up a log with the calls of a run by what its lines say, where no time does.

A line belongs to a call when it repeats what the call printed, or names the file, interface or peer that the
call is about. Of several such calls that one is meant which keeps the lines in the order of the calls: of all
choices the one that places most lines. A line between two that are placed belongs between their calls. All
functions are pure; lines are hostile, so each is looked at for a bounded length only.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from triage_tui.runs.model import Syscall

MAX_LINES = 20_000
"""Lines that are compared, the last ones."""
_MAX_LINE = 400
_MAX_SAME = 32
"""Calls that one line may mean; what more calls are about tells nothing."""
_MAX_WORDS = 64
_LEAST = 8
"""Characters of a text that is repeated by no accident."""
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_SPACE = re.compile(r"\s+")
_ADDRESS = re.compile(r"\b(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?\b")
_HEAD_END = re.compile(r"[\]:>|] ")
"""What ends a time, a host, or the name of a program in front of a message."""
_WORD = re.compile(r"[\w./@%+-]+")
"""What may be a path, an address or the name of an interface."""
_COMMON = frozenset(
    ("/dev/null", "/dev/zero", "/dev/tty", "/proc/self/exe", "/etc/localtime", "/tmp", "/dev", "/etc")
)
"""Paths that every program and many messages name."""


class Anchor(msgspec.Struct, frozen=True):
    """A line that a call is known of."""

    line: int
    """Its place in the log, from 0."""
    seq: int


class Said(msgspec.Struct):
    """What calls of a run say or are about, by texts of a log: numbers of calls, ascending."""

    printed: dict[str, list[int]] = msgspec.field(default_factory=dict)
    named: dict[str, list[int]] = msgspec.field(default_factory=dict)


def said_by(calls: Iterable[Syscall], printed: Mapping[int, bytes]) -> Said:
    """Return what the calls say; `printed` is what each printed, raw."""
    found = Said()
    for call in calls:
        for name in _names(call):
            _note(found.named, name, call.seq)
        for raw in printed.get(call.seq, b"")[: 64 << 10].split(b"\n"):
            text = plain(raw[:_MAX_LINE].decode("utf-8", "replace"))
            if len(text) >= _LEAST:
                _note(found.printed, text, call.seq)
    return found


def _names(call: Syscall) -> Iterator[str]:
    if call.path and call.path.startswith("/") and call.path not in _COMMON:
        yield call.path
    if call.interface:
        yield call.interface
    if (
        call.peer
        and (address := _ADDRESS.search(call.peer)) is not None
        and not address[1].startswith(("0.", "127."))
    ):
        yield address[1]


def _note(known: dict[str, list[int]], text: str, seq: int) -> None:
    seqs = known.setdefault(text, [])
    if len(seqs) <= _MAX_SAME and (not seqs or seqs[-1] != seq):
        seqs.append(seq)


def plain(line: str) -> str:
    """Return a line without colours, line ends and doubled spaces."""
    return _SPACE.sub(" ", _COLOUR.sub("", line[:_MAX_LINE])).strip()


def anchors(lines: Sequence[str], said: Said) -> list[Anchor]:
    """Return the lines that calls are known of, in the order of both."""
    first = max(0, len(lines) - MAX_LINES)
    choices = [(number, _meant(plain(line), said)) for number, line in enumerate(lines[first:], first)]
    return _in_order([(number, seqs) for number, seqs in choices if seqs])


def _meant(line: str, said: Said) -> list[int]:
    """Return the calls that a line may be about, ascending; what it repeats tells more than what it names."""
    for text in _ends(line):
        if 0 < len(seqs := said.printed.get(text, ())) <= _MAX_SAME:
            return list(seqs)
    found: set[int] = set()
    for word in _words(line):
        if 0 < len(seqs := said.named.get(word, ())) <= _MAX_SAME:
            found.update(seqs)
    return sorted(found)


def _ends(line: str) -> Iterator[str]:
    """Yield a line, and what stands behind a head of it: a time, a host, a name of a program."""
    yield line
    at = 0
    for _ in range(6):
        found = _HEAD_END.search(line, at)
        if found is None or len(line) - found.end() < _LEAST:
            return
        at = found.end()
        yield line[at:]


def _words(line: str) -> list[str]:
    return [word.rstrip(".-") for word in _WORD.findall(line)[:_MAX_WORDS]]


def _in_order(choices: list[tuple[int, list[int]]]) -> list[Anchor]:
    """Choose a call for as many lines as possible, so that calls never go back (a longest rising row)."""
    tails: list[int] = []
    """The lowest call with which a row of each length ends."""
    nodes: list[tuple[int, int, int]] = []
    """Line, call, and the node before it."""
    ends: list[int] = []
    for line, seqs in choices:
        # From the last call on, so that no line takes two places of a row.
        for seq in reversed(seqs):
            place = bisect.bisect_right(tails, seq)
            nodes.append((line, seq, ends[place - 1] if place else -1))
            tails[place : place + 1] = [seq]
            ends[place : place + 1] = [len(nodes) - 1]
    found: list[Anchor] = []
    at = ends[-1] if ends else -1
    while at >= 0:
        line, seq, at = nodes[at]
        if not found or found[-1].line != line:
            found.append(Anchor(line, seq))
    return found[::-1]


def placed(known: Sequence[Anchor]) -> Iterator[tuple[int, int, int]]:
    """Yield place, first and last call of each line from the first anchor to the last."""
    for before, after in itertools.pairwise(known):
        yield before.line, before.seq, before.seq
        yield from ((line, before.seq, after.seq) for line in range(before.line + 1, after.line))
    if known:
        yield known[-1].line, known[-1].seq, known[-1].seq
