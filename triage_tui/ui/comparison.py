"""Two runs side by side: what happened, why, rules, frames, registers, descriptors and syscalls.

Lines are compared as they are shown. What both have in common is one row for many lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from triage_tui.runs.frame_model import Frame
from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.text import safe_line
from triage_tui.ui.headline import what_happened
from triage_tui.ui.loading import RunView
from triage_tui.ui.rows import Part, Row, clip, fit, heading, short, wrapped
from triage_tui.ui.words import call_words, target_words

SIDE_BY_SIDE = 100
"""Cells from which both runs have a column; below that they have signs, as in a unified diff."""
CONTEXT = 2
"""Lines in common that are shown around a difference."""
MAX_ALIGNED = 1500
"""Lines of each run that are aligned, after those in common at both ends: aligning takes quadratic time."""


class Pair(NamedTuple):
    """A line of one run beside that of the other; None where one has nothing to put beside it."""

    left: str | None
    right: str | None

    @property
    def same(self) -> bool:
        """Whether both say the same."""
        return self.left == self.right


class ComparedPart(NamedTuple):
    """One part of the comparison."""

    title: str
    pairs: list[Pair]
    note: str = ""
    """What was left out, if anything."""


def align(left: Sequence[str], right: Sequence[str]) -> tuple[list[Pair], int]:
    """Return both lists beside each other, and how many lines in the middle were left out."""
    head = 0
    while head < min(len(left), len(right)) and left[head] == right[head]:
        head += 1
    tail = 0
    while tail < min(len(left), len(right)) - head and left[-1 - tail] == right[-1 - tail]:
        tail += 1
    old, new = left[head : len(left) - tail], right[head : len(right) - tail]
    cut = max(0, len(old) - MAX_ALIGNED) + max(0, len(new) - MAX_ALIGNED)
    old, new = old[:MAX_ALIGNED], new[:MAX_ALIGNED]
    pairs = [Pair(line, line) for line in left[:head]]
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs += [Pair(line, line) for line in old[i1:i2]]
            continue
        for offset in range(max(i2 - i1, j2 - j1)):
            one = old[i1 + offset] if i1 + offset < i2 else None
            other = new[j1 + offset] if j1 + offset < j2 else None
            pairs.append(Pair(one, other))
    return pairs + [Pair(line, line) for line in left[len(left) - tail :]], cut


def compare(left: RunView, right: RunView) -> list[ComparedPart]:
    """Return the parts in which two runs are compared; takes up to a second, so call it in a thread."""
    made = [
        ("What happened", _facts(left), _facts(right)),
        ("Diagnosis", _diagnosis(left), _diagnosis(right)),
        ("Rules", _rules(left), _rules(right)),
        ("Backtrace", _frames(left.snapshot), _frames(right.snapshot)),
        ("Registers", _registers(left.snapshot), _registers(right.snapshot)),
        ("Descriptors", _descriptors(left.snapshot), _descriptors(right.snapshot)),
        ("Syscalls", [_call(call) for call in left.calls], [_call(call) for call in right.calls]),
    ]
    parts = []
    for title, one, other in made:
        pairs, cut = align(one, other)
        note = f"{cut} lines are left out: the runs differ too much there" if cut else ""
        parts.append(ComparedPart(title, pairs, note))
    return parts


def _facts(view: RunView) -> list[str]:
    snapshot, figures = view.snapshot, view.snapshot.statistics
    lines = [
        target_words(snapshot),
        safe_line(f"it {what_happened(snapshot)}", 200),
        f"round {snapshot.round}",
        f"{figures.syscalls} syscalls, {figures.distinct_signatures} kinds, {figures.failed_syscalls} failed",
        f"after {figures.elapsed_ms / 1000:.1f} s",
    ]
    if figures.listening:
        lines.append(safe_line("listening at " + ", ".join(figures.listening), 200))
    word = view.verdict.get("word")
    return [*lines, f"verdict: {safe_line(str(word), 40)}"] if word else lines


def _diagnosis(view: RunView) -> list[str]:
    hypotheses = view.diagnosis.hypotheses if view.diagnosis else []
    return [safe_line(f"{one.cause} {one.confidence:.2f}", 80) for one in hypotheses[:20]]


def _rules(view: RunView) -> list[str]:
    return [safe_line(f"{hit.rule}: {hit.hits} hits", 120) for hit in view.snapshot.rule_hits[:64]]


def _frames(snapshot: Snapshot) -> list[str]:
    return [_frame(frame) for frame in snapshot.backtrace.frames[:256]]


def _frame(frame: Frame) -> str:
    where = f"{frame.module_name or '?'}+{frame.module_offset or frame.addr:#x}"
    return safe_line(f"{frame.func_name or '?'}  {where}", 200)


def _registers(snapshot: Snapshot) -> list[str]:
    return [
        safe_line(f"{one.name} {one.value if isinstance(one.value, str) else f'{one.value:#x}'}", 80)
        for one in snapshot.regs[:512]
    ]


def _descriptors(snapshot: Snapshot) -> list[str]:
    return [safe_line(f"{one.fd} {one.state or one.target}", 200) for one in snapshot.fds[:4096]]


def _call(call: Syscall) -> str:
    name, arguments, result = call_words(call)
    return clip(f"{name}({arguments})", 200) + f" = {result}"


def comparison_rows(parts: Sequence[ComparedPart], names: tuple[str, str], width: int) -> list[Row]:
    """Return the comparison as rows: two columns where there is room, else lines with `-` and `+`."""
    rows = _titles(names, width)
    for part in parts:
        differ = sum(not pair.same for pair in part.pairs)
        note = f"{differ} of {len(part.pairs)} differ" if differ else "the same" if part.pairs else "none"
        if rows:
            rows.append(Row(()))
        rows.append(heading(part.title, width, note))
        rows += _pairs(part.pairs, width)
        if part.note:
            rows += wrapped(f"{part.note}.", width, "warn", 2)
    return rows


def _titles(names: tuple[str, str], width: int) -> list[Row]:
    """Return which run is which: the head of each column, or the sign of each run and its name."""
    if width < SIDE_BY_SIDE:
        signs = (("- ", "removed"), ("+ ", "added"))
        return [
            Row(((sign, role), (short(name, width - 2), "strong")))
            for (sign, role), name in zip(signs, names, strict=True)
        ]
    column = (width - 3) // 2
    left, right = (fit(short(name, column), column) for name in names)
    return [Row(((left, "strong"), (" │ ", "rule"), (right, "strong")))]


def _pairs(pairs: Sequence[Pair], width: int) -> Iterator[Row]:
    """Yield the rows of one part, what is in common and far from a difference as one row."""
    near = [False] * len(pairs)
    for index, pair in enumerate(pairs):
        if not pair.same:
            for place in range(max(0, index - CONTEXT), min(len(pairs), index + CONTEXT + 1)):
                near[place] = True
    index = 0
    while index < len(pairs):
        end = index
        while end < len(pairs) and not near[end]:
            end += 1
        if end - index == 1:
            yield from _pair(pairs[index], width)
        elif end > index:
            yield Row(((f"  … {end - index} lines in common", "faint"),))
        else:
            yield from _pair(pairs[index], width)
            end = index + 1
        index = end


def _pair(pair: Pair, width: int) -> Iterator[Row]:
    if width >= SIDE_BY_SIDE:
        column = (width - 3) // 2
        roles = ("muted", "muted") if pair.same else ("removed", "added")
        cells: list[Part] = [
            (fit("" if text is None else text, column), role)
            for text, role in zip((pair.left, pair.right), roles, strict=True)
        ]
        # A sign as well as a colour.
        yield Row((cells[0], (" │ " if pair.same else " ≠ ", "rule" if pair.same else "changed"), cells[1]))
    elif pair.same:
        yield Row((("  ", ""), (clip(pair.left or "", width - 2), "muted")))
    else:
        for sign, text, role in (("- ", pair.left, "removed"), ("+ ", pair.right, "added")):
            if text is not None:
                yield Row(((sign, role), (clip(text, width - 2), role)))
