"""Asking the model on the main screen: it works in the background, and the title says how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from triage_tui.errors import TriageError
from triage_tui.ui.messages import Asked, ModelTold
from triage_tui.ui.screens.calls import CallsScreen

if TYPE_CHECKING:
    from textual.timer import Timer

    from triage_tui.runs.analysis_model import Progress
    from triage_tui.ui.asked import AskedModel

MAX_ASKED = 3
"""Runs about which the model is asked at once: each takes a process with a large library."""
_EVERY_S = 1.0


class AskScreen(CallsScreen):
    """The part of the main screen that asks the model about runs."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, AskedModel] = {}
        """Run to the analysis of it that is under way."""
        self._clock: Timer | None = None

    def stop_asking(self) -> None:
        """Let every analysis end that is under way."""
        for asked in self.asked.values():
            asked.cancel.set()

    @property
    def asked_now(self) -> AskedModel | None:
        """The analysis to tell of: that of the run that is shown, else the one that began first."""
        shown = self.view.run_id if self.view is not None else ""
        return self.asked.get(shown) or next(iter(self.asked.values()), None)

    def action_ask_model(self) -> None:
        """Ask the model that is set up about the run that is shown, or show how far it is."""
        if self.refused("This view is read-only: `triage-tui analyze` asks the model."):
            return
        view = self.view
        if view is None:
            self.say_no_run()
        elif view.run_id in self.asked:
            self.show_model()
        elif self.coming:
            self.say(f"{self.coming} is not shown yet: press the key again when it is.", "warning")
        elif len(self.asked) >= MAX_ASKED:
            self.say(f"The model is being asked about {MAX_ASKED} runs: wait for one of them.", "warning")
        else:
            self._ask(view.run_id, view.name)

    def action_show_model(self) -> None:
        """Show what the model is doing."""
        self.show_model()

    def show_model(self) -> None:
        """Show what the model is doing, over the panes."""
        from triage_tui.ui.screens.model_work import ModelWork

        if (asked := self.asked_now) is not None:
            self.app.push_screen(ModelWork(asked))

    def _ask(self, run_id: str, name: str) -> None:
        from triage_tui.ui.asked import AskedModel

        actions = self.app.actions
        asked = self.asked[run_id] = AskedModel(run_id, name)

        def tell(line: str) -> None:
            self.post_message(ModelTold(run_id, line))

        def watch(progress: Progress) -> None:
            self.post_message(ModelTold(run_id, progress=progress))

        def work() -> None:
            try:
                self.post_message(Asked(run_id, actions.ask_model(run_id, asked.cancel, tell, watch)))
            except TriageError as error:
                self.post_message(Asked(run_id, str(error), failed=True))
            except Exception as error:
                # As with every action: its own defect must not take the review down.
                said = self.app.reports.sentence("Asking the model", error)
                self.post_message(Asked(run_id, said, failed=True))

        self.run_worker(work, thread=True, group="ask", exit_on_error=False)
        if self._clock is None:
            self._clock = self.set_interval(_EVERY_S, self.refresh_title)
        self.refresh_title()

    def refresh_title(self) -> None:
        """Draw the title again, which says how far the model is."""
        raise NotImplementedError

    @on(ModelTold)
    def model_told(self, event: ModelTold) -> None:
        """Keep what the model told."""
        if (asked := self.asked.get(event.run_id)) is None:
            return
        if not asked.lines and asked.progress is None:
            # Not before: there may be no model.
            self.say("The model works in the background: M shows how far it is")
        if event.line:
            asked.tell(event.line)
        if event.progress is not None:
            asked.progress = event.progress
        self.refresh_title()

    @on(Asked)
    def model_answered(self, event: Asked) -> None:
        """Say what came of it, and show the diagnosis as it is now."""
        asked = self.asked.pop(event.run_id, None)
        if not self.asked and self._clock is not None:
            self._clock.stop()
            self._clock = None
        self.refresh_title()
        elsewhere = self.view is None or self.view.run_id != event.run_id
        sentence = event.sentence
        if asked is not None:
            asked.end(sentence)
            sentence = f"{asked.name} ({event.run_id}): {sentence}" if elsewhere else sentence
        self.say(sentence, "warning" if event.failed else "information")
        if not event.failed:
            self.app.update_runs({event.run_id})
