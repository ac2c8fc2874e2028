"""What a person decides about guests on the main screen: resume, retry, stop a retry, freeze, end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from textual import on

from triage_tui.errors import TriageError
from triage_tui.ui.messages import RetryOver
from triage_tui.ui.screens.review import ReviewScreen

if TYPE_CHECKING:
    from triage_tui.ui.backend import Actions, Decision


class GuestScreen(ReviewScreen):
    """The part of the main screen that decides about guests."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_retries: dict[str, str] = {}
        """Run to what was asked for here and has not come about: its retry, or the end of that."""
        self._retry_threads: dict[str, threading.Thread] = {}
        """Run to the thread that waits for the end of its retry."""
        self._left = threading.Event()
        """Set when the app is left: retries go on, and nobody waits for them here."""

    def _decide(self, action: Decision, pane: str | None) -> None:
        view = self._ready()
        if view is None:
            return
        if view.waiting:
            self._perform(lambda actions: actions.decide(view.run_id, action), pane)
        elif view.run_id in self.app.main.waiting_runs:
            # The list tells of a guest that was only just frozen before its run is read.
            self.say(f"{view.name} is not shown as it is now: press the key again when it is.", "warning")
        else:
            self.say("No frozen guest waits in this run. R runs the program again from its start.", "warning")

    def action_resume(self) -> None:
        """Let the frozen guest go on."""
        self._decide("resume", "retry")

    # --- retries -----------------------------------------------------------------------------------------

    @property
    def retry_goes_on(self) -> bool:
        """Whether the run that is shown is being retried, or is about to be."""
        view = self.view
        return view is not None and (view.run.state == "retrying" or view.run_id in self.asked_retries)

    def action_retry(self) -> None:
        """Start again: through the holder when one waits, else in the background."""
        view = self._ready()
        if view is None:
            return
        if self.retry_goes_on:
            self.say("This run is being retried: E stops that.", "warning")
            return
        from triage_tui.runs.checkpoint_place import has_checkpoint

        run_id, waiting = view.run_id, view.waiting
        if not has_checkpoint(view.run.dir):
            self._retry(run_id, waiting)
            return
        from triage_tui.ui.screens.question import Question

        def answered(answer: str | None) -> None:
            if answer is not None:
                self._retry(run_id, waiting, checkpoint=answer == "checkpoint")

        answers = (
            ("start", "From its start"),
            ("checkpoint", "From its checkpoint, where it was frozen"),
        )
        self.app.push_screen(Question(f"Retry {view.name} from where?", answers), answered)

    def _retry(self, run_id: str, waiting: bool, *, checkpoint: bool = False) -> None:
        """Have a run retried, by the holder of its guest where one waits."""

        def retry(actions: Actions) -> str:
            try:
                if waiting:
                    said = actions.decide(run_id, "checkpoint" if checkpoint else "retry")
                else:
                    said = actions.retry(run_id, checkpoint=checkpoint)
            except BaseException:
                self.post_message(RetryOver(run_id))
                raise
            self._tell_when_over(actions, run_id)
            return said

        from triage_tui.ui.panes.retry import STARTING

        self._asked(run_id, STARTING)
        self._perform(retry, "retry")

    def _asked(self, run_id: str, what: str) -> None:
        """Note and show what was asked for; "" when it came about, or will not."""
        self.asked_retries.pop(run_id, None)
        if what:
            self.asked_retries[run_id] = what
        if self.view is not None and self.view.run_id == run_id:
            self.show_retry()

    def show_retry(self) -> None:
        """Draw the retry pane again."""
        raise NotImplementedError

    def _tell_when_over(self, actions: Actions, run_id: str) -> None:
        """Wait for the end of a retry in a thread, unless one does already: it is told once."""
        # A thread of its own: a retry may last for hours, and the threads that read runs are few.
        thread = threading.Thread(target=self._await, args=(actions, run_id), daemon=True)
        if self._retry_threads.setdefault(run_id, thread) is thread:
            thread.start()

    def _await(self, actions: Actions, run_id: str) -> None:
        """In a thread: tell when a retry is over."""
        trouble = ""
        try:
            actions.await_retry(run_id, self._left)
        except TriageError as error:
            trouble = str(error)
        except Exception as error:
            trouble = self.app.reports.sentence("Waiting for the retry", error)
        # Before it is told: who retries again then has it waited for.
        self._retry_threads.pop(run_id, None)
        if not self._left.is_set():
            self.post_message(RetryOver(run_id, trouble))

    @on(RetryOver)
    def retry_over(self, event: RetryOver) -> None:
        """Say why a retry never began; what came of one that did is in its run."""
        from triage_tui.ui.panes.retry import STOPPING

        stopped = self.asked_retries.get(event.run_id) == STOPPING
        self._asked(event.run_id, "")
        self.app.update_runs({event.run_id})
        if event.trouble and not stopped:
            self.say(event.trouble, "error")

    def ask_to_stop_retry(self) -> bool:
        """Ask whether the retry of this run is to end; False when there is none, or it is being stopped."""
        view = self.view
        if view is None or not self.retry_goes_on or self.app.read_only:
            return False
        from triage_tui.ui.panes.retry import STOPPING
        from triage_tui.ui.screens.question import Question

        if self.asked_retries.get(view.run_id) == STOPPING:
            return False

        run_id = view.run_id

        def stop(actions: Actions) -> str:
            try:
                said = actions.stop_retry(run_id)
            except BaseException:
                self.post_message(RetryOver(run_id))
                raise
            # One that was begun elsewhere is not waited for until now.
            self._tell_when_over(actions, run_id)
            return said

        def answered(answer: str | None) -> None:
            if answer == "stop":
                self._asked(run_id, STOPPING)
                self._perform(stop, "retry")

        answers = (("go on", "Let it run"), ("stop", "Stop it; what it did until now is recorded"))
        self.app.push_screen(Question(f"Stop the retry of {view.name}?", answers), answered)
        return True

    def stop_waiting(self) -> None:
        """The app is left: wait for no retry any more."""
        self._left.set()

    def action_freeze(self) -> None:
        """Freeze a guest that runs, whichever run is shown: it has no record yet."""
        if not self.refused():
            self._perform(lambda actions: actions.freeze())

    def action_end_guest(self) -> None:
        """Ask, then end the frozen guest, or the retry that is under way."""
        view = self._ready()
        if view is None:
            return
        # First the retry: right after it was asked for the guest still counts as waiting.
        if self.ask_to_stop_retry():
            return
        if not view.waiting:
            self._decide("end", None)
            return
        from triage_tui.ui.screens.question import Question

        def answered(answer: str | None) -> None:
            if answer == "end":
                # The guest that was asked about: by now another run may be shown.
                self._perform(lambda actions: actions.decide(view.run_id, "end"))

        answers = (("keep", "Keep it frozen"), ("end", "End it; the record of this run stays"))
        self.app.push_screen(Question(f"End the frozen guest {view.name}?", answers), answered)
