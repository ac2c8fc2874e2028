"""Why this cause and not another, as a sheet over the main screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.ui.screens.futures import FuturesScreen

if TYPE_CHECKING:
    from triage_tui.diagnosis.knowledge_base.explained_lines import Line


class ExplainScreen(FuturesScreen):
    """The explaining part of the main screen."""

    def action_explain(self) -> None:
        """Look in a thread at what of each entry of the knowledge base holds in the run that is shown."""
        view = self._shown()
        if view is None:
            return

        def work() -> None:
            from triage_tui.diagnosis.knowledge_base.explained_lines import lines_of
            from triage_tui.diagnosis.knowledge_base.explaining import explain
            from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE

            show: Callable[[], None]
            try:
                lines = lines_of(explain(view.run, IN_FORCE.current()))
                show = partial(self.show_explained, view.run_id, lines)
            except TriageError as error:
                show = partial(self.say, str(error), "warning")
            except Exception as error:
                # Its own defect must not take the review down.
                show = partial(self.say, self.app.reports.sentence("Explaining", error), "warning")
            self.app.call_from_thread(show)

        self.run_worker(work, thread=True, group="explain", exclusive=True, exit_on_error=False)

    def show_explained(self, run_id: str, lines: list[Line], cursor: int = 0) -> None:
        """Show an explanation; from a fact that was gone to, one comes back to it."""
        from triage_tui.ui.screens.explained_sheet import ExplainedSheet

        def follow(link: str, place: int) -> None:
            self.follow_in(run_id, link, lambda: self.show_explained(run_id, lines, place))

        self.app.push_screen(ExplainedSheet(lines, follow, cursor))
