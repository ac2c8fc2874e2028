"""Experiments on the main screen: one key tries what would make the cause surer, and says what was learnt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import on

from triage_tui.errors import TriageError
from triage_tui.runs.diagnosis_model import Experiment
from triage_tui.ui.messages import Experimented, GoesOn
from triage_tui.ui.screens.export import ExportScreen

if TYPE_CHECKING:
    from triage_tui.ui.screens.progress import Progress

_TELL_EVERY_S = 0.2


class ExperimentScreen(ExportScreen):
    """The experimenting part of the main screen."""

    _experimenting: Progress | None = None

    @property
    def offered(self) -> Experiment | None:
        """The experiment that the key tries now: that under the cursor, else the best of the run."""
        view = self.view
        if view is None:
            return None
        under = self.pane("diagnosis").current if self.active == "diagnosis" else None
        if under is not None and isinstance(under.target, Experiment):
            return under.target
        return next(iter(view.experiments), None)

    def stop_experimenting(self) -> None:
        """Let an experiment end that is under way."""
        if self._experimenting is not None:
            self._experimenting.cancel.set()

    def action_experiment(self) -> None:
        """Try the experiment under the cursor, or the best one."""
        view = self._ready()
        if view is None:
            return
        if self._experimenting is not None:
            self.say("An experiment is under way.")
            return
        from triage_tui.ui.screens.progress import Progress

        chosen = self.offered
        run_id, wanted = view.run_id, chosen.id if chosen is not None else ""
        progress = self._experimenting = Progress("Experiment")
        actions = self.app.actions
        last = 0.0

        def tell(far: str) -> None:
            nonlocal last
            if time.monotonic() - last > _TELL_EVERY_S:
                last = time.monotonic()
                self.post_message(GoesOn(progress, far))

        def work() -> None:
            try:
                said, failed = actions.experiment(run_id, wanted, progress.cancel, tell), False
            except TriageError as error:
                said, failed = str(error), True
            except Exception as error:
                # Its own defect must not take the review down.
                said, failed = self.app.reports.sentence("The experiment", error), True
            self.post_message(Experimented(run_id, said, failed))

        self.run_worker(work, thread=True, group="experiment", exit_on_error=False)

    def action_diagnose(self) -> None:
        """Diagnose the run that is shown again."""
        view = self._ready()
        if view is not None:
            run_id = view.run_id
            self._perform(lambda actions: actions.diagnose(run_id), "diagnosis")

    async def action_add_log(self) -> None:
        """Ask for a log, and put it beside the run that is shown."""
        view = self._ready()
        if view is None:
            return
        from triage_tui.ui.widgets.path_line import PathLine

        run_id = view.run_id
        await self.type_into(
            PathLine(
                self.pane(self.active),
                lambda path: self._perform(lambda actions: actions.add_log(run_id, path), "process"),
                "add log",
                "a file of this machine: syslog, dmesg, any text with times",
                "a log",
            )
        )

    @on(Experimented)
    def experiment_ended(self, event: Experimented) -> None:
        """Say what was learnt, or why nothing was."""
        if self._experimenting is not None:
            self._experimenting.close()
            self._experimenting = None
        self.app.update_runs({event.run_id})
        sentence = f"{event.sentence[:1].upper()}{event.sentence[1:]}"
        self.say(sentence, "warning" if event.failed else "information")
        self.refresh_bars()
