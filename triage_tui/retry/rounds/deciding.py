"""What follows a round: its end because the program is well, the policy's choice, or a person's decision."""

from __future__ import annotations

import time

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.supervisor import Guest
from triage_tui.retry.actions import Decision, LocalActions
from triage_tui.retry.inspecting.memory_windows import answer_asked
from triage_tui.retry.judging.accidents import killed_from_outside, replaced
from triage_tui.retry.judging.judge import is_well
from triage_tui.retry.noting import note
from triage_tui.retry.pending import decided_by_another
from triage_tui.retry.rounds.course import Course, LimitName, Narrator, Round, Stage, Terms
from triage_tui.retry.rounds.policy import choose
from triage_tui.retry.rounds.written_policy import Allowed
from triage_tui.retry.rules.proposed import approvable
from triage_tui.retry.trials.counterfactual import observe
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.events import EVENTS_FILE, append_event, read_events, this_process
from triage_tui.runs.reader import Run
from triage_tui.text import number_of

_POLL_S = 0.1
_ROOM_POLL_S = 1.0


class Next(msgspec.Struct, frozen=True):
    """What is done next, and the run on which that was decided."""

    action: Decision
    run: Run
    approved: str | None = None
    """Title of the proposal that the policy approved on it for this."""


class Decider:
    """Decides after each round."""

    def __init__(self, terms: Terms, course: Course, tell: Narrator) -> None:
        self._terms = terms
        self._course = course
        self._tell = tell

    def decide(self, current: Round, guest: Guest | None, *, resumed: bool = False) -> Next | None:
        """Return what is done after a round; None ends the rounds and says why.

        `guest` is the one of this round, whose memory a person may ask for while it waits frozen. With
        `resumed` a person has seen what happened to it from outside, and wants the rounds to go on from it.

        Raises:
            TriageError: the run was removed while its guest waited, or a decision cannot be written.
        """
        run = current.run
        chosen = run.snapshot.reason in ("requested", "syscall")
        if is_well(run, current.verdict) and not chosen:
            self._course.end("the program is well")
            verdict = {"verdict": current.verdict.word} if current.verdict is not None else {}
            append_event(run.dir, "ended", {"why": self._course.ended, **verdict})
            return None
        if not self._terms.hold:
            self._course.end("one round was asked for")
            return None
        frozen = guest if guest is not None and guest.is_frozen else None
        if self._terms.policy == "manual":
            return self._wait(run, frozen)
        if not resumed and self._is_accident(current):
            return None
        following, why, over = self._by_policy(current)
        if following is not None:
            return following
        if self._terms.policy == "assist" and frozen is not None:
            return self._wait(run, frozen, why)
        self._leave(run, why, "decide", over)
        return None

    def _is_accident(self, current: Round) -> bool:
        """Leave a round to a person that something from outside decided: the policy draws nothing from it."""
        run = current.run
        if why := killed_from_outside(run):
            self._leave(run, f"{why}; `triage-tui resume {run.run_id}` runs the round again", "retry")
            return True
        again = current.verdict is not None and current.verdict.how != "resume"
        before = self._before(run) if again else None
        if before is None or not (why := replaced(before, run)):
            return False
        # It never compares with what was run before: only this round can be gone on from. What was tried on
        # the other file says nothing of this one.
        self._course.tried.clear()
        self._leave(run, f"{why}; `triage-tui resume {run.run_id}` goes on with the new one", "decide")
        return True

    def _before(self, run: Run) -> Run | None:
        """Return the run of this course that another one retries."""
        return next((r.run for r in self._course.rounds if r.run.run_id == run.snapshot.parent_run), None)

    def _leave(self, run: Run, why: str, stage: Stage, over: LimitName = "") -> None:
        """End the rounds with a run on which a person must decide."""
        needs_person(self._terms, run, why, self._tell)
        self._course.end(f"{why}: a person must decide", stage)
        self._course.left, self._course.over = True, over

    def _by_policy(self, current: Round) -> tuple[Next | None, str, LimitName]:
        """Return what the policy has done next; else why a person must decide, and at which limit."""
        course = self._course
        actions = LocalActions(self._terms.workspace, self._terms.actor)
        verdict = current.verdict
        previous = next((r for r in reversed(course.rounds[:-1]) if r.approved), None)
        if verdict is not None and verdict.word in ("sideways", "regressed") and previous is not None:
            try:
                self._tell(f"{verdict.word}, so {actions.rollback(previous.run.run_id)}")
            except TriageError as error:
                # Somebody else changed the rules since, or nothing can be written: not on top of that.
                return None, f"{verdict.word}, and not taken back: {error}", ""
            previous.approved = None
            current = previous
        elif verdict is not None and verdict.doubted:
            return None, "the program looks well, and the judge doubts it", ""
        over, why = self._over()
        return (None, why, over) if over else self._approved(current, actions)

    def _approved(self, current: Round, actions: LocalActions) -> tuple[Next | None, str, LimitName]:
        """Approve the best that the policy allows and that can be; else say why there is none."""
        terms, course = self._terms, self._course
        refused: dict[str, str] = {}
        while choice := choose(current.run, course.tried | refused.keys(), terms.written, terms.automatic):
            proposal, line = choice
            if told := decided_by_another(current.run, terms.actor):
                return None, told, ""
            self._tell(f"approving by policy: {proposal.title} (risk {proposal.risk}), by {line}")
            try:
                if isinstance(line.says, Allowed) and line.says.observed:
                    self._check_future(current.run, proposal)
                # What is in the way of an active rule is for a person to see, unless none is to be asked.
                said = actions.approve_by_policy(
                    current.run.run_id, proposal.files, str(line), anyway=terms.policy == "auto"
                )
            except TriageError as error:
                # Its check found a mistake in it, it is active already, or nothing can be written.
                refused[proposal.id] = f"{proposal.title!r} cannot be approved: {error}"
                self._tell(refused[proposal.id])
                continue
            self._tell(said)
            course.tried.add(proposal.id)
            course.used.rules += 1
            current.approved = proposal.title
            return Next("retry", current.run, proposal.title), "", ""
        return None, next(iter(refused.values()), "") or self._nothing_left(current.run), ""

    def _check_future(self, run: Run, proposal: Proposal) -> None:
        """Run the program without and with what is proposed; the approval then cites what was seen.

        Raises:
            TriageError: it does not get further with it, or that cannot be tried.
        """
        began = time.monotonic()
        try:
            _, seen = observe(
                self._terms.workspace,
                run.run_id,
                proposal.files,
                tell=self._tell,
                cancel=self._terms.cancel,
                actor=self._terms.actor,
            )
        finally:
            self._course.used.seconds += time.monotonic() - began
        if not seen.better:
            raise TriageError(f"the future with it is {seen.verdict.word}: {seen.difference}")

    def _nothing_left(self, run: Run) -> str:
        """Say that the policy approves nothing of a run, and what it leaves to a person."""
        best = next(approvable(run, self._course.tried), None)
        if best is not None:
            return f"no line of {self._terms.written} allows {best.title!r} (risk {best.risk})"
        return f"no rule is left that --policy {self._terms.policy} may approve"

    def _over(self) -> tuple[LimitName, str]:
        """Return the limit that is reached and how that is said, "" for none."""
        limits, used = self._terms.limits, self._course.used
        reached: list[tuple[LimitName, float, float, str]] = [
            ("rounds", used.rounds, limits.rounds, number_of(limits.rounds, "round")),
            ("round_s", self._course.last_s, limits.round_s, f"{limits.round_s:g} s for a round"),
            ("total_s", used.seconds, limits.total_s, f"{limits.total_s:g} s for all rounds"),
            ("rules", used.rules, limits.rules, number_of(limits.rules, "rule change")),
            ("captures", used.captures, limits.captures, number_of(limits.captures, "capture")),
        ]
        for name, amount, most, words in reached:
            if most and amount >= most:
                return name, f"the limit of {words} is reached"
        return "", ""

    def _wait(self, run: Run, guest: Guest | None, why: str = "") -> Next | None:
        """Wait until somebody decides on the frozen guest, or the time for that is over.

        Only here the run is announced as one that waits: its verdict is on disk, and the policy has passed
        it on.
        """
        if guest is None:
            self._course.end("the process is gone, so there is nothing to hold", "decide")
            return None
        if not self._announce(run, why):
            self._course.end("interrupted", "decide")
            return None
        because = f"{why}: " if why else ""
        where = f"-C {self._terms.workspace.root}"
        self._tell(
            f"{because}frozen, waiting for a decision on run {run.run_id}: in another terminal open"
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
                answer_asked(run.dir, events, guest.read_memory)
            if deadline is not None and time.monotonic() > deadline:
                self._leave(run, f"nobody decided within {patience:g} s", "decide")
                return None
            cancel.wait(_POLL_S)
        self._course.end("interrupted", "decide")
        return None

    def _announce(self, run: Run, why: str) -> bool:
        """Say that the guest of a run waits, as soon as the disk has room for that; False when cancelled."""
        payload: dict[str, object] = {"holder": this_process()}
        if why:
            payload["why"] = why
        told = False
        while True:
            try:
                append_event(run.dir, "waiting", payload)
            except TriageError as error:
                if not (run.dir / EVENTS_FILE).exists():
                    raise
                if not told:
                    self._tell(f"{error}; the guest stays frozen, and waits for a decision once that is so")
                told = True
                if self._terms.cancel.wait(_ROOM_POLL_S):
                    return False
            else:
                self._course.held = run
                return True

    def _obey(self, run: Run, action: object) -> Next | None:
        if action == "resume" or action == "retry" or action == "checkpoint":
            return Next(action, run)
        self._course.end("a person ended it")
        return None


def needs_person(terms: Terms, run: Run, why: str, tell: Narrator) -> None:
    """Say in a run, and in the audit log, that a person must decide; what cannot be written is told."""
    try:
        append_event(run.dir, "needs_person", {"why": why})
        note(terms.workspace.rulebook, run.dir, run.snapshot.target.target_id)
    except TriageError as error:
        tell(str(error))
