"""The loop: run the target, freeze it, record, diagnose, propose, decide, and run on or again."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE
from triage_tui.diagnosis.report import check_knowledge
from triage_tui.errors import TriageError
from triage_tui.guest.freezing.stops import ON_REQUEST, Stop
from triage_tui.language.choice import wanted_language
from triage_tui.retry.actions import Decision, LocalActions
from triage_tui.retry.expiry import expire
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.guests import RunningGuest
from triage_tui.retry.judge import How, judge, switched_off
from triage_tui.retry.judged import keep_first, keep_verdict
from triage_tui.retry.memory_windows import answer_asked
from triage_tui.retry.noting import note
from triage_tui.retry.pending import decided
from triage_tui.retry.policy import AUTO_ACTOR, Limits, Policy, choose
from triage_tui.retry.record import NoRoom, record_stop
from triage_tui.retry.retry_log import RetryLog
from triage_tui.retry.rollout import after_run
from triage_tui.retry.rule_decisions import UNLESS_RETRIED
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import EVENTS_FILE, append_event, read_events, this_process
from triage_tui.runs.limits import DiskUsage, allowance
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import Verdict

Narrator = Callable[[str], None]

_POLL_S = 0.1
_ROOM_POLL_S = 1.0


@dataclass
class Round:
    """One stop of the guest and what came of it."""

    run: Run
    verdict: Verdict | None = None
    approved: str | None = None
    """Title of the proposal that was approved on it and is still active."""
    approved_before: str | None = None
    """Title of the proposal that was approved for this round, whether it was taken back since or not."""


@dataclass
class Story:
    """All rounds of one call of `run_story`, and in one sentence why it ended."""

    rounds: list[Round] = field(default_factory=list)
    ended: str = ""

    @property
    def last_verdict(self) -> Verdict | None:
        """The verdict of the last judged round."""
        return next((r.verdict for r in reversed(self.rounds) if r.verdict is not None), None)

    @property
    def exit_code(self) -> int:
        """0 when the program is well or got further, 1 otherwise."""
        if not self.rounds:
            return 1
        diagnosis = self.rounds[-1].run.diagnosis
        if diagnosis is not None and diagnosis.healthy:
            return 0
        return (
            0 if any(r.verdict and r.verdict.word in ("progressed", "resolved") for r in self.rounds) else 1
        )


def run_story(
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
) -> Story:
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
    teller = _Teller(workspace, start, policy, limits or Limits(), hold, narrate, *ways)
    try:
        return teller.tell(parent)
    finally:
        teller.clean_up()


class _Teller:
    """The state of one story: the guest that runs now, the run that waits, the rounds so far."""

    def __init__(
        self,
        workspace: Workspace,
        start: Start,
        policy: Policy,
        limits: Limits,
        hold: bool,
        narrate: Narrator,
        cancel: threading.Event,
        freeze: FreezeSwitch,
    ) -> None:
        self._workspace = workspace
        self._start = start
        self._policy = policy
        self._limits = limits
        self._hold = hold
        self._narrate = narrate
        self._cancel = cancel
        self._freeze = freeze
        self._log: RetryLog | None = None
        self._guest: RunningGuest | None = None
        self._held: Run | None = None
        self._story = Story()
        self._tried: set[str] = set()
        self._usage = DiskUsage(workspace.runs_dir)
        self._approved: str | None = None

    def clean_up(self) -> None:
        """End the guest and say so in the run that held it; safe at any moment and more than once."""
        if self._guest is not None:
            self._guest.end()
            self._guest = None
        held, self._held = self._held, None
        if held is not None and held.dir.is_dir():
            append_event(held.dir, "ended", {"why": self._story.ended or "the supervisor was ended"})

    def tell(self, parent: Run | None) -> Story:
        """Run round after round until nothing more is decided."""
        before = parent
        action: Decision = "retry"
        while True:
            current = self._round(before, action)
            if current is None:
                self._story.ended = "interrupted"
                return self._story
            if self._policy == "manual":
                after_run(self._workspace, current.run, self._tell)
            decided = self._decide(current)
            if decided is None:
                break
            action, before = decided
        # Not before: what the policy approved is rolled back to the generation from which it began.
        for one in self._story.rounds if self._policy == "auto" else ():
            after_run(self._workspace, one.run, self._tell)
        return self._story

    def _tell(self, text: str) -> None:
        self._narrate(text)
        if self._log is not None:
            self._log.write(text)

    def _note(self, run: Run) -> None:
        """Bring the audit log up to the run's event log; a story goes on where that is not possible now."""
        try:
            note(self._workspace.rulebook, run.dir, run.snapshot.target.target_id)
        except TriageError as error:
            self._tell(str(error))

    def _round(self, before: Run | None, action: Decision) -> Round | None:
        """Run the guest once, on or again, and record and judge it; None when that was interrupted."""
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
            current = self._record(before, stop)
        except (TriageError, KeyboardInterrupt) as error:
            why = str(error) or f"{self._ended_by} stopped it"
            if self._log is not None:
                self._log.write(why)
            if before is not None:
                append_event(before.dir, "needs_person", {"why": f"the retry came to nothing: {why}"})
                self._note(before)
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
        approved = self._story.rounds[-1].approved if self._story.rounds else None
        if before is not None and approved and self._guest is None and self._policy == "auto":
            with contextlib.suppress(TriageError):
                self._tell(LocalActions(self._workspace, AUTO_ACTOR).rollback(before.run_id))

    def _reachable(self, before: Run | None) -> AbstractContextManager[None]:
        """While the guest runs: let a person end it, and freeze it if it is held for one then."""
        return self._freeze.armed(
            self._workspace.running_dir,
            self._start.argv,
            freezes=self._hold and self._policy == "manual",
            retries=before.run_id if before is not None else "",
            end=self._cancel.set,
        )

    def _run_guest(self, action: Decision) -> tuple[Stop, How]:
        if action == "resume" and self._guest is not None:
            self._held = None
            try:
                stop = self._guest.resume(self._cancel, self._freeze)
            except TriageError as error:
                self._tell(f"{error}; so it starts again")
            else:
                return stop, "resume"
        if self._guest is not None:
            self._guest.end()
            self._guest = None
        self._held = None
        if self._limits.capture.disk_bytes:
            # Counted while no guest waits for it; what was counted is remembered.
            self._usage.bytes()
        if not self._story.rounds:
            expire(self._workspace, self._start, self._tell)
        self._guest = RunningGuest(self._workspace, self._start, self._tell, self._cancel)
        return self._guest.run(self._cancel, self._freeze), "retry"

    def _record(self, before: Run | None, stop: Stop) -> Round:
        assert self._guest is not None
        holds = self._hold and self._policy == "manual" and not stop.ended and not stop.cancelled
        number = before.snapshot.round + 1 if before is not None else 0
        run = self._write(before, stop, number, holds)
        for text in IN_FORCE.news():
            self._tell(text)
        self._held = run if holds else None
        self._tell(run.diagnosis.headline if run.diagnosis else f"stopped: {run.snapshot.reason}")
        current = Round(run, approved_before=self._approved)
        self._approved = None
        self._story.rounds.append(current)
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
        """The signal that ends the story, or whoever else set `cancel`."""
        return getattr(self._cancel, "why", "") or "a person"

    def _write(self, before: Run | None, stop: Stop, number: int, holds: bool) -> Run:
        """Record the stop. A frozen guest waits until the disk has room for it, as long as for a decision."""
        assert self._guest is not None
        patience = self._limits.decision_s or math.inf
        since = time.monotonic()
        told = False
        while True:
            try:
                return record_stop(
                    self._workspace,
                    self._guest,
                    stop,
                    self._start,
                    parent=before,
                    number=number,
                    holder=this_process() if holds else None,
                    allowed=allowance(self._limits.capture, self._workspace.runs_dir, self._usage),
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
        earlier = [r.run for r in self._story.rounds[:-1] if r.run is not before]
        verdict = judge(before, run, earlier, how)
        self._tell(f"verdict: {verdict.word} ({verdict.rung}): " + "; ".join(verdict.reasons))
        for line in verdict.masked:
            self._tell(f"masked, not fixed: {line}")
        keep_verdict(self._workspace, before, run, verdict)
        return verdict

    def _decide(self, current: Round) -> tuple[Decision, Run] | None:
        """Return what to do next and on which run it was decided; None ends the story and says why."""
        run = current.run
        chosen = run.snapshot.reason in ("requested", "syscall")
        if run.diagnosis is not None and run.diagnosis.healthy and not chosen:
            self._story.ended = "the program is well"
            self._held = None
            verdict = {"verdict": "resolved"} if current.verdict is not None else {}
            append_event(run.dir, "ended", {"why": self._story.ended, **verdict})
            return None
        if not self._hold:
            self._story.ended = "one round was asked for"
            return None
        if self._policy == "auto":
            return self._decide_by_policy(current)
        return self._wait(run)

    def _decide_by_policy(self, current: Round) -> tuple[Decision, Run] | None:
        actions = LocalActions(self._workspace, AUTO_ACTOR)
        verdict = current.verdict
        previous = next((r for r in reversed(self._story.rounds[:-1]) if r.approved), None)
        if verdict is not None and verdict.word in ("sideways", "regressed") and previous is not None:
            self._tell(f"{verdict.word}, so {actions.rollback(previous.run.run_id)}")
            previous.approved = None
            current = previous
        if len(self._story.rounds) >= self._limits.rounds:
            self._leave_to_person(current.run, f"the limit of {self._limits.rounds} rounds is reached")
            return None
        proposal = choose(current.run, self._tried)
        if proposal is None:
            self._leave_to_person(current.run, "no rule is left that the automatic policy may approve")
            return None
        self._tried.add(proposal.id)
        self._tell(f"approving by policy: {proposal.title} (risk {proposal.risk})")
        self._tell(actions.approve(current.run.run_id, proposal.files))
        current.approved = self._approved = proposal.title
        return "retry", current.run

    def _leave_to_person(self, run: Run, why: str) -> None:
        append_event(run.dir, "needs_person", {"why": why})
        self._note(run)
        self._story.ended = f"{why}: a person must decide"

    def _wait(self, run: Run) -> tuple[Decision, Run] | None:
        """Wait until somebody decides on the frozen guest, or the time for that is over."""
        if self._held is None:
            self._story.ended = "the process is gone, so there is nothing to hold"
            return None
        where = f"-C {self._workspace.root}"
        self._tell(
            f"frozen, waiting for a decision on run {run.run_id}: in another terminal open"
            f" `triage-tui ui {where}` or say `triage-tui approve {where} last --then retry`"
        )
        deadline = time.monotonic() + self._limits.decision_s if self._limits.decision_s else None
        seen = -1
        while not self._cancel.is_set():
            try:
                size = (run.dir / EVENTS_FILE).stat().st_size
            except FileNotFoundError:
                self._held = None
                raise TriageError(f"run {run.run_id} was removed while its guest waited") from None
            if size != seen:
                seen = size
                events = read_events(run.dir)[0]
                decided = next((e for e in reversed(events) if e.kind == "decision"), None)
                if decided is not None:
                    return self._obey(run, decided.payload.get("action"))
                if self._guest is not None:
                    answer_asked(run.dir, events, self._guest.guest.read_memory)
            if deadline is not None and time.monotonic() > deadline:
                self._leave_to_person(run, f"nobody decided within {self._limits.decision_s:g} s")
                return None
            self._cancel.wait(_POLL_S)
        self._story.ended = "interrupted"
        return None

    def _obey(self, run: Run, action: object) -> tuple[Decision, Run] | None:
        if action in ("resume", "retry"):
            return ("resume" if action == "resume" else "retry"), run
        self._story.ended = "a person ended it"
        return None
