"""What a trial must reach to count as good as the runs that it is held against: the judge's word, and more.

The runs to compare with are made twice, in the same way: what only one of them has is chance, and is asked of
nobody. A trial is as good when the judge does not call it worse, it stands on no lower rung, it is well where
they were, and it makes every call that both made by themselves, without a rule's help.
"""

from __future__ import annotations

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry.judging.ends import is_healthy
from triage_tui.retry.judging.judge import judge
from triage_tui.retry.judging.novelty import LEADS_ON
from triage_tui.retry.one_run import how_it_stopped
from triage_tui.runs.call_signatures import BY_CHANCE, SLEEPS, signature
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import RUNGS, Rung, Verdict
from triage_tui.text import number_of, safe_line

_NOT_ASKED = BY_CHANCE | SLEEPS | {"mremap", "restart_syscall"}
"""Calls that a program makes or not by the time that it takes."""
_MUST_SUCCEED = LEADS_ON | {"execve", "execveat", "mount"}
"""Calls that have to succeed again; of others, such as a look for a file, it is enough that they are made."""

WELL = "the program is well"
"""The line of a criterion that only programs have to meet that were well twice."""


class Answer(msgspec.Struct, frozen=True):
    """Whether a trial is as good, and by what it is not."""

    holds: bool
    why: str
    rung: Rung


class Criterion:
    """What two runs with the same rules have in common, asked of further ones."""

    def __init__(self, first: Run, second: Run) -> None:
        self.reference, self._second = first, second
        again = _own_calls(second)
        self._calls = [text for text in _own_calls(first) if text in again]
        answer = of_trials(judge(first, second))
        self.figures = answer.before
        self.rung: Rung = min(answer.rung, judge(second, first).rung, key=rank)
        self.well = is_healthy(first) and is_healthy(second)
        self.repeats = how_it_stopped(first) == how_it_stopped(second)
        """Whether both ended in the same way."""

    def check(self, which: str) -> None:
        """Refuse to hold anything against runs that did not end in the same way; `which` says what they had.

        Raises:
            TriageError: says how they ended.
        """
        if self.repeats:
            return
        first, second = how_it_stopped(self.reference), how_it_stopped(self._second)
        short = "time_limit" in (self.reference.snapshot.reason, self._second.snapshot.reason)
        raise TriageError(
            f"{which} it {first} once and {second} once, so no trial would tell anything"
            + ("; give it more time with --round-time" if short else "")
        )

    @property
    def lines(self) -> list[str]:
        """The criterion in words, one line each."""
        told = ["the judge does not call it worse", f"it reaches the rung {self.rung} or a higher one"]
        if self.well:
            told.append(WELL)
        if self.repeats:
            told.append(f"it {how_it_stopped(self.reference)}, as with all rules")
        count = number_of(len(self._calls), "kind of call", "kinds of calls")
        told.append(f"it makes the {count} that it made twice with all rules, by itself")
        return told

    def ask(self, trial: Run) -> Answer:
        """Tell whether a trial is as good."""
        verdict = judge(self.reference, trial)
        made = {_what(call) for call in trial.trace()}
        missing = [text for text in self._calls if text not in made]
        if verdict.word == "regressed":
            why = "; ".join(verdict.reasons[:2])
        elif rank(verdict.rung) < rank(self.rung):
            why = f"it reaches the rung {verdict.rung} only: it {how_it_stopped(trial)}"
        elif self.well and not is_healthy(trial):
            headline = trial.diagnosis.headline if trial.diagnosis is not None else ""
            why = f"the program is not well: {headline or how_it_stopped(trial)}"
        elif self.repeats and how_it_stopped(trial) != how_it_stopped(self.reference):
            why = f"it {how_it_stopped(trial)}, and {how_it_stopped(self.reference)} with all rules"
        elif missing:
            rest = number_of(len(missing) - 1, "other kind of call", "other kinds of calls")
            why = f"{missing[0]} is not reached" + (f", nor {rest}" if len(missing) > 1 else "")
        else:
            return Answer(True, f"it {how_it_stopped(trial)}", verdict.rung)
        return Answer(False, safe_line(why, 400), verdict.rung)


def rank(rung: Rung) -> int:
    """Return how high a rung of the success ladder is; the good end of work that has one is beyond it."""
    return RUNGS.index(rung) if rung in RUNGS else len(RUNGS)


def of_trials(verdict: Verdict) -> Verdict:
    """Return a verdict without what leads to its runs: those of trials are gone."""
    verdict.links = []
    for one in (verdict.before, verdict.after):
        one.run_id = ""
    return verdict


def _own_calls(run: Run) -> dict[str, None]:
    """Return what the run did by calls that succeeded without a rule's help, in order."""
    return {
        _what(call): None
        for call in run.trace()
        if call.rule is None and not call.errno and call.name not in _NOT_ASKED
    }


def _what(call: Syscall) -> str:
    """Return what is asked of a call: that it is made, or that it succeeds too."""
    text = signature(call)
    return text if call.name in _MUST_SUCCEED else text.rpartition(" ")[0]
