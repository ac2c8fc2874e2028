"""The rules of the target that is shown: layers, generations, statistics and packs, as a sheet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui.backend import Actions
from triage_tui.ui.screens.review import Decided
from triage_tui.ui.screens.tracing import TraceScreen

if TYPE_CHECKING:
    from triage_tui.rulebook.packs.imported import LookedAt
    from triage_tui.ui.rulebook_state import RulebookState
    from triage_tui.ui.run_view import RunView

REASONS: tuple[tuple[str, str], ...] = (
    ("it made things worse", "What is active made things worse"),
    ("known to work", "Back to what is known to work"),
    ("to compare", "To see what the program does with it"),
    ("no longer needed", "What is active is not needed any more"),
)
"""Reasons for another generation: what is recorded, what is shown."""


class RulebookScreen(TraceScreen):
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
            sheet = RulebookSheet(state, view.name, None, None, None)
        else:
            sheet = RulebookSheet(
                state, view.name, partial(self._ask_why, view), partial(self._propose, view), self._ask_pack
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

    async def _ask_pack(self) -> None:
        """Ask for the file of a pack, and verify it."""
        from triage_tui.ui.widgets.path_line import PathLine

        hint = "a rule pack (.rulepack), with its signature (.minisig) beside it"
        await self.type_into(
            PathLine(self.pane(self.active), self._verify_pack, "import pack", hint, "a rule pack")
        )

    def _verify_pack(self, path: Path) -> None:
        """Verify a pack in a thread, and show what it is before it is kept."""

        def work() -> None:
            show: Callable[[], None]
            try:
                from triage_tui.rulebook.packs.imported import looked_at

                show = partial(self._ask_to_keep, path, looked_at(path))
            except TriageError as error:
                show = partial(self.say, f"{error}; nothing was imported", "error")
            except Exception as error:
                # A pack that defeats the check must not take the review down.
                show = partial(self.say, self.app.reports.sentence("Reading a pack", error), "error")
            self.app.call_from_thread(show)

        self.run_worker(work, thread=True, group="pack", exclusive=True, exit_on_error=False)

    def _ask_to_keep(self, path: Path, found: LookedAt) -> None:
        from triage_tui.ui.screens.question import Question

        def answered(answer: str | None) -> None:
            if answer == "yes":
                unsigned = found.key is None
                self._perform(lambda actions: actions.import_pack(path, found.pack.sha256, unsigned=unsigned))

        keep = "Keep it; none of its rules becomes active by that"
        if found.key is None:
            keep = f"Take it without a signature. {keep}"
        answers = (("no", "Do not keep it"), ("yes", keep))
        self.app.push_screen(Question(f"Import {found.says}?", answers), answered)

    def _propose(self, view: RunView, pack: str) -> None:
        self._perform(lambda actions: actions.propose_pack(view.run_id, pack), "patch")
