"""What a run reached that no earlier round did, and which of that is new ground.

A signature can be new and say nothing: the same call fails in another way, the same loop has another number
in its path, or the call only follows from what a rule made up. Those are told, and count for nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry.judging.earlier_rounds import Past, counts
from triage_tui.retry.judging.faked import Faked
from triage_tui.runs.call_signatures import signature, signatures, subject
from triage_tui.runs.evidence import parse_link
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run

LEADS_ON = frozenset(
    [
        "socket", "socketpair", "bind", "listen", "accept", "accept4", "connect", "clone", "clone3", "fork",
        "vfork",
    ]
)  # fmt: skip
"""Calls that lead on although they name nothing: a program that makes its first one does something else."""
_IS_TERMINAL = "ioctl(TCGETS"
_VARIES = 3
"""Objects of one call in a loop from which on it is the loop that changes them."""


class Novelty(msgspec.Struct):
    """Signatures and places with the call that had them first, in order."""

    novel: dict[str, int]
    """New against all earlier rounds."""
    regained: dict[str, int]
    """New against the rounds that led here, and reached by another round of the target before."""
    counted: dict[str, int]
    """Of both: those that say something."""
    ground: dict[str, int]
    """Of these: those that lead on, see `leads_on`."""
    sites: dict[str, int]
    """Places in the code that made no call in any earlier round."""
    other_errno: tuple[str, str, int] | None = None
    """A call that fails now as it did before, but with another error: its signature then and now, and which
    call it is."""
    varied: str = ""
    """A signature that is new only by a number or a name that the loop changes."""

    @property
    def all(self) -> dict[str, int]:
        """All that is new against the rounds that led here."""
        return self.novel | self.regained


def news_of(before: Run, after: Run, past: Past, faked: Faked, start: int = 0) -> Novelty:
    """Return what `after` reached from call `start` on that no earlier round did, `before` included."""
    calls = {call.seq: call for call in after.trace() if call.seq >= start and counts(call)}
    own = {text: seq for text, seq in signatures(calls.values()).items() if text not in past.path}
    novel = {text: seq for text, seq in own.items() if text not in past.others}
    news = Novelty(
        novel=novel,
        regained={text: seq for text, seq in own.items() if text in past.others},
        counted={},
        ground={},
        sites=past.new_sites(after, start),
    )
    failed = {subject(call): call for call in before.trace() if call.errno}
    varies = _variations(before, after)
    for text, seq in news.all.items():
        call = calls[seq]
        then = failed.get(subject(call))
        if call.errno and then is not None:
            news.other_errno = news.other_errno or (signature(then), text, seq)
        elif seq in faked.consequences:
            pass
        elif varies is not None and (_shape(call) in varies or (call.name, call.errno) in varies):
            news.varied = news.varied or text
        else:
            news.counted[text] = seq
            if leads_on(text):
                news.ground[text] = seq
    return news


def blocking_signatures(run: Run) -> set[str]:
    """Return the signatures of the failed calls that the run's best hypothesis rests on."""
    diagnosis = run.diagnosis
    if diagnosis is None or not diagnosis.hypotheses or diagnosis.healthy:
        return set()
    found: set[str] = set()
    for evidence in diagnosis.hypotheses[0].evidence:
        try:
            link = parse_link(evidence.link)
        except TriageError:
            continue
        call = run.syscall(int(link.id)) if link.kind == "syscall" and link.id.isdecimal() else None
        if call is not None and call.errno:
            found.add(signature(call))
    return found


def leads_on(text: str) -> bool:
    """Tell whether a new signature shows new ground: an object by name, a failure, a socket or a process.

    Copying, reading and closing the descriptor of a file that a rule put there shows none, nor does asking
    whether it is a terminal, as the C library does before it buffers (isatty(3)).
    """
    name = text.split("(")[0].split(" ")[0]
    if text.startswith(_IS_TERMINAL):
        return False
    return "(" in text or not text.endswith(" ok") or name in LEADS_ON


def ground_lost(before: Run, after: Run) -> tuple[set[str], set[str]]:
    """Return the signatures of what worked before and is not there now, and of these those that lead on.

    A failure that is not repeated later is no loss.
    """
    reached = set(signatures(call for call in before.trace() if not call.errno))
    lost = reached - set(signatures(after.trace()))
    return lost, {text for text in lost if leads_on(text)}


def _shape(call: Syscall) -> tuple[str, str | None]:
    """Return what a call is about without its numbers, and how it ended."""
    return re.sub(r"\d+", "#", subject(call)), call.errno


def _variations(before: Run, after: Run) -> set[tuple[str, str | None]] | None:
    """Return the shapes of the calls in the loop of the run before; None where the run after goes round in
    others, or does not.

    Of a call that had many objects there its name stands for all of them.
    """
    first, second = before.snapshot.loop, after.snapshot.loop
    if first is None or second is None or set(first.names) != set(second.names):
        return None
    shapes: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    found: set[tuple[str, str | None]] = set()
    for call in before.trace():
        if first.first_seq <= call.seq <= first.last_seq and call.name in first.names:
            found.add(_shape(call))
            shapes[call.name, call.errno].add(subject(call))
    return found | {name for name, objects in shapes.items() if len(objects) >= _VARIES}
