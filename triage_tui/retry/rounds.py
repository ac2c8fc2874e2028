"""The loop: run the target, freeze it, record and judge it, have it decided on, and run on or again."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from contextlib import AbstractContextManager

from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE
from triage_tui.diagnosis.report import check_knowledge
from triage_tui.errors import TriageError
from triage_tui.guest.freezing.stops import ON_REQUEST, Stop
from triage_tui.language.choice import wanted_language
from triage_tui.retry.actions import Decision, LocalActions
from triage_tui.retry.course import Course, Narrator, Round, Terms
from triage_tui.retry.deciding import Decider, Next, needs_person
from triage_tui.retry.earlier_rounds import past_of
from triage_tui.retry.expiry import expire
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.guests import RunningGuest
from triage_tui.retry.judge import How, judge
from triage_tui.retry.judged import keep_first, keep_verdict
from triage_tui.retry.judging.faked import switched_off
from triage_tui.retry.pending import decided
from triage_tui.retry.policy import AUTO_ACTOR, Limits, Policy
from triage_tui.retry.record import NoRoom, record_stop
from triage_tui.retry.recurrence import reopen
from triage_tui.retry.retry_log import RetryLog
from triage_tui.retry.rollout import after_run
from triage_tui.retry.rule_decisions import UNLESS_RETRIED
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import append_event, this_process
from triage_tui.runs.limits import DiskUsage, allowance
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_figures import rung_in_words
from triage_tui.runs.verdict_model import Verdict

_ROOM_POLL_S = 1.0


def run_rounds(
    workspace: Workspace,
    start: Start,
    *,
    policy: Policy = "manual",
    limits: Limits | None = None,
    parent: Run | None = None,
    hold: bool = True,
    narrate: Narrator = lambda text: None,
    cancel: threading.Event | None = None,
    freeze: FreezeSwitch | None = None,
) -> Course:
    """Run a target until it is well, nobody can help it further, or a decision ends it.

    With `parent` the first round is judged as a retry of that run. Without `hold` a frozen guest is not kept
    for a person: one round is run, recorded, judged, and the guest ended. `narrate` gets one line of raw text
    for each thing that happens. `freeze` can be set while a guest runs that is held for a person. Whatever
    happens, no guest survives this call.

    Raises:
        TriageError: the target cannot be started, or capture failed; what was recorded before stays.
    """
    workspace.check_writable()
    for text in check_knowledge():
        narrate(text)
    # What is wrong with it is said before a guest is run, not after.
    wanted_language()
    ways = cancel or threading.Event(), freeze or FreezeSwitch()
    runner = _Runner(Terms(workspace, start, policy, limits or Limits(), hold, narrate, *ways))
    try:
        return runner.run(parent)
    finally:
        runner.clean_up()


class _Runner:
    """The state of one course of rounds: the guest that runs now, the run that waits, the rounds so far."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._workspace = terms.workspace
        self._cancel = terms.cancel
        self._log: RetryLog | None = None
        self._guest: RunningGuest | None = None
        self._course = Course()
        self._decider = Decider(terms, self._course, self._tell)
        self._usage = DiskUsage(terms.workspace.runs_dir)

    def clean_up(self) -> None:
        """End the guest and say so in the run that held it; safe at any moment and more than once."""
        if self._guest is not None:
            self._guest.end()
            self._guest = None
        held, self._course.held = self._course.held, None
        if held is not None and held.dir.is_dir():
            append_event(held.dir, "ended", {"why": self._course.ended or "the supervisor was ended"})

    def run(self, parent: Run | None) -> Course:
        """Run round after round until nothing more is decided."""
        following = Next("retry", parent) if parent is not None else None
        while True:
            current = self._round(following)
            if current is None:
                self._course.ended = "interrupted"
                return self._course
            if self._terms.policy == "manual":
                after_run(self._workspace, current.run, self._tell)
            following = self._decider.decide(current, self._guest.guest if self._guest is not None else None)
            if following is None:
                break
        # Not before: what the policy approved is rolled back to the generation from which it began.
        for one in self._course.rounds if self._terms.policy == "auto" else ():
            after_run(self._workspace, one.run, self._tell)
        return self._course

    def _tell(self, text: str) -> None:
        self._terms.narrate(text)
        if self._log is not None:
            self._log.write(text)

    def _round(self, following: Next | None) -> Round | None:
        """Run the guest once, on or again, and record and judge it; None when that was interrupted."""
        before = following.run if following is not None else None
        action = following.action if following is not None else "retry"
        if before is not None:
            decided(
                self._workspace.root, before, "retry_started", this_process(), expect_state=UNLESS_RETRIED
            )
            self._log = RetryLog(before.dir)
            self._log.write(f"run_id={before.run_id} reason={before.snapshot.reason} {action}")
        try:
            with self._reachable(before):
                stop, how = self._run_guest(action)
            if stop.cancelled:
                self._record_end(before, stop)
                raise KeyboardInterrupt
            current = self._record(before, stop, following.approved if following is not None else None)
        except (TriageError, KeyboardInterrupt) as error:
            why = str(error) or f"{self._ended_by} stopped it"
            if self._log is not None:
                self._log.write(why)
            if before is not None:
                needs_person(self._terms, before, f"the retry came to nothing: {why}", self._tell)
            if isinstance(error, TriageError):
                self._take_back(before)
                raise
            return None
        if before is not None:
            current.verdict = self._judge(before, current.run, how)
        elif current.run.snapshot.rule_hits:
            for text in switched_off(current.run):
                self._tell(text)
            try:
                keep_first(self._workspace, current.run)
            except TriageError as error:
                self._tell(str(error))
        return current

    def _take_back(self, before: Run | None) -> None:
        """Where no guest started, leave no rule active that only the automatic policy chose."""
        approved = self._course.rounds[-1].approved if self._course.rounds else None
        if before is not None and approved and self._guest is None and self._terms.policy == "auto":
            with contextlib.suppress(TriageError):
                self._tell(LocalActions(self._workspace, AUTO_ACTOR).rollback(before.run_id))

    def _reachable(self, before: Run | None) -> AbstractContextManager[None]:
        """While the guest runs: let a person end it, and freeze it if it is held for one then."""
        return self._terms.freeze.armed(
            self._workspace.running_dir,
            self._terms.start.argv,
            freezes=self._terms.hold and self._terms.policy == "manual",
            retries=before.run_id if before is not None else "",
            end=self._cancel.set,
        )

    def _run_guest(self, action: Decision) -> tuple[Stop, How]:
        if action == "resume" and self._guest is not None:
            self._course.held = None
            try:
                stop = self._guest.resume(self._cancel, self._terms.freeze)
            except TriageError as error:
                self._tell(f"{error}; so it starts again")
            else:
                return stop, "resume"
        if self._guest is not None:
            self._guest.end()
            self._guest = None
        self._course.held = None
        if self._terms.limits.capture.disk_bytes:
            # Counted while no guest waits for it; what was counted is remembered.
            self._usage.bytes()
        if not self._course.rounds:
            expire(self._workspace, self._terms.start, self._tell)
        self._guest = RunningGuest(self._workspace, self._terms.start, self._tell, self._cancel)
        return self._guest.run(self._cancel, self._terms.freeze), "retry"

    def _record(self, before: Run | None, stop: Stop, approved: str | None = None) -> Round:
        assert self._guest is not None
        holds = self._terms.hold and self._terms.policy == "manual" and not stop.ended and not stop.cancelled
        number = before.snapshot.round + 1 if before is not None else 0
        run = self._write(before, stop, number, holds)
        for text in IN_FORCE.news():
            self._tell(text)
        self._course.held = run if holds else None
        self._tell(run.diagnosis.headline if run.diagnosis else f"stopped: {run.snapshot.reason}")
        if told := reopen(self._workspace, run):
            self._tell(told)
        current = Round(run, approved_before=approved)
        self._course.rounds.append(current)
        return current

    def _record_end(self, before: Run | None, stop: Stop) -> None:
        """Record a guest that runs while its supervisor is asked to end."""
        stop.reason = "requested"
        ended = f"{self._ended_by} ended its supervision"
        stop.trigger.detail = stop.trigger.detail.replace(ON_REQUEST, ended, 1)
        run = self._record(before, stop).run
        append_event(run.dir, "ended", {"why": ended})

    @property
    def _ended_by(self) -> str:
        """The signal that ends the rounds, or whoever else set `cancel`."""
        return getattr(self._cancel, "why", "") or "a person"

    def _write(self, before: Run | None, stop: Stop, number: int, holds: bool) -> Run:
        """Record the stop. A frozen guest waits until the disk has room for it, as long as for a decision."""
        assert self._guest is not None
        patience = self._terms.limits.decision_s or math.inf
        since = time.monotonic()
        told = False
        while True:
            try:
                return record_stop(
                    self._workspace,
                    self._guest,
                    stop,
                    self._terms.start,
                    parent=before,
                    number=number,
                    holder=this_process() if holds else None,
                    allowed=allowance(self._terms.limits.capture, self._workspace.runs_dir, self._usage),
                )
            except NoRoom as error:
                if not holds or time.monotonic() - since > patience:
                    raise
                if not told:
                    self._tell(f"{error}; the guest stays frozen, and is recorded as soon as there is room")
                told = True
                if self._cancel.wait(_ROOM_POLL_S):
                    raise

    def _judge(self, before: Run, run: Run, how: How) -> Verdict:
        verdict = judge(before, run, past_of(self._workspace.runs_dir, before, run), how)
        self._tell(f"verdict: {verdict.word} ({rung_in_words(verdict.rung)}): " + "; ".join(verdict.reasons))
        for line in verdict.masked:
            self._tell(f"masked, not fixed: {line}")
        keep_verdict(self._workspace, before, run, verdict)
        return verdict
