"""Which change of the rules made a program get less far: bisection over generations, then over their changes.

Between a generation that was good and one that is not, half of the way is tried each time, until two
neighbours are left; of what differs between these, the smallest part that makes the difference by itself is
found by delta debugging (`ddmin`). Every trial is a real run in a copy, held against two runs with the good
rules (`criterion`). Nothing becomes active: taking the guilty rules back is proposed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from triage_tui.errors import Stopped, TriageError
from triage_tui.retry import pending
from triage_tui.retry.one_run import Tell
from triage_tui.retry.rules.named_rules import generation
from triage_tui.retry.rules.rule_checks import texts_of
from triage_tui.retry.settling import settle
from triage_tui.retry.trials.attempts import Attempts, key
from triage_tui.retry.trials.criterion import Criterion
from triage_tui.retry.trials.ddmin import ddmin
from triage_tui.retry.trials.difference import in_words as parted_in_words
from triage_tui.retry.trials.difference import parting
from triage_tui.retry.trials.smaller import propose_smaller, rule_of
from triage_tui.retry.trials.trial import BoundReached, Bounds, Trials
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, rulefile
from triage_tui.rulebook.manifest import verify
from triage_tui.runs.clock import local_time
from triage_tui.runs.events import default_actor
from triage_tui.runs.reader import Run
from triage_tui.runs.trials_model import Bisected, Change, keep
from triage_tui.text import number_of, safe_line

EVENT = "bisected"


def bisect(
    workspace: Workspace,
    run_id: str,
    *,
    good: int | None = None,
    tell: Tell = lambda text: None,
    cancel: threading.Event | None = None,
    bounds: Bounds | None = None,
    actor: str = "",
) -> tuple[str, Bisected]:
    """Find the change of rules by which a run got less far; return the record and its name.

    `good` is a generation that was good (0: no rule), by default that of the run which this one retries.

    Raises:
        TriageError: there is no such run or generation, the program cannot be started again, or the
            difference between the good and the bad rules cannot be repeated.
        Stopped: it was cancelled before anything was known.
    """
    settle(workspace.root)
    run = workspace.load(run_id)
    trials = Trials(workspace, run, bounds or Bounds(), tell, cancel or threading.Event())
    bad = run.snapshot.engine.generation
    if good is None:
        good = _before(workspace, run)
    if good == bad:
        raise TriageError(
            f"run {run.run_id} had the rules of generation {bad}, and so had the good one:"
            " say with --good N which generation was good"
        )
    with trials:
        found = _Search(trials, Attempts(trials, tell), tell).run(good, bad)
    found.actor = actor or default_actor()
    found.wall = local_time()
    if found.guilty:
        found.proposal = _propose(workspace, run, found)
    name = keep(run.dir, found)
    payload = {
        "record": name,
        "good": found.last_good,
        "bad": found.first_bad,
        "complete": found.complete,
        "guilty": [f"{one.what} {one.file}" for one in found.guilty],
        "says": in_words(found),
    }
    pending.decided(workspace.root, run, EVENT, payload, found.actor)
    return name, found


def in_words(found: Bisected) -> str:
    """Return what came of it in one sentence without a final full stop."""
    where = (
        f"generation {found.last_good or 'none'} is good and generation {found.first_bad or 'none'} is not"
    )
    if not found.guilty:
        return f"{where}; not all is known: {found.ended}"
    names = ", ".join(f"{safe_line(one.rule or one.file, 80)} was {one.what}" for one in found.guilty)
    return f"{where}: {names}"


def _before(workspace: Workspace, run: Run) -> int:
    """Return the generation of the run that a run retries, and the one before its own where there is none."""
    try:
        return workspace.load(run.snapshot.parent_run or "").snapshot.engine.generation
    except TriageError:
        target = run.snapshot.target.target_id
        number = run.snapshot.engine.generation
        return (generation(workspace, target, number).parent or 0) if number else 0


class _Search:
    def __init__(self, trials: Trials, attempts: Attempts, tell: Tell) -> None:
        self._trials, self._attempts, self._tell = trials, attempts, tell
        self._directory = trials.workspace.rulebook_dir(trials.target_id)

    def run(self, good: int, bad: int) -> Bisected:
        """Search between two generations, within the bounds, and tell what is known.

        Raises:
            TriageError: there is no such generation, or the difference cannot be repeated.
        """
        rules, worse = self._texts(good), self._texts(bad)
        first = self._attempts.reference(rules, f"with {_called(good)}")
        second = self._attempts.reference(rules, f"with {_called(good)} once more")
        criterion = Criterion(first, second)
        criterion.check(f"with {_called(good)}")
        if self._attempts.holds(criterion, worse, f"with {_called(bad)}"):
            raise TriageError(
                f"with {_called(bad)} it gets as far as with {_called(good)}: there is nothing to find"
                " (--good N names another generation that was good)"
            )
        found = Bisected(
            run=self._trials.run.run_id,
            target=self._trials.target_id,
            good=good,
            bad=bad,
            last_good=good,
            first_bad=bad,
            criterion=criterion.lines,
            guilty=[],
            why=[],
            trials=self._attempts.tried,
            complete=True,
        )
        try:
            self._generations(criterion, found)
            self._changes(criterion, found, first)
        except (BoundReached, Stopped) as error:
            found.complete, found.ended = False, safe_line(str(error), 300)
        found.seconds = round(self._trials.seconds, 1)
        return found

    def _generations(self, criterion: Criterion, found: Bisected) -> None:
        low, high = sorted((found.good, found.bad))
        known = [0, *(one.number for one in generations.history(self._directory))]
        between = [number for number in known if low <= number <= high]
        if found.good > found.bad:
            between.reverse()
        left, right = 0, len(between) - 1
        while right - left > 1:
            middle = (left + right) // 2
            number = between[middle]
            if self._attempts.holds(criterion, self._texts(number), f"with {_called(number)}"):
                left = middle
            else:
                right = middle
            found.last_good, found.first_bad = between[left], between[right]

    def _changes(self, criterion: Criterion, found: Bisected, reference: Run) -> None:
        before, after = self._texts(found.last_good), self._texts(found.first_bad)
        changed = [
            name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)
        ]

        def applied(names: Sequence[str]) -> dict[str, bytes]:
            rules = {name: text for name, text in before.items() if name not in names}
            return rules | {name: after[name] for name in names if name in after}

        def fails(names: Sequence[str]) -> bool:
            told = ", ".join(rule_of(name) for name in names[:3]) or "no change"
            return not self._attempts.holds(
                criterion,
                applied(names),
                f"with {_called(found.last_good)} and {told} as in {_called(found.first_bad)}",
            )

        guilty = ddmin(changed, fails, lambda names: None)
        found.guilty = [_change(name, before, after) for name in guilty]
        rules = applied(guilty)
        found.why = [self._attempts.why_not(rules)]
        culprit = self._attempts.runs.get(key(rules))
        if culprit is None:
            return
        parts = parting(reference.trace(), culprit.trace())
        told = parted_in_words(parts, "with the good rules", "with the change")
        found.why.append(safe_line(told, 600))
        for hit in culprit.snapshot.rule_hits:
            if hit.hits and any(one.rule == hit.rule and one.what != "removed" for one in found.guilty):
                found.why.append(
                    f"rule {safe_line(hit.rule, 80)} acted at {number_of(hit.hits, 'call')} of {hit.syscall}"
                )

    def _texts(self, number: int) -> dict[str, bytes]:
        """Return the rules of a generation, proved.

        Raises:
            TriageError: there is none, or it was changed.
        """
        if number == 0:
            return {}
        made = generation(self._trials.workspace, self._trials.target_id, number)
        if problems := verify(made):
            raise TriageError(f"generation {number} cannot be tried: {problems[0]}")
        return texts_of(made)


def _propose(workspace: Workspace, run: Run, found: Bisected) -> str:
    """Propose to have the guilty files as they were, where the active ones are those that are guilty."""
    active = generations.current(workspace.rulebook_dir(found.target))
    if active is None:
        return ""
    before = texts_of(generation(workspace, found.target, found.last_good)) if found.last_good else {}
    guilty = generation(workspace, found.target, found.first_bad).files if found.first_bad else {}
    if any(active.files.get(one.file) != guilty.get(one.file) for one in found.guilty):
        return ""
    added = [one.file for one in found.guilty if one.what == "added"]
    texts = {one.file: before[one.file] for one in found.guilty if one.what != "added"}
    names = ", ".join(rule_of(one.file) for one in found.guilty[:3])
    return propose_smaller(
        workspace,
        run,
        active,
        remove=added,
        texts=texts,
        title=f"take back what made it worse: {names}",
        why=f"tried: {in_words(found)}",
        actor=found.actor,
    )


def _change(name: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Change:
    rule = rulefile.parse(after.get(name, before.get(name, b""))).header.id
    if name not in before:
        return Change(file=name, rule=rule, what="added")
    return Change(file=name, rule=rule, what="changed" if name in after else "removed")


def _called(number: int) -> str:
    return f"generation {number}" if number else "no rule of the target"
