"""Marking several runs on the main screen, and deciding on all of them at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from textual import on

from triage_tui.errors import TriageError
from triage_tui.ui.messages import Done, GoesOn, SeveralDone, Trouble
from triage_tui.ui.screens.review import Decided
from triage_tui.ui.screens.tools import ToolsScreen

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp
    from triage_tui.ui.screens.progress import Progress
    from triage_tui.ui.several import Deed, Outcome, Plan


class QueueProgress:
    """How far retries are that run in turn. They last: it stands in the title, and nothing is covered."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
        """Set when those that wait are not to begin."""
        self.far = ""
        self.waiting = 0
        """How many have not begun."""

    def tell(self, app: TriageApp, far: str) -> None:
        """Say how far they are."""
        self.far = far
        app.main.refresh_bars()

    def close(self) -> None:
        """Say no more."""
        self.far = ""


class SeveralScreen(ToolsScreen):
    """The part of the main screen that acts on the marked runs: in the list of runs, when some are marked."""

    _progress: Progress | None = None
    retries: QueueProgress | None = None
    """Marked retries that are under way."""
    _marked_then: set[str] | None = None
    """What was marked when the last decision on several runs was done."""

    @property
    def on_marked(self) -> bool:
        """Whether decisions now concern the marked runs."""
        return self.active == "runs" and bool(self.runs.list.marked)

    # --- marking -----------------------------------------------------------------------------------------

    def action_mark_run(self) -> None:
        """Mark the run or the folded story under the cursor, or take its mark away."""
        if not self.runs.toggle_mark():
            self.say("There is no run here to mark.")
        self.refresh_bars()

    def action_mark_all(self) -> None:
        """Mark all runs that pass the filter, or drop all marks."""
        self.runs.mark_all()
        self.refresh_bars()

    def action_mark_range(self) -> None:
        """Begin to mark every row that the cursor passes, or end that."""
        began = self.runs.toggle_range()
        self.say("Rows are marked as the cursor passes; v or esc ends that." if began else "The range ends.")
        self.refresh_bars()

    def drop_marks(self) -> bool:
        """End a range, or drop all marks; False when there are none."""
        if self.active != "runs":
            return False
        if self.runs.in_range:
            self.runs.toggle_range()
            return True
        marked = bool(self.runs.list.marked)
        self.runs.set_marks(())
        return marked

    # --- deciding ----------------------------------------------------------------------------------------

    def action_approve(self) -> None:
        """Approve, for the marked runs or the one that is shown."""
        if not self._decided_on_marked("approve"):
            super().action_approve()

    def action_reject(self) -> None:
        """Reject, with one reason for all."""
        if not self._decided_on_marked("reject"):
            super().action_reject()

    def action_rollback(self) -> None:
        """Roll back."""
        if not self.rolls_marked_back or not self._decided_on_marked("rollback"):
            super().action_rollback()

    @property
    def rolls_marked_back(self) -> bool:
        """Whether the marked runs are rolled back: not while what was done to them last can be undone."""
        just_decided = bool(self.decided) and bool(self.decided[-1].runs)
        return self.on_marked and not (just_decided and self.runs.list.marked == self._marked_then)

    def action_resume(self) -> None:
        """Let frozen guests go on."""
        if not self._decided_on_marked("resume"):
            super().action_resume()

    def action_retry(self) -> None:
        """Start programs again."""
        if not self._decided_on_marked("retry"):
            super().action_retry()

    def action_end_guest(self) -> None:
        """End frozen guests."""
        if not self._decided_on_marked("end"):
            super().action_end_guest()

    def _decided_on_marked(self, deed: Deed) -> bool:
        """Ask once and act on all marked runs; False when none is marked."""
        if not self.on_marked:
            return False
        if self.refused():
            return True
        if deed == "retry" and self.retries is not None:
            self.say("The retries before are still under way: esc in this list drops those that wait.")
            return True
        if self._progress is not None:
            self.say("The decision before is still under way.")
            return True
        from triage_tui.ui.screens.patching import REASONS
        from triage_tui.ui.screens.question import Question
        from triage_tui.ui.several import WORDS, plan, why_nothing

        marked = self.runs.marked_runs
        chosen = plan(deed, marked)
        if not chosen.fit:
            self.say(why_nothing(chosen, marked), "warning")
            return True
        answers = REASONS if deed == "reject" else (("no", "Leave them"), ("yes", WORDS[deed].yes))

        def answered(answer: str | None) -> None:
            if answer not in (None, "no"):
                self._carry_out(chosen, str(answer))

        other = "Another reason" if deed == "reject" else ""
        self.app.push_screen(Question(chosen.question, answers, other), answered)
        return True

    def _carry_out(self, chosen: Plan, reason: str) -> None:
        from triage_tui.ui.screens.progress import Progress
        from triage_tui.ui.several import WORDS, carry_out

        if chosen.deed == "retry":
            self._retry_in_turn(chosen)
            return
        doing, actions = WORDS[chosen.deed].doing, self.app.actions
        progress = self._progress = Progress(doing)

        def explain(error: Exception) -> str:
            return self.app.reports.sentence(doing, error)

        def tell(far: str) -> None:
            self.post_message(GoesOn(progress, far))

        def work() -> None:
            outcome = carry_out(chosen, actions, reason, progress.cancel, tell, explain)
            self.post_message(SeveralDone(progress, outcome, reason))

        self.run_worker(work, thread=True, group="action", exit_on_error=False)

    def _retry_in_turn(self, chosen: Plan) -> None:
        from triage_tui.ui.several import WORDS, at_once, in_turn, retry_in_turn

        actions, progress = self.app.actions, QueueProgress()
        self.retries, progress.waiting = progress, len(chosen.fit)

        def explain(error: Exception) -> str:
            return self.app.reports.sentence(WORDS["retry"].doing, error)

        def tell(over: int, waiting: int) -> None:
            progress.waiting = waiting
            self.post_message(GoesOn(progress, in_turn(over, len(chosen.fit), waiting)))

        def work() -> None:
            outcome = retry_in_turn(chosen, actions, progress.cancel, tell, explain, at_once())
            self.post_message(SeveralDone(progress, outcome))

        self.run_worker(work, thread=True, group="action", exit_on_error=False)

    @property
    def retries_not_begun(self) -> int:
        """How many marked retries wait for their turn, or waited when the app was left."""
        return self.retries.waiting if self.retries is not None else 0

    def stop_deciding(self) -> None:
        """Let a decision on several runs end after the run that it is at, and begin no retry that waits."""
        for progress in (self._progress, self.retries):
            if progress is not None:
                progress.cancel.set()

    def drop_waiting_retries(self) -> bool:
        """Begin none of the marked retries that wait; False when there are none, or that was said before."""
        if self.retries is None or self.retries.cancel.is_set():
            return False
        self.retries.cancel.set()
        return True

    @on(SeveralDone)
    def several_done(self, event: SeveralDone) -> None:
        """Say what was done; what failed stays marked."""
        event.progress.close()
        if event.progress is self.retries:
            self.retries = None
        else:
            self._progress = None
        outcome = event.outcome
        tried = {run.run_id for run in outcome.plan.fit}
        self.runs.set_marks((self.runs.list.marked - tried) | set(outcome.left))
        undo = self._can_be_undone(outcome, event.reason)
        self._marked_then = set(self.runs.list.marked)
        self.say(
            f"{outcome.sentence}{undo}", "warning" if outcome.failed or outcome.cancelled else "information"
        )
        self.app.update_runs(tried)
        self.refresh_bars()

    def _can_be_undone(self, outcome: Outcome, reason: str) -> str:
        """Remember an approval or rejection of several runs as one decision; return what to say about it."""
        from triage_tui.ui.several import WORDS, again, doing, taken_back

        deed, done = outcome.plan.deed, list(outcome.done)
        if deed not in ("approve", "reject") or not done:
            return ""
        what = "approvals" if deed == "approve" else "rejections"
        decided = Decided(
            what,
            done[0],
            lambda actions: again(done, taken_back(deed, actions), f"{what} taken back"),
            lambda actions: again(done, doing(deed, actions, reason), WORDS[deed].done),
            runs=tuple(done),
        )
        return self.took_effect(Done("", decided=decided))

    # --- comparing ---------------------------------------------------------------------------------------

    def action_compare(self) -> None:
        """Compare the two marked runs, or hold the one that is shown for comparing."""
        if not self.on_marked:
            super().action_compare()
            return
        # The older one first, whatever the order of the list: what is new in the later one reads as added.
        marked = sorted(run.run_id for run in self.runs.marked_runs)
        if len(marked) != 2:
            self.say(f"Two runs can be compared, and {len(marked)} are marked.")
            return

        def work() -> None:
            try:
                first, second = (self.app.read_view(run_id) for run_id in marked)
            except TriageError as error:
                self.post_message(Trouble(f"These runs cannot be compared: {error}"))
            except Exception as error:
                # A run that defeats the reader must not take the review down.
                self.post_message(Trouble(self.app.reports.sentence("Reading the two runs", error)))
            else:
                self.app.call_from_thread(self._compare, first, second)

        self.run_worker(work, thread=True, group="compare", exclusive=True, exit_on_error=False)
