"""Lay out a seccomp filter as a search tree over the number of the call.

The kernel runs the filter at each system call of the guest, and each piece of the emulator's log is one. It
leaves the filter out, since Linux 5.11, for numbers that get SECCOMP_RET_ALLOW whatever their arguments are
(kernel/seccomp.c, seccomp_is_const_allow: it follows loads of number and machine, comparisons with constants
and jumps, and gives up at any other load). So arguments are loaded behind the decision about the number only,
and a number that is not checked is decided in a few steps. The launcher imports this module, so it uses the
standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LOAD, JUMP, JEQ, JGE, JSET, RETURN, AND = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06, 0x54
"""Codes of linux/filter.h: load a word of struct seccomp_data, jump, jump if, return, keep some bits of the
word."""
ALLOW = 0x7FFF0000
"""SECCOMP_RET_ALLOW."""

Instruction = tuple[int, int, int, int]
"""One struct sock_filter: code, steps to skip if true, steps to skip if false, constant."""

_LONGEST_JUMP = 255
_ALLOWED: list[Instruction] = [(RETURN, 0, 0, ALLOW)]


def assemble(checks: Mapping[int, Sequence[Instruction]], first: int | None = None) -> list[Instruction]:
    """Return the code that decides about the call whose number is loaded.

    `checks` are the instructions for each number that is not just allowed: they return, or fall off their
    end, which allows the call. The number `first` is looked at before all others.
    """
    if first is not None and first in checks:
        rest = {number: check for number, check in checks.items() if number != first}
        own = [*checks[first], *_ALLOWED]
        return [*_branch(JEQ, first, _tree(_intervals(rest)), own)]
    return _tree(_intervals(checks))


def _intervals(checks: Mapping[int, Sequence[Instruction]]) -> list[tuple[int, list[Instruction]]]:
    """Return where, from 0 on, another treatment of numbers begins, and the code of each."""
    intervals: list[tuple[int, list[Instruction]]] = [(0, _ALLOWED)]
    for number in sorted(checks):
        if intervals[-1][0] == number:
            intervals.pop()
        intervals.append((number, [*checks[number], *_ALLOWED]))
        intervals.append((number + 1, _ALLOWED))
    merged = intervals[:1]
    for start, code in intervals[1:]:
        if code != merged[-1][1]:
            merged.append((start, code))
    return merged


def _tree(intervals: Sequence[tuple[int, list[Instruction]]]) -> list[Instruction]:
    if len(intervals) == 1:
        return intervals[0][1]
    middle = len(intervals) // 2
    return _branch(JGE, intervals[middle][0], _tree(intervals[:middle]), _tree(intervals[middle:]))


def _branch(
    test: int, number: int, otherwise: list[Instruction], then: list[Instruction]
) -> list[Instruction]:
    """Return the code that goes on with `then` if the test is true. Both parts return."""
    if len(otherwise) <= _LONGEST_JUMP:
        return [(test, len(otherwise), 0, number), *otherwise, *then]
    return [(test, 0, 1, number), (JUMP, 0, 0, len(otherwise)), *otherwise, *then]
