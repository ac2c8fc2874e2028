"""Reviewing rules on the main screen: choose hunks, approve, reject, and undo what was decided."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual import on

from triage_tui.errors import TriageError
from triage_tui.ui.backend import Actions
from triage_tui.ui.messages import Done, LookedInto, Matching, OthersMatched, Trouble
from triage_tui.ui.screens.review import Decided
from triage_tui.ui.screens.rule_editing import EditingScreen

if TYPE_CHECKING:
    from triage_tui.rulebook.check.findings import Finding
    from triage_tui.rulebook.choices import Approval, Kept, State
    from triage_tui.ui.run_view import RunView

REASONS: tuple[tuple[str, str], ...] = (
    ("wrong cause", "The cause is another one"),
    ("too broad", "The rule changes more than it should"),
    ("too risky", "The risk is too high"),
    ("fix elsewhere", "Repair the root file system or the arguments"),
    ("not now", "Not worth a rule now"),
)
"""Reasons for a rejection: what is recorded, what is shown."""

_MAX_UNDO = 100


class PatchingScreen(EditingScreen):
    """The part of the main screen that reviews rules. Every action ends in one sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.decided: list[Decided] = []
        """What was decided in this session and can be undone, the last one at the end."""
        self.undone: list[Decided] = []
        self._choices: dict[str, Kept] = {}
        self._comparing: threading.Event | None = None

    def recall_choices(self) -> None:
        """Take up what was decided about hunks the last time."""
        from triage_tui.ui.kept_choices import recall_choices

        if self.app.remembered is not None:
            self._choices = recall_choices(self.app.workspace)
        self.patch.kept = self._choices

    def keep_choices(self) -> None:
        """Keep what is decided about hunks for the next time."""
        from triage_tui.ui.kept_choices import keep_choices

        # When the app is left the panes may be gone already.
        if self.app.remembered is not None:
            keep_choices(self.app.workspace, self._choices)

    # --- choosing ----------------------------------------------------------------------------------------

    def action_mark_proposal(self) -> None:
        """Choose or drop the hunk, file or proposal under the cursor."""
        if self._ready(needs_rules=True) is not None and self.patch.toggle() is None:
            self.say("There is no hunk to choose under the cursor.")

    def action_divide_hunk(self) -> None:
        """Split the hunk under the cursor."""
        if self._ready(needs_rules=True) is not None and not self.patch.divide():
            self.say("Nothing to split here: put the cursor on the line that is to begin the second part.")

    def action_step_hunk(self, step: int) -> None:
        """Go to the next hunk (1) or the one before (-1)."""
        if not self.patch.step_hunk(step):
            self.say("This is the last hunk." if step > 0 else "This is the first hunk.")

    def action_turn_patch(self) -> None:
        """Show both texts side by side, or as one."""
        from triage_tui.ui.hunk_rows import SIDE_BY_SIDE

        if self.patch.turn() and self.patch.size.width < SIDE_BY_SIDE:
            self.say(f"Side by side needs {SIDE_BY_SIDE} columns here: z gives the pane the whole screen.")
        self.refresh_bars()

    def refresh_bars(self) -> None:
        """Draw what stands around the panes again."""
        raise NotImplementedError

    # --- approving ---------------------------------------------------------------------------------------

    def action_approve(self) -> None:
        """Approve the chosen hunks, or what is under the cursor."""
        smaller = self.patch.smaller_here
        view = self._ready(needs_rules=smaller is None)
        if view is None or not self._reviewed("a", "approve"):
            return
        if smaller is None:
            self._approve(view, self.patch.approvals, "a")
            return
        run_id, identity = view.run_id, smaller.id

        def approve(actions: Actions) -> str:
            return actions.approve_smaller(run_id, identity)

        undo = Decided("approval", run_id, lambda actions: actions.undo_approval(run_id), approve)
        self._perform(approve, decided=undo)

    def action_approve_all(self) -> None:
        """Approve everything that is proposed, but for what is dropped, and for what is a model's."""
        view = self._ready(needs_rules=True)
        if view is not None and self._reviewed("A", "approve"):
            approvals, left_out = self.patch.all_approvals, self.patch.left_out
            if not approvals and left_out:
                self.say(f"Nothing was approved; left out: {left_out}.", "warning")
                return
            self._approve(view, approvals, "A", left_out)

    def _approve(self, view: RunView, approvals: Sequence[Approval], key: str, left_out: str = "") -> None:
        if (needed := self.patch.needed(approvals)) is not None:
            self.say(
                f"This proposal needs something from you first: {needed}. Edit it with e or i.", "warning"
            )
            return
        if not approvals:
            self.say(self.patch.why_nothing, "warning")
            return
        for approval in approvals:
            errors = self.patch.errors_of(approval)
            if errors:
                first = errors[0]
                more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
                self.say(
                    f"Line {first.line} of {approval.file} keeps it from being approved: "
                    f"{first.message}{more}. Edit it with e or i.",
                    "error",
                )
                return

        if places := self.patch.go_to_change({approval.file for approval in approvals}):
            which = "this" if places == 1 else "this is the first"
            told = f"{places} change{'s were' if places > 1 else ' was'} made since you looked at the rule"
            self.say(f"{told}, {which}: press {key} again when you saw it.", "warning")
            return

        def approve(actions: Actions, anyway: bool = False) -> str:
            said = actions.approve_shown(view.run_id, approvals, anyway=anyway)
            return f"{said}; left out: {left_out}" if left_out else said

        def perform(act: Callable[[Actions], str]) -> None:
            undo = Decided("approval", view.run_id, lambda actions: actions.undo_approval(view.run_id), act)
            self._perform(act, decided=undo)

        conflicts = [f for approval in approvals for f in self.patch.conflicts_of(approval)]
        if not conflicts:
            perform(approve)
            return
        from triage_tui.ui.screens.question import Question

        def answered(answer: str | None) -> None:
            if answer == "yes":
                perform(partial(approve, anyway=True))

        more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
        first = conflicts[0]
        where = "On SFEmu" if first.code == "elsewhere" else "It gets in the way of active rules"
        question = f"{where}: {first.message}{more}."
        answers = (("no", "Approve nothing"), ("yes", "Approve all the same"))
        self.app.push_screen(Question(question, answers), answered)

    # --- rejecting ---------------------------------------------------------------------------------------

    def action_reject(self) -> None:
        """Ask for a reason, then reject the hunk or file under the cursor, or all proposals of the run."""
        view = self._ready(needs_rules=True)
        if view is None:
            return
        from triage_tui.ui.screens.question import Question

        if self.active == "patch" and self.patch.view is not view:
            self.say("The rules of this run are not shown yet: press x again when they are.", "warning")
            return
        part = self.active == "patch" and bool(self.patch.place.file)
        names = self.patch.names_here if part else []
        what = (
            f"drop this {self.patch.object_of('reject')}" if part else f"reject the proposals of {view.name}"
        )

        def answered(reason: str | None) -> None:
            if reason is None:
                return
            if part:
                self._drop(view, names, reason)
                return

            def reject(actions: Actions) -> str:
                return actions.reject(view.run_id, reason, seen=view.run.state)

            undo = Decided("rejection", view.run_id, lambda actions: actions.reconsider(view.run_id), reject)
            self._perform(reject, decided=undo)

        self.app.push_screen(Question(f"Why {what}?", REASONS, other="Another reason"), answered)

    def _drop(self, view: RunView, names: list[str], reason: str) -> None:
        patch, choices = self.patch, self.patch.choices
        if self.view is not view:
            self.say("The run was read again meanwhile: look at it once more.", "warning")
            return
        before = patch.states_here
        patch.set_here("dropped")
        after = patch.states_here

        def drop(actions: Actions) -> str:
            return actions.drop(view.run_id, names, reason)

        def back_to(states: Mapping[str, State]) -> None:
            choices.restore(states)
            patch.redraw()

        undo = Decided(
            "drop",
            view.run_id,
            lambda actions: actions.reconsider(view.run_id),
            drop,
            lambda: back_to(before),
            lambda: back_to(after),
        )
        self._perform(drop, decided=undo)

    # --- undoing -----------------------------------------------------------------------------------------

    def took_effect(self, event: Done) -> str:
        """Remember what was decided or undone; return what to say about taking it back."""
        if event.undone is not None:
            self.undone.append(event.undone)
            return "; U does it again"
        if event.decided is None:
            return ""
        if not event.again:
            self.undone.clear()
        self.decided = [*self.decided, event.decided][-_MAX_UNDO:]
        return "; u undoes it"

    def action_rollback(self) -> None:
        """Undo the last decision of this session; else ask, and go back to the generation before."""
        view = self._ready()
        if view is None:
            return
        if self.decided:
            last = self.decided.pop()
            last.undo_here()
            self._perform(last.undo, undone=last)
        elif view.generation is None:
            self.say("Nothing was decided in this session, and no rule is active for this target.", "warning")
        else:
            self._ask_to_roll_back(view)

    def _ask_to_roll_back(self, view: RunView) -> None:
        """Ask before a generation is taken back that was not approved in this session."""
        from triage_tui.ui.screens.question import Question

        def answered(answer: str | None) -> None:
            if answer != "yes":
                return
            # What somebody else approved since, also where it is not shown yet, was not asked about.
            number = view.generation or ""
            seen = int(number) if number.isdecimal() else 0
            self._perform(lambda actions: actions.rollback(view.run_id, seen=seen))

        question = (
            f"Roll back generation {view.generation} of {view.name}? It was not approved in this session."
        )
        answers = (("no", "Leave it active"), ("yes", "Roll it back, byte for byte"))
        self.app.push_screen(Question(question, answers), answered)

    def action_redo(self) -> None:
        """Make the decision again that was undone last."""
        if self._ready() is None:
            return
        if not self.undone:
            self.say("Nothing was undone in this session.", "warning")
            return
        last = self.undone.pop()
        last.redo_here()
        self._perform(last.redo, decided=last, again=True)

    def tell_changes(self) -> None:
        """Say which rules changed on disk since the person looked at them."""
        files, self.patch.changed = self.patch.changed, []
        if files:
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            self.say(f"{files[0]}{more} changed on disk since you looked: the lines are marked.", "warning")

    # --- what is known of the rules ----------------------------------------------------------------------

    def look_into_rules(self) -> None:
        """Find out, in a thread, what the proposed rules do and what is wrong with them."""
        view = self.view
        if view is None or not self.patch.display:
            return
        known = self.patch.insights
        if all(name in known for name, rule in view.rules.items() if rule.difference is not None):
            return

        def work() -> None:
            from triage_tui.ui.insight import look_into

            try:
                self.post_message(LookedInto(view, look_into(view)))
            except Exception as error:
                # A rule that defeats what looks into it must not take the review down.
                self.post_message(Trouble(self.app.reports.sentence("Looking into the rules", error)))

        self.run_worker(work, thread=True, group="insight", exclusive=True, exit_on_error=False)

    @on(LookedInto)
    def looked_into(self, event: LookedInto) -> None:
        """Show what was found out, unless another text is shown by now."""
        if self.view is event.view:
            self.patch.take_insights(event.insights)

    def action_match_runs(self) -> None:
        """Hold the rule under the cursor against this run and the others of the workspace, or stop that.

        It is run over the calls of this run, in the rule host, for what only shows then; a rule whose header
        does not say which calls it is for is run over those of the others too.
        """
        if self.stop_matching():
            return
        view, name = self.view, self.patch.file
        rule = view.rules.get(name) if view is not None else None
        if view is None or rule is None or rule.difference is None:
            self.say("There is no rule under the cursor.", "warning")
            return
        source, cancel = rule.difference.new, threading.Event()
        runs_dir, run_id, target = view.run.dir.parent, view.run_id, view.snapshot.target.target_id
        self._comparing = cancel

        def tell(done: int, count: int) -> None:
            self.post_message(Matching(done, count))

        def work() -> None:
            from triage_tui.retry.rules.rule_checks import check_at_calls
            from triage_tui.rulebook.check.recorded import matched_in, other_runs

            here, others, trouble = None, None, ""
            findings: list[Finding] = []
            try:
                arch = view.snapshot.target.arch
                here = matched_in(run_id, arch, view.calls, name, source, run_it=True)
                findings = check_at_calls(run_id, arch, view.calls, name, source)
                others = other_runs(runs_dir, run_id, target, name, source, cancel, tell)
            except TriageError as error:
                trouble = str(error)
            except Exception as error:
                # A run that defeats the reader must not take the review down.
                trouble = f"the other runs cannot be read ({type(error).__name__})"
            self.post_message(OthersMatched(run_id, name, here, others, findings, trouble))

        self.patch.tell("looking at other runs, esc stops")
        self.run_worker(work, thread=True, group="matching", exit_on_error=False)

    def stop_matching(self) -> bool:
        """Stop looking at other runs; False when that is not being done."""
        if self._comparing is None:
            return False
        self._comparing.set()
        return True

    @on(Matching)
    def matching(self, event: Matching) -> None:
        """Say how far it is."""
        if self._comparing is not None:
            self.patch.tell(f"{event.done} of {event.count} runs looked at, esc stops")

    @on(OthersMatched)
    def others_matched(self, event: OthersMatched) -> None:
        """Show what other runs say."""
        from triage_tui.rulebook.check.findings import in_order

        self._comparing = None
        self.patch.tell("")
        if event.trouble:
            self.say(event.trouble, "warning")
        elif self.view is not None and self.view.run_id == event.run_id:
            known = self.patch.insights.get(event.file)
            if known is not None:
                findings = tuple(in_order([*known.findings, *event.findings]))
                more = replace(known, here=event.here, others=event.others, findings=findings)
                self.patch.take_insights({event.file: more})
