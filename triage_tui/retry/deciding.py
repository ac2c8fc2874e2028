"""What follows a round: its end because the program is well, the policy's choice, or a person's decision."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from triage_tui.errors import TriageError
from triage_tui.guest.supervisor import Guest
from triage_tui.retry.actions import Decision, LocalActions
from triage_tui.retry.course import Course, Narrator, Round, Terms
from triage_tui.retry.judge import is_well
from triage_tui.retry.memory_windows import answer_asked
from triage_tui.retry.noting import note
from triage_tui.retry.policy import AUTO_ACTOR, choose
from triage_tui.runs.events import EVENTS_FILE, append_event, read_events
from triage_tui.runs.reader import Run

_POLL_S = 0.1


@dataclass(frozen=True)
class Next:
    """What is done next, and the run on which that was decided."""

    action: Decision
    run: Run
    approved: str | None = None
    """Title of the proposal that the policy approved on it for this."""


class Decider:
    """Decides after each round; knows what was tried before."""

    def __init__(self, terms: Terms, course: Course, tell: Narrator) -> None:
        self._terms = terms
        self._course = course
        self._tell = tell
        self._tried: set[str] = set()

    def decide(self, current: Round, guest: Guest | None) -> Next | None:
        """Return what is done after a round; None ends the rounds and says why.

        `guest` is the one that is held frozen, whose memory a person may ask for meanwhile.

        Raises:
            TriageError: the run was removed while its guest waited, or a decision cannot be written.
        """
        run = current.run
        chosen = run.snapshot.reason in ("requested", "syscall")
        if is_well(run, current.verdict) and not chosen:
            self._course.ended = "the program is well"
            self._course.held = None
            verdict = {"verdict": current.verdict.word} if current.verdict is not None else {}
            append_event(run.dir, "ended", {"why": self._course.ended, **verdict})
            return None
        if not self._terms.hold:
            self._course.ended = "one round was asked for"
            return None
        if self._terms.policy == "auto":
            return self._by_policy(current)
        return self._wait(run, guest)

    def leave_to_person(self, run: Run, why: str) -> None:
        """End the rounds with a run on which a person must decide."""
        needs_person(self._terms, run, why, self._tell)
        self._course.ended = f"{why}: a person must decide"

    def _by_policy(self, current: Round) -> Next | None:
        actions = LocalActions(self._terms.workspace, AUTO_ACTOR)
        verdict = current.verdict
        previous = next((r for r in reversed(self._course.rounds[:-1]) if r.approved), None)
        if verdict is not None and verdict.word in ("sideways", "regressed") and previous is not None:
            self._tell(f"{verdict.word}, so {actions.rollback(previous.run.run_id)}")
            previous.approved = None
            current = previous
        elif verdict is not None and verdict.doubted:
            self.leave_to_person(current.run, "the program looks well, and the judge doubts it")
            return None
        limits = self._terms.limits
        if len(self._course.rounds) >= limits.rounds:
            self.leave_to_person(current.run, f"the limit of {limits.rounds} rounds is reached")
            return None
        proposal = choose(current.run, self._tried)
        if proposal is None:
            self.leave_to_person(current.run, "no rule is left that the automatic policy may approve")
            return None
        self._tried.add(proposal.id)
        self._tell(f"approving by policy: {proposal.title} (risk {proposal.risk})")
        # What the policy may approve, it approves beside what is active too; the sentence tells of that.
        self._tell(actions.approve(current.run.run_id, proposal.files, anyway=True))
        current.approved = proposal.title
        return Next("retry", current.run, proposal.title)

    def _wait(self, run: Run, guest: Guest | None) -> Next | None:
        """Wait until somebody decides on the frozen guest, or the time for that is over."""
        if self._course.held is None:
            self._course.ended = "the process is gone, so there is nothing to hold"
            return None
        where = f"-C {self._terms.workspace.root}"
        self._tell(
            f"frozen, waiting for a decision on run {run.run_id}: in another terminal open"
            f" `triage-tui ui {where}` or say `triage-tui approve {where} last --then retry`"
        )
        cancel, patience = self._terms.cancel, self._terms.limits.decision_s
        deadline = time.monotonic() + patience if patience else None
        seen = -1
        while not cancel.is_set():
            try:
                size = (run.dir / EVENTS_FILE).stat().st_size
            except FileNotFoundError:
                self._course.held = None
                raise TriageError(f"run {run.run_id} was removed while its guest waited") from None
            if size != seen:
                seen = size
                events = read_events(run.dir)[0]
                decided = next((e for e in reversed(events) if e.kind == "decision"), None)
                if decided is not None:
                    return self._obey(run, decided.payload.get("action"))
                if guest is not None:
                    answer_asked(run.dir, events, guest.read_memory)
            if deadline is not None and time.monotonic() > deadline:
                self.leave_to_person(run, f"nobody decided within {patience:g} s")
                return None
            cancel.wait(_POLL_S)
        self._course.ended = "interrupted"
        return None

    def _obey(self, run: Run, action: object) -> Next | None:
        if action in ("resume", "retry"):
            return Next("resume" if action == "resume" else "retry", run)
        self._course.ended = "a person ended it"
        return None


def needs_person(terms: Terms, run: Run, why: str, tell: Callable[[str], None]) -> None:
    """Say in a run, and in the audit log if that is possible now, that a person must decide and why.

    Raises:
        TriageError: the run is gone or cannot be written.
    """
    append_event(run.dir, "needs_person", {"why": why})
    try:
        note(terms.workspace.rulebook, run.dir, run.snapshot.target.target_id)
    except TriageError as error:
        tell(str(error))
