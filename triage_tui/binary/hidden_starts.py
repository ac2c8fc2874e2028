"""Functions that nobody is seen to call: code behind the end of another that nothing of that one leads to.

A function reached only from elsewhere (an exported one, one whose address is made in a way that is not
followed) has no caller in the file. Where code ends (a return, a jump away, a call that never comes back) and
what follows is the target of no branch, another function begins, unless a jump by a table may lead there.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Container, Sequence

from triage_tui.binary.elf_layout import ElfLayout
from triage_tui.binary.linkage import Linkage
from triage_tui.binary.sweep.follower import Notes

NEVER_RETURN = frozenset((
    "abort", "exit", "_exit", "_Exit", "quick_exit", "err", "errx", "verr", "verrx", "longjmp", "_longjmp",
    "siglongjmp", "pthread_exit", "__stack_chk_fail", "__fortify_fail", "__chk_fail", "__assert_fail",
    "__assert", "__longjmp_chk", "__libc_start_main", "__uClibc_main", "__cxa_throw", "__cxa_rethrow",
    "_Unwind_Resume", "__cxa_end_cleanup", "_ZSt9terminatev", "__cxa_throw_bad_array_new_length",
))  # fmt: skip
"""Functions of the C and C++ libraries behind whose calls nothing goes on."""
_MAX_GAP = 4096
"""Bytes of literals and padding between two functions."""
_NEAR = 1 << 16
"""Bytes that a conditional branch spans within one function; one that goes further is a call in effect."""


def ends_of(notes: Notes, linkage: Linkage, starts: Container[int]) -> list[int]:
    """Return where code ends, in order: behind returns, jumps, and calls that never come back.

    `starts` are the functions that are known.
    """
    ends = set(notes.ends)
    never = {target for target, name in linkage.stubs.items() if _plain(name) in NEVER_RETURN}
    # Behind a call that comes back there is code of the same function, no literal.
    never |= {target for _, target, _, end in notes.calls if end in notes.literals or end in starts}
    ends |= {end for _, target, _, end in notes.calls if target in never}
    slots = {slot for slot, name in linkage.got.items() if _plain(name) in NEVER_RETURN}
    ends |= {end for _, slot, end in notes.slot_calls if slot in slots}
    return sorted(ends)


def _plain(name: str) -> str:
    return name.partition("@")[0]


class Spans:
    """Which places conditional branches of the function before them lead across."""

    def __init__(self, notes: Notes) -> None:
        pairs = [*zip(notes.conditions, notes.condition_targets, strict=True), *notes.cases]
        self._pairs = sorted((site, target) for site, target in pairs if site < target < site + _NEAR)

    def crossed(self, place: int, starts: Sequence[int]) -> bool:
        """Say whether a branch between the last of `starts` (ordered) and `place` leads behind it."""
        before = bisect.bisect_left(starts, place) - 1
        low = starts[before] if before >= 0 else 0
        at = bisect.bisect_left(self._pairs, (max(low, place - _NEAR), 0))
        while at < len(self._pairs) and self._pairs[at][0] < place:
            if self._pairs[at][1] > place:
                return True
            at += 1
        return False


def hidden_starts(
    known: list[int],
    ends: list[int],
    notes: Notes,
    layout: ElfLayout,
    padding: Callable[[int], int],
) -> list[int]:
    """Return where functions begin behind the ends of others.

    Args:
        known: where functions begin as far as that is known otherwise, ordered.
        ends: where code ends, ordered.
        notes: what the code said.
        layout: the file.
        padding: gives the bytes of one unit of padding at an address, 0 where there is none.
    """
    found: list[int] = []
    starts = set(known)
    branches = sorted([*zip(notes.conditions, notes.condition_targets, strict=True), *notes.cases])
    switches = sorted(notes.switches)
    jumps = {site: target for site, target, _ in notes.jumps}
    ahead = {end: target for end, target in notes.jumps_ahead if target < end + _NEAR}
    into: dict[int, list[int]] = {}
    for site, target in jumps.items():
        into.setdefault(target, []).append(site)
    current = reach = last_switch = -1
    at_known = at_branch = at_switch = 0
    for end in ends:
        before = current
        while at_known < len(known) and known[at_known] < end:
            current = max(current, known[at_known])
            at_known += 1
        if current != before:
            reach = -1
        while at_branch < len(branches) and branches[at_branch][0] < end:
            site, target = branches[at_branch]
            at_branch += 1
            if current <= site < target < site + _NEAR:
                reach = max(reach, target)
        while at_switch < len(switches) and switches[at_switch] < end:
            last_switch = switches[at_switch]
            at_switch += 1
        if last_switch >= current:
            # Cases of a switch look like functions of their own.
            continue
        start = _behind(end, notes, layout, padding)
        if start is None or start in starts or reach >= start:
            continue
        if any(current <= site < start for site in into.get(start, ())):
            continue
        if start in notes.targets and start < ahead.get(end, 0) and ahead[end] not in starts:
            # A loop that is entered at its test, which stands at its end.
            continue
        if current < jumps.get(start, -1) < start:
            # The end of a loop.
            continue
        found.append(start)
        starts.add(start)
        current, reach = start, -1
    return found


def _behind(at: int, notes: Notes, layout: ElfLayout, padding: Callable[[int], int]) -> int | None:
    """Return where code goes on behind literals and padding, None where none does."""
    one = layout.code_at(at)
    if one is None or one.linkage:
        return None
    stop = min(one.end, at + _MAX_GAP)
    while at < stop:
        if at & ~3 in notes.literals:
            at = (at & ~3) + 4
        elif size := padding(at):
            at += size
        else:
            return at
    return None
