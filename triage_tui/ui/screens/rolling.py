"""The rollouts of the workspace, as a sheet over the main screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.ui.screens.rulebook import RulebookScreen

if TYPE_CHECKING:
    from triage_tui.ui.rollout_rows import RolloutsRead


class RolloutScreen(RulebookScreen):
    """The part of the main screen that shows the rollouts, and what is set aside."""

    def action_rollouts(self) -> None:
        """Read the rollouts in a thread, and show them."""
        workspace = self.app.workspace
        target = self.view.run.snapshot.target.target_id if self.view is not None else ""

        def work() -> None:
            show: Callable[[], None]
            try:
                show = partial(self._show_rollouts, _read(workspace, target), target)
            except (TriageError, OSError) as error:
                show = partial(self.say, str(error), "warning")
            except Exception as error:
                # Its own defect must not take the review down.
                show = partial(self.say, self.app.reports.sentence("Reading the rollouts", error), "warning")
            self.app.call_from_thread(show)

        self.run_worker(work, thread=True, group="rollouts", exclusive=True, exit_on_error=False)

    def _show_rollouts(self, found: RolloutsRead, target: str) -> None:
        from triage_tui.ui.screens.rollouts_sheet import RolloutsSheet

        if self.app.screen is not self:
            return
        act = None if self.app.read_only else self._act_on_rollout
        run_id = self.view.run_id if self.view is not None else ""
        files = [name for one in self.view.proposals for name in one.files] if self.view is not None else []
        rules = [name for name in files if name.startswith("fix/syscall/")]
        self.app.push_screen(RolloutsSheet(found, act, run_id, target, rules))

    def _act_on_rollout(self, name: str, arguments: Sequence[str]) -> None:
        actions = self.app.actions

        def work() -> None:
            try:
                said, failed = getattr(actions, name)(*arguments), False
            except TriageError as error:
                said, failed = str(error), True
            except Exception as error:
                # Its own defect must not take the review down.
                said, failed = self.app.reports.sentence("Changing the rollout", error), True
            self.app.call_from_thread(self._acted_on_rollout, said, failed)

        self.run_worker(work, thread=True, group="rollouts", exit_on_error=False)

    def _acted_on_rollout(self, said: str, failed: bool) -> None:
        self.say(said, "warning" if failed else "information")
        self.action_rollouts()


def _read(place: Path, target: str) -> RolloutsRead:
    from triage_tui.retry.rules.expiry import aside_now
    from triage_tui.retry.sharing.rollout import rollouts
    from triage_tui.retry.workspace import Workspace
    from triage_tui.rulebook.targets import name_of
    from triage_tui.ui.rollout_rows import RolloutsRead

    workspace = Workspace(place)
    troubles: list[str] = []
    found = rollouts(workspace, troubles.append)
    targets = {name for one, _ in found for name in one.candidates}
    return RolloutsRead(
        rollouts=found,
        names={name: name_of(workspace.rulebook, name) for name in targets},
        aside=aside_now(workspace, target) if target else {},
        troubles=troubles,
    )
