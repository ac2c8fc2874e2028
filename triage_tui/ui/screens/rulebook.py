"""The rules of the target that is shown: layers, generations, statistics and packs, as a sheet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui.backend import Actions
from triage_tui.ui.screens.auditing import AuditScreen
from triage_tui.ui.screens.review import Decided

if TYPE_CHECKING:
    from triage_tui.ui.rulebook_state import RulebookState
    from triage_tui.ui.run_view import RunView

REASONS: tuple[tuple[str, str], ...] = (
    ("it made things worse", "What is active made things worse"),
    ("known to work", "Back to what is known to work"),
    ("to compare", "To see what the program does with it"),
    ("no longer needed", "What is active is not needed any more"),
)
"""Reasons for another generation: what is recorded, what is shown."""


class RulebookScreen(AuditScreen):
    """The part of the main screen that shows the rules of a target and goes to another generation."""

    def action_rulebook(self) -> None:
        """Read the rules of the target in a thread, and show them."""
        view, workspace = self.view, self.app.workspace
        if view is None:
            self.say_no_run()
            return
        target = view.snapshot.target.target_id
        if not target:
            self.say("This run does not say of which target it is, so it has no rules.", "warning")
            return

        def work() -> None:
            show: Callable[[], None]
            try:
                from triage_tui.ui.rulebook_state import read_rulebook

                show = partial(self._show_rulebook, view, read_rulebook(workspace, target))
            except (TriageError, OSError) as error:
                show = partial(self.say, str(error), "warning")
            except Exception as error:
                # Its own defect must not take the review down.
                show = partial(self.say, self.app.reports.sentence("Reading the rules", error), "warning")
            self.app.call_from_thread(show)

        self.run_worker(work, thread=True, group="rulebook", exclusive=True, exit_on_error=False)

    def _show_rulebook(self, view: RunView, state: RulebookState) -> None:
        from triage_tui.ui.screens.rulebook_sheet import RulebookSheet

        if self.app.read_only:
            sheet = RulebookSheet(state, view.name, None, None)
        else:
            sheet = RulebookSheet(
                state, view.name, partial(self._ask_why, view), partial(self._propose, view)
            )
        self.app.push_screen(sheet)

    def _ask_why(self, view: RunView, target: str, number: int, active: int) -> None:
        """Ask for the reason, and make another generation active."""
        from triage_tui.ui.screens.question import Question

        def go(to: int, seen: int, why: str) -> Callable[[Actions], str]:
            return lambda actions: actions.go_to_generation(target, to, why, seen)

        def answered(why: str | None) -> None:
            if why is None:
                return
            undo = Decided(
                "generation",
                view.run_id,
                go(active, number, "undone"),
                go(number, active, why),
            )
            self._perform(undo.redo, decided=undo)

        what = f"make generation {number} active" if number else "make no rule active"
        what += f" for {'all targets' if target == 'shared' else safe_line(view.name, 60)}"
        self.app.push_screen(Question(f"Why {what}?", REASONS, other="Another reason"), answered)

    def _propose(self, view: RunView, pack: str) -> None:
        self._perform(lambda actions: actions.propose_pack(view.run_id, pack), "patch")
