"""The way of the run that is shown, from its evidence to its verdicts, as a sheet over the main screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.ui.screens.auditing import AuditScreen

if TYPE_CHECKING:
    from triage_tui.diagnosis.knowledge_base.explained_lines import Line


class TraceScreen(AuditScreen):
    """The part of the main screen that traces a run."""

    def action_trace(self) -> None:
        """Put the trace of the run that is shown together in a thread, and show it."""
        view = self._shown()
        if view is None:
            return
        run_id, root = view.run_id, self.app.workspace

        def work() -> None:
            from triage_tui.retry.tracing.finding import Found
            from triage_tui.retry.tracing.trace import make_trace
            from triage_tui.retry.workspace import Workspace
            from triage_tui.ui.trace_lines import lines_of

            show: Callable[[], None]
            try:
                trace = make_trace(Workspace(root), Found("run", run_id))
                show = partial(self.show_trace, run_id, lines_of(trace))
            except TriageError as error:
                show = partial(self.say, str(error), "warning")
            except Exception as error:
                # Its own defect must not take the review down.
                show = partial(self.say, self.app.reports.sentence("Tracing", error), "warning")
            self.app.call_from_thread(show)

        self.run_worker(work, thread=True, group="trace", exclusive=True, exit_on_error=False)

    def show_trace(self, run_id: str, lines: list[Line], cursor: int = 0) -> None:
        """Show a trace; from evidence that was gone to, one comes back to it."""
        from triage_tui.ui.screens.explained_sheet import ExplainedSheet
        from triage_tui.ui.trace_lines import place_of

        def follow(link: str, place: int) -> None:
            run, where = place_of(link, run_id)
            self.follow_in(run, where, lambda: self.show_trace(run_id, lines, place))

        self.app.push_screen(ExplainedSheet(lines, follow, cursor, "From the evidence to the verdicts"))
