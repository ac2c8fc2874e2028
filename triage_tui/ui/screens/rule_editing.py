"""Editing proposed rules on the main screen: in the person's editor, or in this terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import SuspendNotSupported

from triage_tui.errors import TriageError
from triage_tui.ui.backend import Actions
from triage_tui.ui.screens.guests import GuestScreen
from triage_tui.ui.screens.review import Decided

if TYPE_CHECKING:
    from triage_tui.ui.panes.patch import PatchPane
    from triage_tui.ui.run_view import RuleText, RunView


class EditingScreen(GuestScreen):
    """The part of the main screen that edits rules. An edit that cannot be saved is kept in a file."""

    @property
    def patch(self) -> PatchPane:
        """The patch pane."""
        return cast("PatchPane", self.query_one("#pane-patch"))

    def _reviewed(self, key: str, verb: str) -> bool:
        """Tell whether the patch is in front of the person; if not, bring it there."""
        if self.patch.view is not self.view:
            self.say(f"The rules of this run are not shown yet: press {key} again when they are.", "warning")
            return False
        if self.active == "patch":
            # What was said before this key, such as to press it once more, is done with.
            self.app.clear_notifications()
            return True
        self.show_pane("patch")
        self.say(f"This is the proposal. Press {key} once more to {verb} it.")
        return False

    def _rule_to_edit(self, key: str) -> tuple[RunView, RuleText] | None:
        view = self._ready(needs_rules=True)
        if view is None or not self._reviewed(key, "edit"):
            return None
        rule = view.rules.get(self.patch.file)
        if rule is None or rule.problem:
            self.say(rule.problem if rule else "There is no rule file under the cursor.", "warning")
            return None
        from triage_tui.ui.editing import earlier_draft

        earlier = earlier_draft(view.run_id, rule.name, rule.text)
        if earlier is not None:
            self.say(f"An edit of this rule, as it was before it changed, is kept in {earlier}", "warning")
        return view, rule

    def _save(self, view: RunView, rule: RuleText, text: str | None) -> None:
        if text is None:
            self.say("Nothing was changed.")
            return
        from triage_tui.rulebook.hunks import digest_of
        from triage_tui.ui.editing import forget_draft, kept_where

        before, after = rule.text, text
        texts = [one.encode("utf-8", "surrogateescape") for one in (before, after)]
        shown, saved = map(digest_of, texts)
        for one in texts:
            self.patch.looked.write(one)

        def save(actions: Actions) -> str:
            try:
                said = actions.save_edit(view.run_id, rule.name, after, shown)
            except TriageError as error:
                raise TriageError(f"{error}; {kept_where(view.run_id, rule.name, before, after)}") from error
            except Exception:
                kept_where(view.run_id, rule.name, before, after)
                raise
            # Only now: an edit that was not saved stays where it can be taken up again.
            forget_draft(view.run_id, rule.name, before)
            return said

        def undo(actions: Actions) -> str:
            said = actions.save_edit(view.run_id, rule.name, before, saved)
            return f"{said}, with the text from before the edit"

        self._perform(save, decided=Decided("edit", view.run_id, undo, save))

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
                    text = edit_outside(rule.text, rule.name, view.run_id)
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
        from triage_tui.ui.editing import draft_of, editable_here, forget_draft, kept_where

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

        draft = draft_of(view.run_id, rule.name, rule.text)
        if draft is not None and not editable_here(draft):
            self.say("An edit that was not saved is kept, but cannot be shown here: e opens it.", "warning")
            return

        def edited(text: str | None) -> None:
            if text is None and draft is not None:
                forget_draft(view.run_id, rule.name, rule.text)
            self._save(view, rule, text)

        if draft is not None:
            self.say("The edit that was not saved is taken up again.")

        def keep(text: str) -> None:
            kept_where(view.run_id, rule.name, rule.text, text)

        self.app.push_screen(EditorScreen(rule.text, rule.name, draft, keep), edited)
