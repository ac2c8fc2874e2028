"""Deciding on several runs at once: what applies to which of them, doing it, and one sentence at the end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui.words import when

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary
    from triage_tui.ui.backend import Actions

Deed = Literal["approve", "reject", "rollback", "resume", "retry", "end"]
MAX_NAMED = 2
"""Failures that the last sentence names."""
MAX_ASKED = 3
"""Runs that the question names."""
MAX_AT_ONCE = 4
"""Retries that run at the same time, on any machine: each is a whole guest."""


class Words(NamedTuple):
    """How a deed is spoken of, each with the number of runs in place of {n}."""

    question: str
    yes: str
    doing: str
    done: str


WORDS: Mapping[Deed, Words] = {
    "approve": Words(
        "Approve the first proposal of {n}? Its rules become active.", "Approve them", "Approving", "approved"
    ),
    "reject": Words("Why reject the proposals of {n}?", "", "Rejecting", "rejected"),
    "rollback": Words(
        "Take the rules of {n} back, byte for byte?", "Roll them back", "Rolling back", "rolled back"
    ),
    "resume": Words(
        "Let the frozen guests of {n} go on with the active rules?", "Resume them", "Resuming", "resumed"
    ),
    "retry": Words("Start the programs of {n} again?", "Start them again", "Retrying", "started again"),
    "end": Words(
        "End the frozen guests of {n}? The records stay.", "End them", "Ending guests", "told to end"
    ),
}


def _unfit(deed: Deed, run: RunSummary) -> str:
    """Return why a deed cannot apply to a run, "" when it can."""
    if run.form in ("misnamed", "writing", "unreadable"):
        return "unreadable"
    match deed:
        case "approve" | "reject":
            if not run.proposals:
                return "without a proposed rule" if deed == "approve" else "without a proposal"
            if run.state == "retrying":
                return "being retried"
            if run.active and deed == "approve":
                return "with active rules already"
            return "rejected already" if run.state == "rejected" and deed == "reject" else ""
        case "rollback":
            return "" if run.active else "without an active rule"
        case "resume" | "end":
            return "" if run.waiting else "not waiting"
        case _:
            return "being retried" if run.state == "retrying" and not run.waiting else ""


class Plan(msgspec.Struct):
    """What a deed will be done to, and to which of the runs it cannot apply."""

    deed: Deed
    fit: list[RunSummary] = msgspec.field(default_factory=list)
    unfit: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """Why it cannot apply, to the ids of the runs."""

    @property
    def question(self) -> str:
        """What is asked before anything is done, with the numbers."""
        asked = WORDS[self.deed].question.format(n=f"{runs_of(len(self.fit))} ({self._named})")
        return " ".join([asked, *self.exceptions])

    @property
    def _named(self) -> str:
        """The runs by program and time; of many the first."""
        shown = [f"{run.name} of {when(run.run_id, long=False)}" for run in self.fit[:MAX_ASKED]]
        more = len(self.fit) - len(shown)
        return ", ".join([*shown, *([f"and {more} more"] if more else [])])

    @property
    def exceptions(self) -> list[str]:
        """One sentence for the runs to which the deed cannot apply."""
        if not self.unfit:
            return []
        reasons = ", ".join(f"{len(ids)} {why}" for why, ids in self.unfit.items())
        return [f"Left out: {reasons}."]


def runs_of(count: int) -> str:
    """Return a number of runs in words."""
    return "1 run" if count == 1 else f"{count} runs"


def plan(deed: Deed, runs: Iterable[RunSummary]) -> Plan:
    """Return what a deed would do to runs, given in the order of the list.

    Rules are active for a target, so approving takes one run of each target, the first.
    """
    found = Plan(deed)
    targets: set[str] = set()
    for run in runs:
        why = _unfit(deed, run)
        if not why and deed == "approve" and run.target_id:
            if run.target_id in targets:
                why = "of the same target as another"
            targets.add(run.target_id)
        if why:
            found.unfit.setdefault(why, []).append(run.run_id)
        else:
            found.fit.append(run)
    return found


class Outcome(msgspec.Struct):
    """What came of a plan."""

    plan: Plan
    done: list[str] = msgspec.field(default_factory=list)
    failed: dict[str, str] = msgspec.field(default_factory=dict)
    """Run to the sentence that says why."""
    cancelled: bool = False

    @property
    def left(self) -> list[str]:
        """The runs that stay marked: those that failed, and those that were not come to."""
        return [run.run_id for run in self.plan.fit if run.run_id not in self.done]

    @property
    def sentence(self) -> str:
        """What was done, what failed and why, in one line."""
        total = len(self.plan.fit)
        words = WORDS[self.plan.deed].done
        said = [f"{len(self.done)} of {runs_of(total)} {words}" if self.left else f"{runs_of(total)} {words}"]
        if self.cancelled:
            said.append("stopped before the others")
        if self.failed:
            named = [
                f"{run_id}: {why.removeprefix(f'run {run_id} ')}"
                for run_id, why in list(self.failed.items())[:MAX_NAMED]
            ]
            more = f"; and {len(self.failed) - MAX_NAMED} more" if len(self.failed) > MAX_NAMED else ""
            said.append(f"{len(self.failed)} failed and stay marked ({'; '.join(named)}{more})")
        return ", ".join(said)


def carry_out(
    chosen: Plan,
    actions: Actions,
    reason: str,
    cancel: threading.Event,
    tell: Callable[[str], None],
    explain: Callable[[Exception], str],
) -> Outcome:
    """Do what was planned, one run after the other; `tell` is told how far it is, in words.

    `reason` is that of a rejection. One that fails does not stop the others; `explain` makes the sentence of
    an error that nobody foresaw.
    """
    outcome = Outcome(chosen)
    for number, run in enumerate(chosen.fit, 1):
        if cancel.is_set():
            outcome.cancelled = True
            break
        tell(f"{number} of {len(chosen.fit)}, {safe_line(run.name, 60)}")
        _try(outcome, run, partial(_do, chosen.deed, actions, run, reason), explain)
    return outcome


def _try(
    outcome: Outcome, run: RunSummary, act: Callable[[], object], explain: Callable[[Exception], str]
) -> None:
    """Do something for one run, and note whether it was done."""
    try:
        act()
    except TriageError as error:
        outcome.failed[run.run_id] = str(error)
    except Exception as error:
        # The defect of one action must not leave the others undone and unsaid.
        outcome.failed[run.run_id] = explain(error)
    else:
        outcome.done.append(run.run_id)


def at_once() -> int:
    """Return how many retries may run at the same time."""
    return min(MAX_AT_ONCE, len(os.sched_getaffinity(0)))


def in_turn(over: int, count: int, waiting: int) -> str:
    """Return how far retries are that run in turn, in a few words."""
    return f"{over} of {count} retried" + (f", {waiting} wait" if waiting else "")


def retry_in_turn(
    chosen: Plan,
    actions: Actions,
    cancel: threading.Event,
    tell: Callable[[int, int], None],
    explain: Callable[[Exception], str],
    most: int,
) -> Outcome:
    """Retry runs, `most` of them at the same time; with `cancel` those go on that began, and no other begins.

    `tell` is told how many are over and how many wait. Returns when the last one came to something, or at
    once when it is cancelled.
    """
    outcome, changing = Outcome(chosen), threading.Lock()
    waiting, over = len(chosen.fit), 0

    def told(begun: int, ended: int) -> None:
        nonlocal waiting, over
        with changing:
            waiting, over = waiting - begun, over + ended
            tell(over, waiting)

    def retry(run: RunSummary) -> None:
        _do("retry", actions, run, "")
        actions.await_retry(run.run_id, cancel)

    def work(run: RunSummary) -> None:
        if cancel.is_set():
            outcome.cancelled = True
            return
        told(1, 0)
        _try(outcome, run, partial(retry, run), explain)
        told(0, 1)

    with ThreadPoolExecutor(most, "retry") as pool:
        list(pool.map(work, chosen.fit))
    return outcome


def _do(deed: Deed, actions: Actions, run: RunSummary, reason: str) -> None:
    match deed:
        case "approve":
            # Nobody saw it meanwhile: what somebody else decided since is told instead.
            actions.approve(run.run_id, [], seen=run.state)
        case "reject":
            actions.reject(run.run_id, reason, seen=run.state)
        case "rollback":
            # The rules that the person saw, not those that somebody else approved while the question stood.
            actions.rollback(run.run_id, seen=run.generation)
        case "retry" if not run.waiting:
            actions.retry(run.run_id)
        case _:
            actions.decide(run.run_id, deed)


def doing(deed: Deed, actions: Actions, reason: str) -> Callable[[str], str]:
    """Return what approves or rejects one run, by its id."""
    return lambda run_id: actions.approve(run_id, []) if deed == "approve" else actions.reject(run_id, reason)


def taken_back(deed: Deed, actions: Actions) -> Callable[[str], str]:
    """Return what takes back an approval or a rejection of one run, by its id."""
    return actions.undo_approval if deed == "approve" else actions.reconsider


def again(run_ids: Sequence[str], act: Callable[[str], str], done: str) -> str:
    """Do something for each run; one that fails does not stop the others.

    Raises:
        TriageError: it failed for every run; says why for the first.
    """
    failed: list[str] = []
    for run_id in run_ids:
        try:
            act(run_id)
        except TriageError as error:
            failed.append(f"{run_id}: {error}")
    if len(failed) == len(run_ids):
        raise TriageError(failed[0])
    said = f"{len(run_ids) - len(failed)} of {runs_of(len(run_ids))}: {done}"
    return f"{said}, {len(failed)} failed ({failed[0]})" if failed else f"{runs_of(len(run_ids))}: {done}"


def why_nothing(chosen: Plan, marked: Sequence[RunSummary]) -> str:
    """Return why a deed applies to none of the marked runs."""
    reasons = ", ".join(f"{len(ids)} {why}" for why, ids in chosen.unfit.items())
    return f"Nothing to do: of {len(marked)} marked, {reasons}."
