"""Choosing in the patch pane: what is under the cursor, what is decided about it, what an approval takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from triage_tui.rulebook.choices import Approval, Choices, State
from triage_tui.text import safe_line
from triage_tui.ui.hunk_rows import Place
from triage_tui.ui.insight import Insight
from triage_tui.ui.panes.base import Pane

if TYPE_CHECKING:
    from triage_tui.rulebook.check.findings import Finding
    from triage_tui.runs.diagnosis_model import Proposal

_BY_MODEL = "by a model: look at it, and approve it with a"
_NAMED = 3
"""Files that a sentence names at most."""


class ChoosingPane(Pane):
    """The part of the patch pane that chooses hunks, files and proposals."""

    def __init__(self) -> None:
        super().__init__()
        self.choices = Choices()
        """What is decided about the hunks of the run that is shown."""
        self.insights: dict[str, Insight] = {}
        """What is known of the rules of this run."""

    def redraw(self) -> None:
        """Build the rows again; the cursor and the marks stay on what they are on."""
        raise NotImplementedError

    # --- what is under the cursor --------------------------------------------------------------------------

    @property
    def place(self) -> Place:
        """What the cursor is on; the first proposal, or else the first file, when that is nothing."""
        row = self.current
        place = row.target if row is not None and isinstance(row.target, Place) else Place(-1)
        if place.proposal < 0 and not place.file and self.view:
            return Place(0) if self.view.proposals else Place(-1, next(iter(self.view.rules), ""))
        return place

    @property
    def file(self) -> str:
        """The file under the cursor, or the first one of the proposal; "" for none."""
        place = self.place
        if place.file or self.view is None or not 0 <= place.proposal < len(self.view.proposals):
            return place.file
        return next(iter(self.view.proposals[place.proposal].files), "")

    @property
    def files_here(self) -> list[str]:
        """The file under the cursor, or all files of the proposal."""
        place = self.place
        if place.file or self.view is None or not 0 <= place.proposal < len(self.view.proposals):
            return [place.file] if place.file else []
        return list(dict.fromkeys(self.view.proposals[place.proposal].files))

    @property
    def smaller_here(self) -> Proposal | None:
        """The smaller set of rules under the cursor that trials found; it is approved as a whole."""
        place = self.place
        if self.view is None or not 0 <= place.proposal < len(self.view.proposals):
            return None
        proposal = self.view.proposals[place.proposal]
        return proposal if proposal.source == "trial" else None

    @property
    def hunk_here(self) -> int | None:
        """The hunk under the cursor, where its file has several."""
        place = self.place
        difference = self.choices.files.get(place.file)
        if difference is None or not 0 <= place.hunk < len(difference.hunks) or len(difference.hunks) < 2:
            return None
        return place.hunk

    # --- deciding about it ---------------------------------------------------------------------------------

    def toggle(self) -> State | None:
        """Choose what is under the cursor, drop it when it is chosen, leave it open when it is dropped."""
        hunk, files = self.hunk_here, self.files_here
        if hunk is not None:
            state = self.choices.toggle(self.place.file, hunk)
        elif self.choices.states(files):
            state = self.choices.toggle_files(files)
        else:
            return None
        self.redraw()
        return state

    def set_here(self, state: State) -> None:
        """Decide about the hunk, the file or the proposal under the cursor."""
        hunk = self.hunk_here
        if hunk is not None:
            self.choices.decide(self.place.file, [hunk], state)
        else:
            self.choices.decide_files(self.files_here, state)
        self.redraw()

    @property
    def names_here(self) -> list[str]:
        """What `set_here` decides about: "fix/syscall/read.lua:2", or whole files."""
        hunk = self.hunk_here
        return [f"{self.place.file}:{hunk + 1}"] if hunk is not None else self.files_here

    @property
    def states_here(self) -> dict[str, State]:
        """The states of what `set_here` decides about."""
        hunk = self.hunk_here
        if hunk is not None:
            return self.choices.snapshot(self.place.file, [hunk])
        states: dict[str, State] = {}
        for file in self.files_here:
            if (difference := self.choices.files.get(file)) is not None:
                states |= self.choices.snapshot(file, range(len(difference.hunks)))
        return states

    def object_of(self, action: str) -> str:
        """Return what "approve" or "reject" would be about, in one or two words; "" for all of a proposal."""
        chosen = self.choices.states(self.choices.files).count("chosen") if action == "approve" else 0
        if chosen:
            return f"{chosen} hunk{'s' * (chosen != 1)}"
        if self.hunk_here is not None:
            return "hunk"
        return "file" if self.place.file else ""

    @property
    def next_mark(self) -> str:
        """What `toggle` would do, in a word or two."""
        hunk = self.hunk_here
        states = (
            {self.choices.state(self.place.file, hunk)}
            if hunk is not None
            else set(self.choices.states(self.files_here))
        )
        return "drop" if states == {"chosen"} else "leave open" if states == {"dropped"} else "choose"

    def divide(self) -> bool:
        """Divide the hunk under the cursor before this line, or into paragraphs from its first row."""
        place = self.place
        difference = self.choices.files.get(place.file)
        if difference is None or not 0 <= place.hunk < len(difference.hunks):
            return False
        done = self.choices.divide(place.file, place.hunk, place.row)
        if done:
            self.redraw()
        return done

    # --- what an approval takes ----------------------------------------------------------------------------

    def errors_of(self, approval: Approval) -> Sequence[Finding]:
        """Return the errors that make an approval of a whole file impossible, as far as they are known.

        Of some hunks alone nothing is known before they are put together: that is checked when it is done.
        """
        return () if approval.hunks else self.insights.get(approval.file, Insight()).errors

    def conflicts_of(self, approval: Approval) -> Sequence[Finding]:
        """Return how a rule file and the active rules get in each other's way, as far as that is known."""
        return self.insights.get(approval.file, Insight()).conflicts

    @property
    def approvals(self) -> list[Approval]:
        """What an approval takes: the chosen hunks; where none is, what is under the cursor."""
        if chosen := self.choices.chosen:
            return chosen
        hunk = self.hunk_here
        if hunk is not None:
            return [self.choices.approval(self.place.file, [hunk])]
        return self.choices.whole(self.files_here)

    @property
    def all_approvals(self) -> list[Approval]:
        """Everything that is proposed, but for what is dropped, a model's, or of a smaller set."""
        proposals = self.view.proposals if self.view is not None else []
        smaller = {name for one in proposals if one.source == "trial" for name in one.files}
        names = [name for name in self.choices.files if name not in smaller and not self.by_model(name)]
        return self.choices.whole(names)

    def by_model(self, name: str) -> bool:
        """Tell whether a rule file is a model's idea: it is approved by itself, or not at all."""
        from triage_tui.retry.rules.proposed import by_model

        rule = self.view.rules.get(name) if self.view is not None else None
        if self.view is None or rule is None or rule.difference is None:
            return False
        return by_model(self.view.proposals, name, rule.difference.new)

    @property
    def left_out(self) -> str:
        """The files that `all_approvals` does not take, or not whole, and why; "" for none."""
        if self.view is None:
            return ""
        reasons = {
            name: self._why_not(name) or (_BY_MODEL if self._is_open_of_model(name) else "")
            for name in self._proposed
        }
        told = [f"{name} ({why})" for name, why in reasons.items() if why]
        more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        return ", ".join(told[:_NAMED]) + more

    @property
    def _proposed(self) -> list[str]:
        """All files of the run, and those that its proposals name though they are not there."""
        if self.view is None:
            return []
        named = [name for proposal in self.view.proposals for name in proposal.files]
        return list(dict.fromkeys([*self.view.rules, *named]))

    def _why_not(self, name: str) -> str:
        """Return why a file is not approved as it is, in a few words; "" when it can be, or is already."""
        rule = self.view.rules.get(name) if self.view is not None else None
        if rule is None:
            return "it is not in this run"
        if rule.problem:
            return safe_line(rule.problem, 120)
        dropped = self.choices.states([name]).count("dropped")
        total = len(self.choices.states([name]))
        return "" if not dropped else "dropped" if dropped == total else f"{dropped} of {total} hunks dropped"

    def _is_open_of_model(self, name: str) -> bool:
        """Tell whether a model's rule is not active as it is."""
        return self.by_model(name) and bool(self.choices.files[name].hunks)

    @property
    def why_nothing(self) -> str:
        """Why there is nothing to approve under the cursor, as a sentence."""
        files = self.files_here
        if not files:
            return "There is no rule under the cursor."
        for name in files:
            why = self._why_not(name)
            if why == "dropped":
                return f"{name} is dropped: space leaves it open again."
            if why:
                return f"{name} cannot be approved: {why}"
        return "This rule is active already, byte for byte."

    @property
    def approvable(self) -> bool:
        """Whether something is chosen, or what is under the cursor is not active already."""
        files = self.files_here
        active = bool(files) and all(
            (difference := self.choices.files.get(name)) is not None and not difference.hunks
            for name in files
        )
        return not active or "chosen" in self.choices.states(self.choices.files)

    def needed(self, approvals: Sequence[Approval]) -> str | None:
        """Return what a proposal among the approvals still needs from a person, if anything."""
        from triage_tui.retry.rules.proposed import is_filled_in

        if self.view is None:
            return None
        files = {approval.file for approval in approvals}
        for proposal in self.view.proposals:
            if (
                proposal.needs_input
                and files & set(proposal.files)
                and not is_filled_in(self.view.run, proposal)
            ):
                return safe_line(proposal.needs_input, 300)
        return None
