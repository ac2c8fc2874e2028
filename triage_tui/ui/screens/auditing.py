"""The audit log of the workspace, as a sheet over the main screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.ui.screens.explaining import ExplainScreen

if TYPE_CHECKING:
    from triage_tui.rulebook.audit.check import Checked
    from triage_tui.rulebook.audit.log import Entry


class AuditScreen(ExplainScreen):
    """The part of the main screen that shows the audit log."""

    def action_audit(self) -> None:
        """Read and check the audit log in a thread, and show it."""
        workspace = self.app.workspace

        def work() -> None:
            from triage_tui.rulebook.audit.check import check
            from triage_tui.rulebook.audit.log import read_log

            show: Callable[[], None]
            rulebook = workspace / "rulebook"
            try:
                lines, _ = read_log(rulebook)
                entries = [line.entry for line in lines if line.entry is not None]
                show = partial(self._show_audit, entries, check(rulebook, workspace / "ai_runs"))
            except (TriageError, OSError) as error:
                show = partial(self.say, str(error), "warning")
            except Exception as error:
                # Its own defect must not take the review down.
                show = partial(self.say, self.app.reports.sentence("Reading the audit log", error), "warning")
            self.app.call_from_thread(show)

        self.run_worker(work, thread=True, group="audit", exclusive=True, exit_on_error=False)

    def _show_audit(self, entries: list[Entry], found: Checked) -> None:
        from triage_tui.ui.audit_rows import log_rows
        from triage_tui.ui.screens.help import Sheet

        self.app.push_screen(Sheet("Audit log", partial(log_rows, entries, found), wide=True))
