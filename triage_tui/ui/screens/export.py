"""Exporting on the main screen: the format is asked for, the work is done in a thread, the path is said."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on

from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui.messages import Exported, GoesOn
from triage_tui.ui.screens.inspect import InspectScreen

if TYPE_CHECKING:
    from triage_tui.ui.screens.progress import Progress

_TELL_EVERY_S = 0.3


class ExportScreen(InspectScreen):
    """The exporting part of the main screen."""

    _exporting: Progress | None = None

    def _runs_to_export(self) -> list[str]:
        """Return the ids of the marked runs, else of the one that is shown or under the cursor."""
        marked = [run.run_id for run in self.runs.marked_runs]
        if marked:
            return marked
        selected = self.runs.selected
        if self.active == "runs" and selected is not None:
            return [selected.run_id]
        return [self.view.run_id] if self.view is not None else []

    @property
    def can_export(self) -> bool:
        """Whether there is a run to export."""
        return bool(self._runs_to_export())

    def stop_exporting(self) -> None:
        """Let an export end that is under way."""
        if self._exporting is not None:
            self._exporting.cancel.set()

    def action_export(self) -> None:
        """Ask for the format, and export."""
        if self.refused("This view is read-only: `triage-tui export` writes where you say."):
            return
        if self._exporting is not None:
            self.say("An export is under way.")
            return
        run_ids = self._runs_to_export()
        if not run_ids:
            self.say_no_run()
            return
        self._ask_format(run_ids, None)

    def _ask_format(self, run_ids: list[str], directory: Path | None) -> None:
        from triage_tui.ui.exporting import CHOICES, ELSEWHERE
        from triage_tui.ui.screens.question import Question

        what = f"run {run_ids[0]}" if len(run_ids) == 1 else f"{len(run_ids)} runs"
        where = safe_line(str(directory), 120) if directory is not None else "exports/"
        answers = [(name, text) for name, text, _ in CHOICES]
        if directory is None:
            answers.append((ELSEWHERE, "Into another directory …"))

        async def answered(answer: str | None) -> None:
            if answer == ELSEWHERE:
                await self._ask_directory(run_ids)
            elif answer is not None:
                self._export(run_ids, answer, directory)

        self.app.push_screen(Question(f"Export {what} to {where} as?", answers), answered)

    async def _ask_directory(self, run_ids: list[str]) -> None:
        from triage_tui.ui.widgets.directory_line import DirectoryLine

        pane = self.pane(self.active)
        await self.type_into(DirectoryLine(pane, partial(self._ask_format, run_ids)))

    def _export(self, run_ids: list[str], answer: str, directory: Path | None) -> None:
        from triage_tui.ui.screens.progress import Progress

        progress = self._exporting = Progress("Exporting")
        actions = self.app.actions
        last = time.monotonic()

        def tell(far: str) -> None:
            nonlocal last
            if time.monotonic() - last > _TELL_EVERY_S:
                last = time.monotonic()
                self.post_message(GoesOn(progress, far))

        def work() -> None:
            from triage_tui.ui.exporting import wanted_of

            try:
                said = actions.export(run_ids, wanted_of(answer), directory, progress.cancel, tell)
                self.post_message(Exported(said))
            except TriageError as error:
                self.post_message(Exported(str(error), failed=True))
            except Exception as error:
                # A run that defeats the export must not take the review down.
                self.post_message(Exported(self.app.reports.sentence("The export", error), failed=True))

        self.run_worker(work, thread=True, group="export", exit_on_error=False)

    @on(GoesOn)
    def action_goes_on(self, event: GoesOn) -> None:
        """Show how far an export or a decision on several runs is."""
        event.progress.tell(self.app, event.far)

    @on(Exported)
    def export_ended(self, event: Exported) -> None:
        """Say where it is, or why there is none."""
        if self._exporting is not None:
            self._exporting.close()
            self._exporting = None
        self.say(event.sentence, "warning" if event.failed else "information")
