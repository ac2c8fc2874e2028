"""Which rules of a target a run needs: take away and narrow what is not, by real runs in copies.

Delta debugging (`ddmin`) over the active rules of the target, then over what each of the needed ones acts on.
Every trial is held against two runs with all rules (`criterion`). Nothing becomes active: what is smaller is
proposed on the run, and a person approves it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from triage_tui.errors import Stopped, TriageError
from triage_tui.retry import pending
from triage_tui.retry.judging.ends import is_healthy
from triage_tui.retry.one_run import Tell, how_it_stopped
from triage_tui.retry.rules.rule_checks import check_texts, texts_of
from triage_tui.retry.settling import settle
from triage_tui.retry.trials.attempts import Attempts, digests
from triage_tui.retry.trials.criterion import WELL, Criterion
from triage_tui.retry.trials.ddmin import ddmin
from triage_tui.retry.trials.narrowing import narrower
from triage_tui.retry.trials.smaller import propose_smaller, rule_of
from triage_tui.retry.trials.trial import BoundReached, Bounds, Trials
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.generations import Generation
from triage_tui.runs.clock import local_time
from triage_tui.runs.events import default_actor
from triage_tui.runs.reader import Run
from triage_tui.runs.trials_model import Minimised, RuleFate, Tried, keep, kept
from triage_tui.text import number_of, safe_line

EVENT = "minimised"
_TRIED = "tried: without these rules, and with these narrower ones, the program gets as far"
_NOT_WELL = "the program is not well with all rules, so what it needs to be well was not seen"
"""A rule that helps only beyond a failure looks as if nothing needed it."""


def minimise(
    workspace: Workspace,
    run_id: str,
    *,
    tell: Tell = lambda text: None,
    cancel: threading.Event | None = None,
    bounds: Bounds | None = None,
    narrow: bool = True,
    actor: str = "",
) -> tuple[str, Minimised]:
    """Find the smallest set of the active rules with which a run gets as far; return the record and its name.

    What was cancelled, or ran into its bounds, says what is known by then; the next call goes on from there.

    Raises:
        TriageError: there is no such run or no active rule, it cannot be started again, or what the rules
            reach cannot be repeated.
        Stopped: it was cancelled before anything was known.
    """
    settle(workspace.root)
    run = workspace.load(run_id)
    trials = Trials(workspace, run, bounds or Bounds(), tell, cancel or threading.Event())
    active = trials.active()
    if active is None or not active.files:
        raise TriageError(
            f"no rule of the target of run {run.run_id} is active, so there is nothing to minimise"
        )
    with trials:
        work = _Work(trials, active, Attempts(trials, tell, _earlier(run, active)), tell)
        work.refer(run)
        found = work.run(narrow)
    found.actor = actor or default_actor()
    found.wall = local_time()
    away = [one.file for one in found.rules if one.fate == "not_needed"]
    texts = {one.file: work.texts[one.file] for one in found.rules if one.fate == "narrowed"}
    told = [f"take out {number_of(len(away), 'rule')}"] * bool(away)
    told += [f"narrow {number_of(len(texts), 'rule')}"] * bool(texts)
    found.proposal = propose_smaller(
        workspace,
        run,
        active,
        remove=away,
        texts=texts,
        title=" and ".join(told),
        why=_TRIED if WELL in found.criterion else f"{_TRIED}; {_NOT_WELL}",
        actor=found.actor,
    )
    name = keep(run.dir, found)
    payload = {
        "record": name,
        "generation": active.number,
        "complete": found.complete,
        "needed": [one.file for one in found.rules if one.fate in ("needed", "narrowed")],
        "not_needed": [one.file for one in found.rules if one.fate == "not_needed"],
        "says": in_words(found),
    }
    pending.decided(workspace.root, run, EVENT, payload, found.actor)
    return name, found


def in_words(found: Minimised) -> str:
    """Return what came of it in one sentence without a final full stop."""
    counts = {
        fate: sum(one.fate == fate for one in found.rules)
        for fate in ("needed", "narrowed", "not_needed", "untried")
    }
    needed = counts["needed"] + counts["narrowed"]
    told = f"of {number_of(len(found.rules), 'rule')} {needed} {'is' if needed == 1 else 'are'} needed"
    if counts["narrowed"]:
        told += f", {counts['narrowed']} of them narrower"
    if counts["not_needed"]:
        told += f", and {counts['not_needed']} not"
    if counts["untried"]:
        told += f", and of {counts['untried']} it is not known"
    if WELL not in found.criterion:
        told += f"; {_NOT_WELL}"
    if not found.complete:
        told += f"; not all is known: {found.ended}"
    return told


def _earlier(run: Run, active: Generation) -> list[Tried]:
    """Return the trials of a call before that did not end, with the same rules."""
    last = next((one for _, one in kept(run.dir, Minimised)), None)
    goes_on = last is not None and last.generation == active.number and not last.complete
    return list(last.trials) if last is not None and goes_on else []


class _Work:
    """One search: the rules as they are by now, and what came of each."""

    def __init__(self, trials: Trials, active: Generation, attempts: Attempts, tell: Tell) -> None:
        self._trials, self._active, self._attempts, self._tell = trials, active, attempts, tell
        self.texts: dict[str, bytes] = texts_of(active)
        self._kept = list(self.texts)
        self._all = dict(self.texts)
        self._narrowed: dict[str, list[str]] = {}
        self._settled = False
        """Whether it is known which rules are needed."""
        self._runs: list[Run] = []

    def refer(self, run: Run) -> None:
        """Run the program twice with all rules: what is asked of the others.

        Raises:
            TriageError: it cannot be run, or what it reached in `run` cannot be repeated.
        """
        self._runs = [
            self._attempts.reference(self._all, "with all rules"),
            self._attempts.reference(self._all, "with all rules once more"),
        ]
        self._criterion = Criterion(*self._runs)
        self._criterion.check("with the same rules")
        if (
            is_healthy(run)
            and run.snapshot.engine.generation == self._active.number
            and not self._criterion.well
        ):
            raise TriageError(
                f"run {run.run_id} was well with these rules, and now it {how_it_stopped(self._runs[0])}:"
                " what it reached cannot be repeated"
            )

    def run(self, narrow: bool) -> Minimised:
        """Search, within the bounds, and tell what is known."""
        complete, ended = True, ""
        try:
            self._take_away()
            self._settled = True
            if narrow:
                for file in self._kept:
                    self._narrow(file)
        except (BoundReached, Stopped) as error:
            complete, ended = False, str(error)
        return Minimised(
            run=self._trials.run.run_id,
            target=self._trials.target_id,
            generation=self._active.number,
            criterion=self._criterion.lines,
            reference=self._criterion.figures,
            rules=[self._fate(file) for file in self._all],
            trials=self._attempts.tried,
            complete=complete,
            ended=safe_line(ended, 300),
            seconds=round(self._trials.seconds, 1),
        )

    def _take_away(self) -> None:
        idle = [file for file in self._kept if not self._hits(file)]
        if idle and len(idle) < len(self._kept):
            # What never acted goes at once, if it can: one run instead of several.
            rest = [file for file in self._kept if file not in idle]
            if self._as_good(rest, f"without {_named(idle)}, which never acted"):
                self._smaller(rest)
        self._kept = ddmin(self._kept, lambda files: self._as_good(files, self._says(files)), self._smaller)

    def _smaller(self, files: Sequence[str]) -> None:
        self._kept = list(files)

    def _says(self, files: Sequence[str]) -> str:
        away = [file for file in self._all if file not in files]
        return "without any rule" if not files else f"without {_named(away)}"

    def _as_good(self, files: Sequence[str], says: str) -> bool:
        return self._attempts.holds(self._criterion, {file: self._all[file] for file in files}, says)

    def _narrow(self, file: str) -> None:
        for _ in range(2):
            options = list(narrower(file, self.texts[file], self._runs, self._digest(file)))
            for one in options:
                if one.says in self._narrowed.get(file, []):
                    continue
                rules = {name: self.texts[name] for name in self._kept} | {file: one.text}
                checked = check_texts({file: one.text}, self._trials.run.snapshot.target.arch, {})
                if any(finding.severity == "error" for finding in checked[file]):
                    continue
                if self._attempts.holds(self._criterion, rules, f"{_named([file])} {one.says}"):
                    self.texts[file] = one.text
                    self._narrowed.setdefault(file, []).append(one.says)
                    break
            else:
                return

    def _hits(self, file: str) -> int:
        hits = [
            hit for run in self._runs for hit in run.snapshot.rule_hits if hit.sha256 == self._digest(file)
        ]
        return max((hit.hits for hit in hits), default=0)

    def _digest(self, file: str) -> str:
        return digests({file: self._all[file]})[file]

    def _fate(self, file: str) -> RuleFate:
        text = self._all[file]
        one = RuleFate(
            file=file,
            rule=rulefile.parse(text).header.id,
            sha256=self._digest(file),
            fate="untried",
            hits=self._hits(file),
        )
        if file not in self._kept:
            one.fate, one.why = "not_needed", "without it the program gets as far"
        elif self._settled:
            rest = {name: self._all[name] for name in self._kept if name != file}
            one.fate, one.why = "needed", safe_line(self._attempts.why_not(rest), 400)
        if self._settled and file in self._narrowed:
            one.fate, one.narrowed = "narrowed", self._narrowed[file]
            one.narrowed_sha256 = digests({file: self.texts[file]})[file]
        return one


def _named(files: Sequence[str]) -> str:
    names = [rule_of(file) for file in files]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
