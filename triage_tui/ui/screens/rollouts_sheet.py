"""The rollouts of the workspace, and the keys that begin, promote and stop one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from triage_tui.ui.rollout_rows import ASIDE, RolloutsRead, rollout_rows
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.screens.question import Question
from triage_tui.ui.widgets.line_view import LineView

Act = Callable[[str, Sequence[str]], None]
"""Carries an action out: its name in `Actions`, and its arguments."""

_READ = "/ find   esc leave"
_WRITE = "b begin  p promote  x stop  r renew what is set aside  esc"


class RolloutsSheet(Sheet):
    """All rollouts; the keys are about the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "begin", "begin", show=False),
        Binding("p", "promote", "promote", show=False),
        Binding("x", "stop", "stop", show=False),
        Binding("r", "renew", "renew", show=False),
    ]

    def __init__(
        self, found: RolloutsRead, act: Act | None, run_id: str, target: str, files: Sequence[str]
    ) -> None:
        """`act` is None where nothing may be changed; `files` are the rules that the run proposes."""
        super().__init__("Rollouts", partial(rollout_rows, found), wide=True)
        self._found, self._act = found, act
        self._run_id, self._target, self._files = run_id, target, files

    def on_mount(self) -> None:
        """Say what can be done."""
        self.query_one("#help", Vertical).border_subtitle = Content(_READ if self._act is None else _WRITE)
        if not self._found.rollouts and not self._found.aside:
            begin = "" if self._act is None else " Press b to begin one with a rule of this run."
            self.query_one(LineView)._empty = f"No rule is being rolled out.{begin}"

    @property
    def _chosen(self) -> str:
        """The rollout under the cursor, the first one where the cursor is on none."""
        row = self.query_one(LineView).current
        known = [one.id for one, _ in self._found.rollouts]
        return row.target if row is not None and row.target in known else (known[0] if known else "")

    def _do(self, name: str, *arguments: str) -> None:
        if self._act is not None:
            self.dismiss(None)
            self._act(name, arguments)

    def _tell(self, text: str) -> None:
        self.app.notify(text, markup=False, timeout=6)

    def action_begin(self) -> None:
        """Begin a rollout with a rule that the run proposes."""
        if self._act is None:
            return
        if not self._files:
            self._tell("The run that is shown proposes no rule.")
            return
        answers = [(name, name) for name in self._files[:8]]
        self.app.push_screen(
            Question("Roll out which rule? It is observed first, and acts nowhere yet.", answers),
            lambda name: self._do("begin_rollout", self._run_id, name) if name else None,
        )

    def action_promote(self) -> None:
        """Bring the rollout to its next stage; where the criteria are not met a reason is asked for."""
        if self._act is None or not (chosen := self._chosen):
            return
        one, stands = next(pair for pair in self._found.rollouts if pair[0].id == chosen)
        if one.state != "under_way":
            self._tell(f"Rollout {one.id} is {one.state}, so it does not go on.")
            return
        if not stands.lacking and not stands.breaches:
            self._do("promote_rollout", chosen, "")
            return
        unmet = "; ".join([*stands.breaches, *stands.lacking])
        self.app.push_screen(
            Question(f"The criteria are not met: {unmet}", [("", "Wait")], other="Go on anyway, because"),
            lambda reason: self._do("promote_rollout", chosen, reason) if reason else None,
        )

    def action_stop(self) -> None:
        """Stop the rollout, with a reason."""
        if self._act is None or not (chosen := self._chosen):
            return
        reasons = ["It does harm", "It is not needed any more"]
        self.app.push_screen(
            Question(
                f"Stop {chosen}? Its rule leaves every place that it was put to.",
                [(text, text) for text in reasons],
                other="Another reason",
            ),
            lambda reason: self._do("stop_rollout", chosen, reason) if reason else None,
        )

    def action_renew(self) -> None:
        """Make active again what was set aside for the program of the run."""
        if self._act is None:
            return
        row = self.query_one(LineView).current
        if not self._found.aside:
            self._tell("No rule is set aside for the program of this run.")
            return
        if row is None or row.target != ASIDE:
            names = ", ".join(list(self._found.aside)[:3])
            self.app.push_screen(
                Question(f"Make active again: {names}?", [("yes", "Yes, all that are set aside")]),
                lambda yes: self._do("renew_rules", self._target) if yes else None,
            )
            return
        self._do("renew_rules", self._target)
