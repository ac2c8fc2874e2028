"""The loop: run the target, freeze it, record and judge it, have it decided on, and run on or again."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE
from triage_tui.diagnosis.report import check_knowledge
from triage_tui.errors import Conflict, TriageError
from triage_tui.guest.freezing.stops import ON_REQUEST, Stop
from triage_tui.guest.spec import resolve_target
from triage_tui.language.choice import wanted_language
from triage_tui.retry.actions import Decision, LocalActions
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.guests import RunningGuest, launch_spec
from triage_tui.retry.judging.earlier_rounds import past_of
from triage_tui.retry.judging.faked import switched_off
from triage_tui.retry.judging.judge import How, judge
from triage_tui.retry.pending import decided
from triage_tui.retry.record import NoRoom, record_stop
from triage_tui.retry.rounds.course import Course, Narrator, Round, Terms
from triage_tui.retry.rounds.deciding import Decider, Next, needs_person
from triage_tui.retry.rounds.judged import keep_first, keep_verdict
from triage_tui.retry.rounds.kept_rounds import keep
from triage_tui.retry.rounds.left_behind import left_behind
from triage_tui.retry.rounds.policy import Limits, Policy, written_policy
from triage_tui.retry.rounds.retry_log import RetryLog
from triage_tui.retry.rounds.round_watch import RoundWatch, ShortCycle
from triage_tui.retry.rules.expiry import expire
from triage_tui.retry.rules.rule_decisions import UNLESS_RETRIED
from triage_tui.retry.sharing.recurrence import reopen
from triage_tui.retry.sharing.rollout import after_run
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import append_event, this_process
from triage_tui.runs.limits import DiskUsage, allowance
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_figures import rung_in_words
from triage_tui.runs.verdict_model import Verdict, read_verdict

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
    policy_file: str | Path | None = None,
    checkpoint: bool = False,
) -> Course:
    """Run a target until it is well, nobody can help it further, or a decision ends it.

    With `parent` the first round is judged as a retry of that run; with `checkpoint` it goes on from its
    checkpoint. Without `hold` a frozen guest is not kept
    for a person: one round is run, recorded, judged, and the guest ended. `narrate` gets one line of raw text
    for each thing that happens. `freeze` can be set while a guest runs that is held for a person.
    `policy_file` is the written policy, None for the one in force. Whatever happens, no guest survives this
    call.

    Raises:
        TriageError: the target cannot be started, the policy cannot be used, or capture failed; what was
            recorded before stays.
    """
    for text in left_behind(workspace):
        narrate(text)
    if not start.seed:
        start = msgspec.structs.replace(start, seed=time.time_ns())
    ways = cancel or threading.Event(), freeze or FreezeSwitch()
    written = written_policy(workspace, policy, policy_file, narrate)
    terms = Terms(workspace, start, policy, limits or Limits(), hold, narrate, *ways, written)
    following = Next("checkpoint" if checkpoint else "retry", parent) if parent is not None else None
    return carry_out(terms, Course(), following)


def carry_out(terms: Terms, course: Course, following: Next | None, current: Round | None = None) -> Course:
    """Go on with a course of rounds until it ends: with what follows, or with the decision on `current`.

    Raises:
        TriageError: see `run_rounds`.
    """
    terms.workspace.check_writable()
    for text in check_knowledge():
        terms.narrate(text)
    # What is wrong with it is said before a guest is run, not after.
    wanted_language()
    runner = _Runner(terms, course)
    try:
        return runner.run(following, current)
    finally:
        runner.clean_up()


class _Runner:
    """The state of one course of rounds: the guest that runs now, the run that waits, the rounds so far."""

    def __init__(self, terms: Terms, course: Course) -> None:
        self._terms = terms
        self._workspace = terms.workspace
        self._cancel = terms.cancel
        self._log: RetryLog | None = None
        self._guest: RunningGuest | None = None
        self._course = course
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

    def run(self, following: Next | None, current: Round | None) -> Course:
        """Run round after round until nothing more is decided; first of all decide on `current`, if given."""
        course = self._course
        begun = len(course.rounds)
        resumed = current is not None
        while True:
            if current is None:
                current = self._next_round(following)
                if current is None:
                    return course
                if self._terms.policy == "manual":
                    after_run(self._workspace, current.run, self._tell)
            guest = self._guest.guest if self._guest is not None else None
            following = self._decider.decide(current, guest, resumed=resumed)
            if following is None:
                break
            current, resumed = None, False
        last = course.rounds[-1]
        if course.stage == "retry":
            # It is to be run again.
            self._keep(last.run.snapshot.parent_run or "", last.approved_before)
        else:
            self._keep(last.run.run_id)
        # Not before: what the policy approved is rolled back to the generation from which it began.
        for one in course.rounds[begun:] if self._terms.policy != "manual" else ():
            after_run(self._workspace, one.run, self._tell)
        return course

    def _next_round(self, following: Next | None) -> Round | None:
        """Run a round, with where the course stands written down before and after."""
        course = self._course
        where = (following.run.run_id, following.approved) if following is not None else ("", None)
        course.stage = "retry"
        self._keep(*where)
        try:
            current = self._round(following)
        except TriageError as error:
            course.end(str(error), "retry")
            self._keep(*where)
            raise
        if current is None:
            course.end("interrupted", "retry")
            self._keep(*where)
            return None
        course.stage = "decide"
        self._keep(current.run.run_id)
        return current

    def _keep(self, on: str, approved: str | None = None) -> None:
        """Write down where the course stands; the rounds go on where that is not possible now."""
        try:
            keep(self._terms, self._course, on, approved)
        except TriageError as error:
            self._tell(str(error))

    def _tell(self, text: str) -> None:
        self._terms.narrate(text)
        if self._log is not None:
            self._log.write(text)

    def _round(self, following: Next | None) -> Round | None:
        """Run the guest once, on or again, and record and judge it; None when that was interrupted."""
        before = following.run if following is not None else None
        action = following.action if following is not None else "retry"
        if before is not None:
            begun: dict[str, object] = dict(this_process())
            if action == "checkpoint":
                begun["from"] = "checkpoint"
            decided(self._workspace.root, before, "retry_started", begun, expect_state=UNLESS_RETRIED)
            self._log = RetryLog(before.dir)
            self._log.write(f"run_id={before.run_id} reason={before.snapshot.reason} {action}")
        used = self._course.used
        used.rounds += 1
        began = time.monotonic()
        try:
            with self._reachable(before):
                stop, how = self._run_guest(before, action)
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
        finally:
            self._course.last_s = time.monotonic() - began
            used.seconds += self._course.last_s
        if before is not None:
            current.verdict = self._judge(before, current.run, how)
        elif current.run.snapshot.rule_hits:
            for text in switched_off(current.run).values():
                self._tell(text)
            try:
                keep_first(self._workspace, current.run)
            except TriageError as error:
                self._tell(str(error))
        return current

    def _take_back(self, before: Run | None) -> None:
        """Where no guest started, leave no rule active that only the automatic policy chose."""
        approved = self._course.rounds[-1].approved if self._course.rounds else None
        if before is not None and approved and self._guest is None and self._terms.policy != "manual":
            with contextlib.suppress(TriageError):
                self._tell(LocalActions(self._workspace, self._terms.actor).rollback(before.run_id))

    def _reachable(self, before: Run | None) -> AbstractContextManager[None]:
        """While the guest runs: let a person end it, and freeze it if it is held for one then."""
        return self._terms.freeze.armed(
            self._workspace.running_dir,
            self._terms.start.argv,
            freezes=self._holds,
            retries=before.run_id if before is not None else "",
            end=self._cancel.set,
        )

    @property
    def _holds(self) -> bool:
        """Whether a frozen guest is kept for a person."""
        return self._terms.hold and self._terms.policy != "auto"

    def _run_guest(self, before: Run | None, action: Decision) -> tuple[Stop, How]:
        if action == "resume" and self._guest is not None:
            self._course.held = None
            try:
                stop = self._guest.resume(self._cancel, self._watch(None))
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
        if self._is_first_of_its_program():
            expire(self._workspace, self._terms.start, self._tell)
        how: How = "retry"
        if action == "checkpoint" and before is not None:
            how = self._start_from_checkpoint(before)
        if self._guest is None:
            self._guest = self._started(None)
        return self._guest.run(self._cancel, self._watch(before)), how

    def _started(self, before: Run | None) -> RunningGuest:
        return RunningGuest(
            self._workspace,
            self._terms.start,
            self._tell,
            self._cancel,
            asks_person=self._holds,
            before=before,
        )

    def _start_from_checkpoint(self, before: Run) -> How:
        """Have a guest go on from a checkpoint; where that cannot be, say why, and let it start over.

        Raises:
            TriageError: it cannot be, and nothing else was asked for.
        """
        try:
            self._guest = self._started(before)
        except TriageError as error:
            if not self._course.rounds:
                raise
            self._tell(f"{error}; so it starts again")
            return "retry"
        return "checkpoint"

    def _is_first_of_its_program(self) -> bool:
        """Tell whether the program was not run yet in this course, or is another file than before."""
        if not self._course.rounds:
            return True
        now, _ = resolve_target(launch_spec(self._terms.start))
        return now.program_sha256 != self._course.rounds[-1].run.snapshot.target.program_sha256

    def _watch(self, before: Run | None) -> RoundWatch:
        """Return what ends the round that begins: a person's wish, a limit, or, of a retry, a short cycle."""
        limits, used = self._terms.limits, self._course.used
        ends = [(limits.round_s, f"the limit of {limits.round_s:g} s for a round is reached")]
        if self._terms.policy != "manual" and used.seconds < limits.total_s:
            ends.append(
                (
                    limits.total_s - used.seconds,
                    f"the limit of {limits.total_s:g} s for all rounds is reached",
                )
            )
        ends = [(seconds, says) for seconds, says in ends if seconds]
        guest = self._guest.guest if self._guest is not None else None
        if before is None or guest is None or not limits.short_s:
            return RoundWatch(self._terms.freeze.is_set, ends)
        cycle = ShortCycle(limits.short_s, before, [one.run for one in self._course.rounds])
        trace = guest.trace
        return RoundWatch(
            self._terms.freeze.is_set, ends, limits.short_s, lambda: cycle.verdict(trace.history, trace.count)
        )

    def _record(self, before: Run | None, stop: Stop, approved: str | None = None) -> Round:
        assert self._guest is not None
        holds = self._holds and not stop.ended and not stop.cancelled
        number = before.snapshot.round + 1 if before is not None else 0
        run = self._write(before, stop, number, holds)
        for text in IN_FORCE.news():
            self._tell(text)
        self._course.used.captures += 1
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
                    holds=holds,
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
        try:
            keep_verdict(self._workspace, before, run, verdict)
        except Conflict as error:
            self._tell(str(error))
            return read_verdict(run.dir) or verdict
        return verdict
