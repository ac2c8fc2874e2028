"""The loop that SFEmu stopped at: as its detector reported it, counted again in the calls that were kept."""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.runs.model import Loop, Syscall
from triage_tui.sfemu.contexts import LoopReport

MAX_PERIOD = 64
_SLEEPS = frozenset(
    str.split("nanosleep clock_nanosleep clock_nanosleep_time64 select _newselect pselect6 pselect6_time64")
)


def loop_of(calls: Sequence[Syscall], report: LoopReport | None, *, sleeping: bool) -> Loop | None:
    """Return the loop that `calls` end with, None where they show none.

    Of the round that `report` names the calls show how often it came; without a report the shortest round
    that was repeated counts.
    """
    period = report.period if report is not None else _period(calls)
    if not 0 < period <= min(MAX_PERIOD, len(calls)):
        return None
    first = len(calls) - period
    while first > 0 and _what(calls[first - 1]) == _what(calls[first - 1 + period]):
        first -= 1
    count = (len(calls) - first) // period
    if count < 2:
        return None
    begin = len(calls) - count * period
    rounds = [calls[begin + number * period].seq for number in range(count)]
    last = calls[-period:]
    span = calls[-1].ts_mono_ns - calls[begin].ts_mono_ns if calls[begin].ts_mono_ns else 0
    return Loop(
        period=period,
        repeats=max(count, report.repeats if report is not None else 0),
        first_seq=rounds[0],
        last_seq=calls[-1].seq,
        round_seqs=rounds[-8:],
        names=[call.name for call in last],
        sleeps=sleeping or any(call.name in _SLEEPS and not (call.args or [1])[0] for call in last),
        span_ms=max(0, span) / 1e6,
    )


def _what(call: Syscall) -> tuple[str, tuple[int, ...]]:
    """What SFEmu compares, the return addresses aside."""
    return call.name, tuple(call.args)


def _period(calls: Sequence[Syscall]) -> int:
    for period in range(1, min(MAX_PERIOD, len(calls) // 2) + 1):
        if all(_what(calls[-1 - n]) == _what(calls[-1 - n - period]) for n in range(period)):
            return period
    return 0
