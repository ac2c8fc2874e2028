"""The loop that a run was frozen in: as the engine found it, or found here in the history's end."""

from __future__ import annotations

from triage_tui.diagnosis import calls as c
from triage_tui.diagnosis.facts import Fact, LoopCall, LoopFact, syscall_source
from triage_tui.diagnosis.trace import Step
from triage_tui.runs.contradictions import is_possible
from triage_tui.runs.model import Loop, Snapshot

MAX_PERIOD = 64
MIN_ROUNDS = 2
MAX_TAIL = 8192
"""Calls looked at for a repetition, from the end."""
LOOPING = ("loop", "sleep_loop", "time_limit", "idle", "requested")


def _signature(step: Step) -> tuple[str, str, str, str, str]:
    """Return what stays the same from round to round: no addresses, no times, no lengths."""
    call = step.call
    return (call.name, step.path, call.errno or "", c.request(call), call.interface or "")


Repetition = tuple[int, int, int]
"""(period, rounds, index of the first call)."""


def repeated_tail(steps: list[Step]) -> Repetition | None:
    """Return (period, rounds, index of the first call) of the repetition that `steps` end with."""
    skipped = max(0, len(steps) - MAX_TAIL)
    signatures = [_signature(step) for step in steps[skipped:]]
    total = len(signatures)
    for period in range(1, min(MAX_PERIOD, total // MIN_ROUNDS) + 1):
        index = total - 1
        while index - period >= 0 and signatures[index] == signatures[index - period]:
            index -= 1
        rounds = (total - 1 - index) // period + 1
        if rounds >= MIN_ROUNDS and total - 1 - index >= period:
            return period, rounds, skipped + index - period + 1
    return None


def repeating_thread(snapshot: Snapshot, steps: list[Step]) -> tuple[list[Step], Repetition | None]:
    """Return the calls of the thread of the main process that repeats most, and its repetition if it has one.

    Threads that all wait in the same call repeat nothing, so each thread is looked at by itself.
    """
    main = snapshot.trigger.pid
    by_thread: dict[tuple[int, int], list[Step]] = {}
    for step in steps:
        call = step.call
        if not main or call.pid == main:
            by_thread.setdefault((call.pid, call.tid), []).append(step)

    found = ((calls, repeated_tail(calls)) for calls in by_thread.values())
    return max(found, key=lambda one: one[1][0] * one[1][1] if one[1] else 0, default=([], None))


def _believed(snapshot: Snapshot, steps: list[Step]) -> Loop | None:
    """Return the loop that the engine saw, None where it can be none or the calls do not show it."""
    loop = snapshot.loop
    if loop is None or not is_possible(loop):
        return None
    # Of a quick one the record may hold only rounds behind the last that was compared.
    return loop if any(step.call.seq >= loop.first_seq for step in steps) else None


def loop_range(snapshot: Snapshot, steps: list[Step]) -> tuple[int, int] | None:
    """Return the sequence numbers between which the loop lies, None when there is no loop."""
    loop = _believed(snapshot, steps)
    if loop is not None:
        last = loop.last_seq
        if snapshot.reason in ("loop", "sleep_loop") and steps:
            # It went on until the freeze, and of a quick one the record may only hold those last rounds.
            last = max(last, steps[-1].call.seq)
        return loop.first_seq, last
    if snapshot.reason not in LOOPING:
        return None
    mine, found = repeating_thread(snapshot, steps)
    if found is not None:
        return mine[found[2]].call.seq, steps[-1].call.seq
    if snapshot.reason in ("loop", "sleep_loop") and steps:
        # No strict period (times or names change from round to round): the later half stands for the loop.
        return steps[len(steps) // 2].call.seq, steps[-1].call.seq
    return None


def _last_round(loop: Loop | None, mine: list[Step]) -> list[Step]:
    """Return the calls of the last round that the engine saw, none when it did not say where that begins."""
    if loop is None or not loop.round_seqs:
        return []
    return [
        step
        for step in mine
        if loop.round_seqs[-1] <= step.call.seq <= loop.last_seq and loop.tid in (0, step.call.tid)
    ]


def loop_facts(
    snapshot: Snapshot, steps: list[Step], rounds: tuple[int, int] | None
) -> list[tuple[str, Fact]]:
    """Return the loop and the calls of its last round as (fact kind, fact)."""
    if rounds is None:
        return []
    inside = [step for step in steps if rounds[0] <= step.call.seq <= rounds[1]]
    main = snapshot.trigger.pid
    mine = [step for step in inside if step.call.pid == main] or inside
    if not mine:
        return []
    seen = _believed(snapshot, steps)
    if seen is not None:
        period, repeats, sleeps = seen.period, seen.repeats, seen.sleeps
    else:
        thread, found = repeating_thread(snapshot, inside)
        if found is not None:
            mine = thread
        period, repeats = (found[0], found[1]) if found else (len(mine), 1)
        sleeps = any(step.operation == "sleep" for step in inside)
    last = _last_round(seen, mine) or (mine[-period:] if period <= len(mine) else mine)
    others = [step for step in inside if step.call.pid != (main or last[-1].call.pid)][-MAX_PERIOD:]
    told = seen.names if seen is not None else []
    names = ",".join(dict.fromkeys(told or (step.call.name for step in last)))
    sure = seen is not None or repeats > 1
    first = last[0].call
    result: list[tuple[str, Fact]] = [
        (
            "loop",
            LoopFact(
                source=syscall_source(first.seq),
                says=f"{period} calls ({names}) are repeated {repeats} times"
                if sure
                else "the calls repeat without a strict period",
                cite=f"{repeats} rounds of {names}"
                if sure
                else f"calls without a strict period ({names})"[:160],
                seq=first.seq,
                pid=first.pid,
                steps=0,
                in_loop=True,
                period=period,
                repeats=repeats,
                sleeps=sleeps or snapshot.reason == "sleep_loop",
                names=names,
            ),
        )
    ]
    listening = any(step.origin is not None and step.origin.listening for step in steps)
    names_of = {step.call.seq: step.call.name for step in steps if step.operation == "open"}
    listed: set[tuple[str, str, str, str, str]] = set()
    for step in (*last, *others):
        if _signature(step) in listed:
            continue
        listed.add(_signature(step))
        call = step.call
        result.append(
            (
                "loop_call",
                LoopCall(
                    source=syscall_source(call.seq),
                    says=f"the loop holds {c.describe(call)}",
                    cite=c.describe(call),
                    seq=call.seq,
                    pid=call.pid,
                    steps=0,
                    in_loop=True,
                    operation=step.operation,
                    name=call.name,
                    ret=call.ret if call.ret is not None and not call.errno else -1,
                    errno=call.errno or "",
                    path=step.absolute or (step.origin.path if step.origin else ""),
                    detail=c.detail(call),
                    origin=step.origin.label if step.origin else "",
                    listening=listening,
                    opened_by=names_of.get(step.origin.seq, "") if step.origin else "",
                ),
            )
        )
    return result
