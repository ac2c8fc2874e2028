"""What a person decides on the main screen: approve, edit, reject, roll back, resume, retry, end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, cast

from textual.app import SuspendNotSupported
from textual.screen import Screen

from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui.backend import Actions, Decision
from triage_tui.ui.messages import Done

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp
    from triage_tui.ui.loading import RuleText, RunView
    from triage_tui.ui.panes.patch import PatchPane

REASONS: tuple[tuple[str, str], ...] = (
    ("wrong cause", "The cause is another one"),
    ("too broad", "The rule changes more than it should"),
    ("too risky", "The risk is too high"),
    ("fix elsewhere", "Repair the root file system or the arguments"),
    ("not now", "Not worth a rule now"),
)
"""Reasons for a rejection: what is recorded, what is shown."""


class ReviewScreen(Screen[None]):
    """The deciding half of the main screen. Every action ends in one sentence."""

    app: TriageApp
    view: RunView | None = None
    active: str = "runs"

    def say(
        self, sentence: str, severity: Literal["information", "warning", "error"] = "information"
    ) -> None:
        """Show a sentence for a few seconds; it is made safe and never read as markup."""
        text = safe_line(sentence, 500)
        text = text[:1].upper() + text[1:]
        if not text.endswith((".", "?", "!")):
            text += "."
        self.app.notify(text, severity=severity, markup=False, timeout=6)

    def show_pane(self, name: str) -> None:
        """Go to a pane."""
        raise NotImplementedError

    @property
    def patch(self) -> PatchPane:
        """The patch pane."""
        return cast("PatchPane", self.query_one("#pane-patch"))

    def _perform(self, act: Callable[[Actions], str], pane: str | None = None) -> None:
        """Run an action in a worker thread; its sentence comes back as a message."""
        run_id, actions = self.view.run_id if self.view is not None else "", self.app.actions

        def work() -> None:
            try:
                self.post_message(Done(act(actions), run_id=run_id, pane=pane))
            except TriageError as error:
                self.post_message(Done(str(error), failed=True, run_id=run_id))
            except Exception as error:
                # The action's own defect must not take the review down; its type is enough to report it.
                self.post_message(
                    Done(f"this failed inside the program ({type(error).__name__})", True, run_id)
                )

        self.run_worker(work, thread=True, group="action", exit_on_error=False)

    def _ready(self, needs_rules: bool = False) -> RunView | None:
        """Return the run to act on, or say why there is none."""
        if self.app.read_only:
            self.say("This view is read-only: start triage-tui without --read-only to decide.", "warning")
            return None
        if self.view is None:
            self.say("Select a run first.", "warning")
            return None
        if needs_rules and not self.view.rules:
            self.say("No rule is proposed for this run.", "warning")
            return None
        return self.view

    def _reviewed(self, key: str, verb: str) -> bool:
        """Tell whether the patch is in front of the person; if not, bring it there."""
        if self.active == "patch":
            return True
        self.show_pane("patch")
        self.say(f"This is the proposal. Press {key} once more to {verb} it.")
        return False

    def action_approve(self) -> None:
        """Approve the chosen proposals."""
        view = self._ready(needs_rules=True)
        if view is None or not self._reviewed("a", "approve"):
            return
        if (unfilled := self.patch.unfilled) is not None:
            self.say(
                f"This proposal needs something from you first: {unfilled}. Edit it with e or i.", "warning"
            )
            return
        files = self.patch.chosen_files
        if not files:
            self.say("There is no rule file under the cursor.", "warning")
            return
        self._perform(lambda actions: actions.approve(view.run_id, files))

    def action_reject(self) -> None:
        """Ask for a reason, then reject."""
        view = self._ready(needs_rules=True)
        if view is None:
            return
        from triage_tui.ui.screens.question import Question

        def answered(reason: str | None) -> None:
            if reason is not None:
                self._perform(lambda actions: actions.reject(view.run_id, reason))

        self.app.push_screen(Question("Why reject the proposals of this run?", REASONS), answered)

    def action_rollback(self) -> None:
        """Go back to the generation before."""
        view = self._ready()
        if view is None:
            return
        if view.generation is None:
            self.say("No rule is active for this target, so there is nothing to roll back.", "warning")
            return
        self._perform(lambda actions: actions.rollback(view.run_id))

    def _decide(self, action: Decision, pane: str | None) -> None:
        view = self._ready()
        if view is None:
            return
        if not view.waiting:
            self.say("No frozen guest waits in this run. R runs the program again from its start.", "warning")
            return
        self._perform(lambda actions: actions.decide(view.run_id, action), pane)

    def action_resume(self) -> None:
        """Let the frozen guest go on."""
        self._decide("resume", "retry")

    def action_retry(self) -> None:
        """Start again: through the holder when one waits, else in the background."""
        view = self._ready()
        if view is None:
            return
        if view.waiting:
            self._decide("retry", "retry")
        else:
            self._perform(lambda actions: actions.retry(view.run_id), "retry")

    def action_freeze(self) -> None:
        """Freeze a guest that runs, whichever run is shown: it has no record yet."""
        if self.app.read_only:
            self.say("This view is read-only: start triage-tui without --read-only to decide.", "warning")
            return
        self._perform(lambda actions: actions.freeze())

    def action_end_guest(self) -> None:
        """Ask, then end the frozen guest."""
        view = self._ready()
        if view is None:
            return
        if not view.waiting:
            self._decide("end", None)
            return
        from triage_tui.ui.screens.question import Question

        def answered(answer: str | None) -> None:
            if answer == "end":
                self._decide("end", None)

        answers = (("keep", "Keep it frozen"), ("end", "End it; the record of this run stays"))
        self.app.push_screen(Question(f"End the frozen guest {view.name}?", answers), answered)

    def action_mark_proposal(self) -> None:
        """Select or deselect a proposal."""
        if self._ready(needs_rules=True) is not None:
            self.patch.toggle()

    def _rule_to_edit(self, key: str) -> tuple[RunView, RuleText] | None:
        view = self._ready(needs_rules=True)
        if view is None or not self._reviewed(key, "edit"):
            return None
        rule = view.rules.get(self.patch.place.file)
        if rule is None or rule.problem:
            self.say(rule.problem if rule else "There is no rule file under the cursor.", "warning")
            return None
        return view, rule

    def _save(self, view: RunView, rule: RuleText, text: str | None) -> None:
        if text is None:
            self.say("Nothing was changed.")
            return
        self._perform(lambda actions: actions.save_edit(view.run_id, rule.name, text))

    def action_edit(self) -> None:
        """Edit the rule in the person's editor."""
        from triage_tui.ui.editing import edit_outside

        chosen = self._rule_to_edit("e")
        if chosen is None:
            return
        view, rule = chosen
        text, trouble = None, ""
        try:
            with self.app.suspend():
                # Caught inside: an error that passes through `suspend` leaves the terminal to nobody.
                try:
                    text = edit_outside(rule.text, rule.name)
                except (TriageError, OSError) as error:
                    trouble = str(error)
        except SuspendNotSupported:
            trouble = "This terminal cannot hand over to an editor: edit here with i."
        self.refresh()
        if trouble:
            self.say(trouble, "warning")
            return
        self._save(view, rule, text)

    def action_edit_here(self) -> None:
        """Edit the rule in this terminal."""
        from triage_tui.ui.editing import editable_here

        chosen = self._rule_to_edit("i")
        if chosen is None:
            return
        view, rule = chosen
        if not editable_here(rule.text):
            self.say(
                "This rule holds characters that cannot be shown here: edit it in $EDITOR with e.", "warning"
            )
            return
        from triage_tui.ui.screens.editor import EditorScreen

        def edited(text: str | None) -> None:
            self._save(view, rule, text)

        self.app.push_screen(EditorScreen(rule.text, rule.name), edited)
