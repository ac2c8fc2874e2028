"""Where the calls of two runs of one program part, thread by thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from triage_tui.runs.call_signatures import BY_CHANCE, signature, signatures
from triage_tui.runs.model import Syscall
from triage_tui.runs.trials_model import CallLine
from triage_tui.text import number_of, safe_line

BEFORE, AFTER = 4, 60
"""Calls that are kept before the first difference, and from it on."""
MAX_CALL = 240
_ENDS = frozenset(("exit", "exit_group"))


class Parting(msgspec.Struct, frozen=True):
    """The first difference of two runs.

    `first` and `second` are the calls there, None where the run has no further call in that thread. `common`
    counts the calls of the thread that both have before it. `left` and `right` are what is to be shown.
    """

    first: Syscall | None
    second: Syscall | None
    common: int
    left: list[CallLine]
    right: list[CallLine]

    @property
    def is_one(self) -> bool:
        """Whether the runs part at all."""
        return self.first is not None or self.second is not None


def parting(first: Sequence[Syscall], second: Sequence[Syscall]) -> Parting:
    """Return where the calls of two runs of one program part: of all threads, at the earliest call.

    Threads are those that appear in the same order; of a process that only one run has there is nothing to
    compare, and its parent shows what led to it.
    """
    ours, theirs = _threads(first), _threads(second)
    found: list[Parting] = []
    for left, right in zip(ours, theirs, strict=False):
        common = 0
        while common < min(len(left), len(right)) and _same(left[common], right[common]):
            common += 1
        one = Parting(
            left[common] if common < len(left) else None,
            right[common] if common < len(right) else None,
            common,
            _lines(left, common),
            _lines(right, common),
        )
        if one.is_one or not found:
            found.append(one)
    return min(found, key=_order, default=Parting(None, None, 0, [], []))


def _order(found: Parting) -> tuple[bool, int]:
    """Return what the earliest difference is the least by; no difference comes last."""
    there = found.first or found.second
    return there is None, there.seq if there is not None else 0


def in_words(found: Parting, first: str = "without the rule", second: str = "with it") -> str:
    """Return the first difference as one sentence without a final full stop.

    `first` and `second` say which run is which.
    """
    if not found.is_one:
        return "both make the same calls, to the end"
    told = f"after {number_of(found.common, 'call')} that both make"
    before, after = found.first, found.second
    if before is None:
        assert after is not None
        return f"{told} it ends {first}, and goes on with {shown(after)}{_by(after)} {second}"
    if after is None:
        return f"{told} it goes on with {shown(before)}{_by(before)} {first}, and ends {second}"
    if _what(before) == _what(after):
        return (
            f"{told}, {_what(before)} gives {_outcome(before)}{_by(before)} {first},"
            f" and {_outcome(after)}{_by(after)} {second}"
        )
    return f"{told} it makes {shown(before)}{_by(before)} {first}, and {shown(after)}{_by(after)} {second}"


def lost(before: Iterable[Syscall], after: Iterable[Syscall]) -> list[str]:
    """Return the signatures of calls that succeeded before and are not made after, but for how it ended."""
    had = signatures(call for call in before if not call.errno and call.name not in BY_CHANCE | _ENDS)
    has = signatures(after)
    return [text for text in had if text not in has]


def shown(call: Syscall) -> str:
    """Return a call with its arguments and result, safe to show."""
    arguments = ", ".join(call.arguments) if call.arguments else ", ".join(map(hex, call.args))
    return safe_line(f"{call.name}({arguments}) = {_outcome(call)}", MAX_CALL)


def _what(call: Syscall) -> str:
    return safe_line(signature(call).rpartition(" ")[0], 160)


def _outcome(call: Syscall) -> str:
    if call.ret is None:
        return "?"
    return call.errno or str(call.ret)


def _by(call: Syscall) -> str:
    if call.rule is None:
        return ""
    how = "answered" if call.intercepted else "helped"
    return f" ({how} by rule {safe_line(call.rule, 80)})"


def _threads(calls: Iterable[Syscall]) -> list[list[Syscall]]:
    """Return the calls that can part runs, thread by thread in the order of their first calls."""
    found: dict[tuple[int, int], list[Syscall]] = {}
    for call in calls:
        thread = found.setdefault((call.pid, call.tid), [])
        if call.rule is not None or call.name not in BY_CHANCE:
            thread.append(call)
    return list(found.values())


def _same(first: Syscall, second: Syscall) -> bool:
    return signature(first) == signature(second) and first.rule == second.rule


def _lines(calls: Sequence[Syscall], common: int) -> list[CallLine]:
    return [
        CallLine(
            seq=call.seq,
            text=shown(call),
            same=safe_line(signature(call), MAX_CALL),
            rule=call.rule,
            answered=call.intercepted,
        )
        for call in calls[max(0, common - BEFORE) : common + AFTER]
    ]
