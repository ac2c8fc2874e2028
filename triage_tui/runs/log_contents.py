"""Line up a log with the calls of a run by what its lines say, where no time does.

A line belongs to a call when it repeats what the call printed, or names the file, interface or peer that
the call is about. Where that is several, or lines contradict each other, the order decides, and the weight of
what the lines say (see `heaviest_order`): a line counts the less the more calls it can mean and the more
lines say the same, because what is there once on both sides misleads least (P. Heckel, "A technique for
isolating differences between files", CACM 21(4), 1978); to repeat what was printed counts more than to name
something. What could as well be otherwise is not told as certain. A line between two that are certain belongs
between their calls. All functions are pure; of each line, which is hostile, a bounded length is looked at.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from triage_tui.runs.heaviest_order import UNIT, Choice, Line, Settled, settle
from triage_tui.runs.model import Syscall

MAX_LINES = 20_000
"""Lines that are compared, the last ones."""
_MAX_LINE = 400
_MAX_SAME = 32
"""Calls that one line may mean; what more calls are about tells nothing."""
_MAX_WORDS = 64
_LINES = 1 << 17
"""More lines than one call can print of what is looked at."""
_PRINTED = 4
"""How much more it counts to repeat what was printed than to name something."""
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


class Said(msgspec.Struct):
    """What calls of a run say or are about, by texts of a log: places, ascending."""

    printed: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Of each line that was printed: `place` of the call and the line."""
    named: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Of what a call is about: `place` of the call."""


class _Meant(msgspec.Struct, frozen=True):
    """What a line may be about."""

    places: tuple[int, ...]
    printed: bool


def place(seq: int, line: int = 0) -> int:
    """Return the place of a line that the call `seq` printed."""
    return seq * _LINES + min(line, _LINES - 1)


def said_by(calls: Iterable[Syscall], printed: Mapping[int, bytes]) -> Said:
    """Return what the calls say; `printed` is what each printed, raw."""
    found = Said()
    for call in calls:
        for name in _names(call):
            _note(found.named, name, place(call.seq))
        for number, raw in enumerate(printed.get(call.seq, b"")[: 64 << 10].split(b"\n")):
            text = plain(raw[:_MAX_LINE].decode("utf-8", "replace"))
            if len(text) >= _LEAST:
                _note(found.printed, text, place(call.seq, number))
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


def _note(known: dict[str, list[int]], text: str, at: int) -> None:
    places = known.setdefault(text, [])
    if len(places) <= _MAX_SAME and (not places or places[-1] != at):
        places.append(at)


def plain(line: str) -> str:
    """Return a line without colours, line ends and doubled spaces."""
    return _SPACE.sub(" ", _COLOUR.sub("", line[:_MAX_LINE])).strip()


def anchors(lines: Sequence[str], said: Said) -> list[Settled]:
    """Return the lines of which calls are known, in order; `number` is the place in the log, from 0."""
    first = max(0, len(lines) - MAX_LINES)
    found = {number: _meant(plain(line), said) for number, line in enumerate(lines[first:], first)}
    return settle(_to_choose({number: one for number, one in found.items() if one.places}))


def _meant(line: str, said: Said) -> _Meant:
    """Return what a line may be about; what it repeats tells more than what it names."""
    for text in _ends(line):
        if 0 < len(places := said.printed.get(text, ())) <= _MAX_SAME:
            return _Meant(tuple(places), printed=True)
    found: set[int] = set()
    for word in _words(line):
        if 0 < len(places := said.named.get(word, ())) <= _MAX_SAME:
            found.update(places)
    return _Meant(tuple(sorted(found)), printed=False)


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


def _to_choose(meant: dict[int, _Meant]) -> list[Line]:
    """Return the lines with the places that they may have, weighed."""
    same = Counter(meant.values())
    return [
        Line(
            number,
            [
                _choice(place, one.printed, max(1, _weight(one) // (len(one.places) * same[one])))
                for place in one.places
            ],
        )
        for number, one in meant.items()
    ]


def _weight(one: _Meant) -> int:
    return UNIT * _PRINTED if one.printed else UNIT


def _choice(place: int, printed: bool, weight: int) -> Choice:
    seq = place // _LINES
    if printed:
        # A line is printed once, and behind those before it.
        return Choice(place - 1, place, seq, weight)
    return Choice(seq * _LINES + _LINES - 1, seq * _LINES, seq, weight)


def placed(known: Sequence[Settled]) -> Iterator[Settled]:
    """Yield the lines that are known, and in order those between two whose places are certain."""
    own = {one.number: one for one in known}
    certain = [one for one in known if one.certain]
    ends = {before.number: after for before, after in itertools.pairwise(certain)}
    numbers = sorted(own)
    for at, number in enumerate(numbers):
        yield own[number]
        following = numbers[at + 1] if at + 1 < len(numbers) else number
        place = bisect.bisect_right(certain, number, key=lambda one: one.number)
        before = certain[place - 1] if place else None
        after = ends.get(before.number) if before is not None else None
        if before is not None and after is not None:
            first, last = min(before.first, after.first), max(before.last, after.last)
            yield from (Settled(line, first, last, True) for line in range(number + 1, following))
