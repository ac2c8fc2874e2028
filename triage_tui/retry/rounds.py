"""The loop: run the target, freeze it, record, diagnose, propose, decide, and run on or again."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.retry.actions import Decision, LocalActions
from triage_tui.retry.guests import RunningGuest, start_guest
from triage_tui.retry.judge import judge
from triage_tui.retry.policy import AUTO_ACTOR, Limits, Policy, choose
from triage_tui.retry.record import record_stop
from triage_tui.retry.retry_log import RetryLog
from triage_tui.retry.start import Start, write_start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import EVENTS_FILE, append_event, read_events, this_process
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import Verdict
from triage_tui.runs.writer import encode_json

Narrator = Callable[[str], None]

_POLL_S = 0.1


@dataclass
class Round:
    """One stop of the guest and what came of it."""

    run: Run
    verdict: Verdict | None = None
    approved: str | None = None
    """Title of the proposal that was approved on it."""


@dataclass
class Story:
    """All rounds of one call of `run_story`."""

    rounds: list[Round] = field(default_factory=list)
    ended: str = ""
    """Why it ended, one sentence."""

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
) -> Story:
    """Run a target until it is well, nobody can help it further, or a decision ends it.

    With `parent` the first round is judged as a retry of that run. Without `hold` a frozen guest is not kept
    for a person: one round is run, recorded, judged, and the guest ended. `narrate` gets one line of raw text
    for each thing that happens. Whatever happens, no guest survives this call.

    Raises:
        TriageError: the target cannot be started, or capture failed; what was recorded before stays.
    """
    teller = _Teller(workspace, start, policy, limits or Limits(), hold, narrate, cancel or threading.Event())
    try:
        return teller.tell(parent)
    finally:
        teller.clean_up()


class _Teller:
    """The state of one story: the guest that runs now and the rounds so far."""

    def __init__(
        self,
        workspace: Workspace,
        start: Start,
        policy: Policy,
        limits: Limits,
        hold: bool,
        narrate: Narrator,
        cancel: threading.Event,
    ) -> None:
        self._workspace = workspace
        self._start = start
        self._policy = policy
        self._limits = limits
        self._hold = hold
        self._narrate = narrate
        self._cancel = cancel
        self._scratch = Path(tempfile.mkdtemp(prefix="triage-tui-"))
        self._guest: RunningGuest | None = None
        self._held: Run | None = None
        self._story = Story()
        self._tried: set[str] = set()

    def clean_up(self) -> None:
        """End the guest and remove what it left; safe to call at any moment and more than once."""
        if self._guest is not None:
            self._guest.end()
            self._guest = None
        if self._held is not None:
            append_event(self._held.dir, "ended", {"why": "the supervisor ended"})
            self._held = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    def tell(self, parent: Run | None) -> Story:
        before, how = parent, "retry"
        log = self._begin_retry(parent) if parent is not None else None
        action: Decision = "retry"
        while True:
            current = self._run_once(before, how, action, log)
            chosen = self._decide(current)
            if chosen is None:
                self._end_guest(current)
                return self._story
            action = chosen
            before, how = current.run, "resume" if action == "resume" else "retry"
            log = self._begin_retry(current.run)

    def _begin_retry(self, run: Run) -> RetryLog:
        append_event(run.dir, "retry_started", this_process())
        log = RetryLog(run.dir)
        log.write(f"run_id={run.run_id} reason={run.snapshot.reason} round={run.snapshot.round + 1}")
        return log

    def _run_once(self, before: Run | None, how: str, action: Decision, log: RetryLog | None) -> Round:
        def tell(text: str) -> None:
            self._narrate(text)
            if log is not None:
                log.write(text)

        if action == "resume" and self._guest is not None:
            if before is not None:
                append_event(before.dir, "resumed", {})
            self._held = None
            tell("the guest goes on with the active rules")
            stop = self._guest.resume(tell, self._cancel)
        else:
            self._end_current()
            guest_scratch = Path(tempfile.mkdtemp(prefix="guest-", dir=self._scratch))
            self._guest = start_guest(self._workspace, self._start, guest_scratch, tell)
            stop = self._guest.run(tell, self._cancel)
        holder = this_process() if self._hold and self._policy == "manual" and not stop.ended else None
        number = before.snapshot.round + 1 if before is not None else 0
        run = record_stop(self._workspace, self._guest, stop, parent=before, number=number, holder=holder)
        write_start(run.dir, self._start)
        self._held = run if holder else None
        current = Round(run)
        self._story.rounds.append(current)
        tell(run.diagnosis.headline if run.diagnosis else f"stopped: {run.snapshot.reason}")
        if before is not None:
            current.verdict = self._judge(before, run, how, tell)
        return current

    def _judge(self, before: Run, run: Run, how: str, tell: Narrator) -> Verdict:
        earlier = [r.run for r in self._story.rounds[:-1] if r.run is not before]
        verdict = judge(before, run, earlier, how)
        write_atomic(run.dir / "verdict.json", encode_json(verdict))
        append_event(
            before.dir,
            "retry_finished",
            {"verdict": verdict.word, "run": run.run_id, "rung": verdict.rung, "reasons": verdict.reasons},
        )
        tell(f"verdict: {verdict.word} ({verdict.rung}): " + "; ".join(verdict.reasons))
        for line in verdict.masked:
            tell(f"masked, not fixed: {line}")
        return verdict

    def _decide(self, current: Round) -> Decision | None:
        """Return what to do next, None to end; sets why the story ends."""
        run = current.run
        if run.diagnosis is not None and run.diagnosis.healthy:
            self._story.ended = "the program is well"
            return None
        if not self._hold:
            self._story.ended = "one round was asked for"
            return None
        if len(self._story.rounds) >= self._limits.rounds and self._policy == "auto":
            return self._leave_to_person(run, f"the limit of {self._limits.rounds} rounds is reached")
        if self._policy == "auto":
            return self._decide_by_policy(current)
        return self._wait(run)

    def _decide_by_policy(self, current: Round) -> Decision | None:
        actions = LocalActions(self._workspace, AUTO_ACTOR)
        verdict = current.verdict
        previous = self._story.rounds[-2] if len(self._story.rounds) > 1 else None
        if verdict is not None and verdict.word in ("sideways", "regressed") and previous is not None:
            self._narrate(f"{verdict.word}: {actions.rollback(previous.run.run_id)}")
            current = previous
        proposal = choose(current.run, self._tried)
        if proposal is None:
            return self._leave_to_person(current.run, "no rule is left that the automatic policy may approve")
        self._tried.add(proposal.id)
        current.approved = proposal.title
        self._narrate(f"approving by policy: {proposal.title} (risk {proposal.risk})")
        self._narrate(actions.approve(current.run.run_id, proposal.files))
        return "retry"

    def _leave_to_person(self, run: Run, why: str) -> None:
        append_event(run.dir, "needs_person", {"why": why})
        self._story.ended = f"{why}: a person must decide"

    def _wait(self, run: Run) -> Decision | None:
        """Wait until somebody decides on the frozen guest, or the time for that is over."""
        if self._held is None:
            self._story.ended = "the process is gone, so there is nothing to hold"
            return None
        self._narrate(f"frozen, waiting for a decision on run {run.run_id}")
        deadline = time.monotonic() + self._limits.decision_s if self._limits.decision_s else None
        seen = -1
        while not self._cancel.is_set():
            try:
                size = (run.dir / EVENTS_FILE).stat().st_size
            except FileNotFoundError:
                raise TriageError(f"run {run.run_id} was removed while its guest waited") from None
            if size != seen:
                seen = size
                event = next((e for e in reversed(read_events(run.dir)[0]) if e.kind == "decision"), None)
                if event is not None:
                    return self._take(run, str(event.payload.get("action")))
            if deadline is not None and time.monotonic() > deadline:
                return self._leave_to_person(run, f"nobody decided within {self._limits.decision_s:g} s")
            self._cancel.wait(_POLL_S)
        self._story.ended = "interrupted"
        return None

    def _take(self, run: Run, action: str) -> Decision | None:
        if action == "resume":
            return "resume"
        if action == "retry":
            return "retry"
        self._story.ended = "a person ended it"
        return None

    def _end_guest(self, current: Round) -> None:
        self._end_current()
        if self._held is not None:
            append_event(self._held.dir, "ended", {"why": self._story.ended})
            self._held = None

    def _end_current(self) -> None:
        if self._guest is not None:
            self._guest.end()
            self._guest = None
