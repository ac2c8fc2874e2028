"""Two futures beside each other, as the commands and the app show them."""

from __future__ import annotations

from difflib import SequenceMatcher

import msgspec

from triage_tui.runs.trials_model import CallLine, Counterfactual, Future
from triage_tui.text import safe_line


class Pair(msgspec.Struct, frozen=True):
    """What the futures have of one thing; safe to show."""

    label: str
    without: str
    with_rules: str

    @property
    def differs(self) -> bool:
        """Whether it is another in the two."""
        return self.without != self.with_rules


def pairs(found: Counterfactual) -> list[Pair]:
    """Return what each future came to, thing by thing."""
    left, right = _told(found.without), _told(found.with_rules)
    return [Pair(label, safe_line(left[label], 400), safe_line(right[label], 400)) for label in left]


def _told(future: Future) -> dict[str, str]:
    figures = future.figures
    cause = f"{future.cause} {future.confidence:.2f}" if future.cause else "-"
    return {
        "ends": f"it {future.ends}",
        "cause": f"{cause}, looks well" if future.healthy else cause,
        "calls": f"{figures.syscalls}, {figures.distinct_signatures} kinds, {figures.failed_syscalls} failed",
        "listens on": ", ".join(figures.listening) or "-",
        "service": "; ".join(future.probes) or "-",
        "faked": "; ".join(future.faked) or "nothing",
        "start": "; ".join(future.started_with) or "as recorded",
        "time": f"{figures.elapsed_ms / 1000:.1f} s",
        "last output": future.output[-1] if future.output else "-",
    }


def calls_beside(found: Counterfactual) -> list[tuple[CallLine | None, CallLine | None]]:
    """Return the calls around the first difference, those that are the same in one row."""
    left, right = found.without.calls, found.with_rules.calls
    matcher = SequenceMatcher(None, [one.same for one in left], [one.same for one in right], autojunk=False)
    rows: list[tuple[CallLine | None, CallLine | None]] = []
    for word, start, end, other, last in matcher.get_opcodes():
        ours: list[CallLine | None] = [*left[start:end]]
        theirs: list[CallLine | None] = [*right[other:last]]
        if word != "equal" and ours and theirs and not _about_the_same(ours[0], theirs[0]):
            # Different calls stand below each other: beside each other they would look like one.
            ours, theirs = [*ours, *(None for _ in theirs)], [*(None for _ in ours), *theirs]
        length = max(len(ours), len(theirs))
        ours += [None] * (length - len(ours))
        theirs += [None] * (length - len(theirs))
        rows += zip(ours, theirs, strict=True)
    return rows


def _about_the_same(first: CallLine | None, second: CallLine | None) -> bool:
    """Tell whether two calls differ in their outcome only."""
    if first is None or second is None:
        return False
    return first.same.rpartition(" ")[0] == second.same.rpartition(" ")[0]


def is_same(left: CallLine | None, right: CallLine | None) -> bool:
    """Tell whether both futures made a call, with the same outcome and by the same hand."""
    return left is not None and right is not None and (left.same, left.rule) == (right.same, right.rule)


def call_text(call: CallLine | None) -> str:
    """Return a call with its number and the rule that had a hand in it, safe to show; "" for none."""
    if call is None:
        return ""
    how = "answered" if call.answered else "helped"
    by = f"  [{how} by {safe_line(call.rule, 60)}]" if call.rule else ""
    return f"{call.seq:>5} {safe_line(call.text, 240)}{by}"
