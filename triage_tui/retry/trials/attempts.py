"""Trials that are judged by one criterion, remembered by the rules that they had, and told as lines."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping

from triage_tui.errors import Stopped, TriageError
from triage_tui.retry.one_run import Tell
from triage_tui.retry.trials.criterion import Criterion
from triage_tui.retry.trials.trial import BoundReached, Trials
from triage_tui.runs.reader import Run
from triage_tui.runs.trials_model import Tried

_CANNOT = "it cannot be run so"


class Attempts:
    """What was tried so far."""

    def __init__(self, trials: Trials, tell: Tell, earlier: Iterable[Tried] = ()) -> None:
        """`earlier` are trials of the same kind that were made before.

        They are not made again, but for those that could not be run: that may have been the machine.
        """
        self._trials, self._tell = trials, tell
        self.tried = [one for one in earlier if one.held is not None and not one.why.startswith(_CANNOT)]
        self.runs: dict[str, Run] = {}
        """The run of each set of rules, by `key`."""

    def reference(self, rules: Mapping[str, bytes], says: str) -> Run:
        """Run the program once with rules that others are held against.

        Raises: as `Trials.with_rules`.
        """
        self._tell(f"{says}: run {self._trials.count + 1}")
        began = time.monotonic()
        run = self._trials.with_rules(rules)
        self.tried.append(
            Tried(
                rules=digests(rules),
                says=says,
                held=None,
                why="the others are held against it",
                seconds=round(time.monotonic() - began, 1),
            )
        )
        return run

    def why_not(self, rules: Mapping[str, bytes]) -> str:
        """Return by what a set of rules that was tried is not as good, "" where it is, or was not tried."""
        wanted = digests(rules)
        return next((one.why for one in self.tried if one.rules == wanted and one.held is False), "")

    def holds(self, criterion: Criterion, rules: Mapping[str, bytes], says: str) -> bool:
        """Run the program with a set of rules, unless that was done, and tell whether it is as good.

        A set of rules with which the program cannot be run is not.

        Raises:
            BoundReached: the runs or the time are over.
            Stopped: it was cancelled.
        """
        wanted = digests(rules)
        before = next((one for one in self.tried if one.rules == wanted), None)
        if before is not None:
            return before.held is not False
        began = time.monotonic()
        self._tell(f"{says}: run {self._trials.count + 1} of {self._trials.bounds.runs} at most")
        one = Tried(rules=wanted, says=says, held=False)
        try:
            run = self._trials.with_rules(rules)
        except (BoundReached, Stopped):
            raise
        except TriageError as error:
            one.held, one.why = False, f"{_CANNOT}: {error}"
        else:
            answer = criterion.ask(run)
            one.held, one.why, one.rung = answer.holds, answer.why, answer.rung
            self.runs[key(rules)] = run
        one.seconds = round(time.monotonic() - began, 1)
        self.tried.append(one)
        self._tell(f"{says}: {'as good' if one.held else 'not as good'}, {one.why}")
        return bool(one.held)


def digests(rules: Mapping[str, bytes]) -> dict[str, str]:
    """Return the path and SHA-256 of each rule, in the order of their paths."""
    return {name: hashlib.sha256(text).hexdigest() for name, text in sorted(rules.items())}


def key(rules: Mapping[str, bytes]) -> str:
    """Return what a set of rules is told from others by."""
    return ",".join(f"{name}:{digest}" for name, digest in digests(rules).items())
