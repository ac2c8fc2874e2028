"""Asking the model on the main screen: in a thread, with each step told; esc stops it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from triage_tui.errors import TriageError
from triage_tui.ui.messages import Asked, GoesOn
from triage_tui.ui.screens.calls import CallsScreen

if TYPE_CHECKING:
    from triage_tui.ui.screens.progress import Progress


class AskScreen(CallsScreen):
    """The part of the main screen that asks the model about the run that is shown."""

    _asking: Progress | None = None

    def stop_asking(self) -> None:
        """Let an analysis end that is under way."""
        if self._asking is not None:
            self._asking.cancel.set()

    def action_ask_model(self) -> None:
        """Ask the model that is set up for its opinion on the run that is shown."""
        from triage_tui.ui.screens.progress import Progress

        if self.refused("This view is read-only: `triage-tui analyze` asks the model."):
            return
        if self._asking is not None:
            self.say("The model is being asked.")
            return
        view = self.view
        if view is None:
            self.say_no_run()
            return
        run_id, actions = view.run_id, self.app.actions
        progress = self._asking = Progress("Asking the model")

        def tell(line: str) -> None:
            self.post_message(GoesOn(progress, line))

        def work() -> None:
            try:
                self.post_message(Asked(run_id, actions.ask_model(run_id, progress.cancel, tell)))
            except TriageError as error:
                self.post_message(Asked(run_id, str(error), failed=True))
            except Exception as error:
                # As with every action: its own defect must not take the review down.
                said = self.app.reports.sentence("Asking the model", error)
                self.post_message(Asked(run_id, said, failed=True))

        tell("starting")
        self.run_worker(work, thread=True, group="ask", exit_on_error=False)

    @on(Asked)
    def model_answered(self, event: Asked) -> None:
        """Say what came of it, and show the diagnosis as it is now."""
        if self._asking is not None:
            self._asking.close()
            self._asking = None
        self.say(event.sentence, "warning" if event.failed else "information")
        if not event.failed:
            self.app.update_runs({event.run_id})
