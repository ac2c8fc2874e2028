"""The patch pane: proposals, their rule files and the hunks of these, as the person looks through them.

What is decided about them is in `choosing`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from textual.binding import BindingType

from triage_tui.rulebook.choices import Choices, Kept
from triage_tui.rulebook.looked import Looked
from triage_tui.ui.actions import bindings
from triage_tui.ui.hunk_rows import Place, counted
from triage_tui.ui.insight import Insight
from triage_tui.ui.panes.choosing import ChoosingPane
from triage_tui.ui.patch_rows import Shown, differences_of, patch_pieces
from triage_tui.ui.pieces import BuiltRows
from triage_tui.ui.rows import Rows
from triage_tui.ui.run_view import RunView
from triage_tui.ui.widgets.line_view import LineView


class PatchPane(ChoosingPane):
    """Review of the proposed rules."""

    NAME: ClassVar[str] = "patch"
    EMPTY: ClassVar[str] = "No rule is proposed."
    BINDINGS: ClassVar[list[BindingType]] = bindings("patch")

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Kept] = {}
        """What is decided about the hunks of each run."""
        self._of: RunView | None = None
        self._side = True
        self._progress = ""
        self._unfolded: frozenset[tuple[str, int]] = frozenset()
        self.looked = Looked()
        """The texts as the person knows them."""
        self.changed: list[str] = []
        """The files that changed with the last reading of the run."""
        self._changes: dict[str, dict[int, int]] = {}
        self._told: set[tuple[str, int]] = set()
        """The changes, by file and line, that an approval was held up for."""

    def forget(self) -> None:
        """Drop what belongs to the run before; what was decided about it stays."""
        self.insights = {}
        self._unfolded = frozenset()
        self._told = set()

    def show(self, view: RunView | None, empty: str = "") -> None:
        """Show another run, or the same one read again: then the cursor stays on its line or its file.

        What was approved is folded. On the same row as before the cursor would be on what follows, and the
        key that approved would approve that as well.
        """
        same = view is not None and self.view is not None and view.run_id == self.view.run_id
        target = self.current.target if same and self.current is not None else None
        super().show(view, empty)
        row = self.current
        if not isinstance(target, Place) or not target.file or (row is not None and row.target == target):
            return
        for wanted in (target, Place(target.proposal, target.file)):
            if (index := self.rows.place(wanted)) is not None:
                self.move_to(index)
                return

    def build(self, view: RunView) -> Rows:
        """Return proposals and hunks as rows."""
        if self._of is not view:
            if self._of is None or self._of.rules != view.rules:
                # Of another text nothing is known yet.
                self.insights = {
                    name: insight
                    for name, insight in self.insights.items()
                    if self._of is not None and self._of.rules.get(name) == view.rules.get(name)
                }
            self._of = view
            self.choices = Choices(self.kept.setdefault(view.run_id, Kept()))
            self.choices.show(differences_of(view))
            self.changed = self.looked.take(view.run_id, {n: d.new for n, d in self.choices.files.items()})
            self._told = {one for one in self._told if one[0] not in self.changed}
            self._find_changes(view)
        shown = Shown(self.choices, dict(self.insights), self._side, self._unfolded, dict(self._changes))
        return BuiltRows(lambda width: patch_pieces(view, shown, width))

    def _find_changes(self, view: RunView) -> None:
        found = {file: self.looked.changes(view.run_id, file) for file in self.choices.files}
        self._changes = {file: changes for file, changes in found.items() if changes}

    def go_to_change(self, files: Collection[str]) -> int:
        """Go to the next change of the files that the person was not led to, and return how many there were.

        With 0 all of them have been on the screen: from then on the texts count as looked at.
        """
        height = max(1, self.scrollable_content_region.height)
        places = {
            (target.file, target.change): index
            for index, target in self.rows.targets()
            if isinstance(target, Place) and target.change >= 0 and target.file in files
        }
        left = sorted(index for one, index in places.items() if one not in self._told)
        if not left:
            if self.view is not None and self._changes.keys() & set(files):
                self.looked.accept(self.view.run_id, files)
                self._find_changes(self.view)
                self.show(self.view)
            return 0
        (file, line), first = next((one, index) for one, index in places.items() if index == left[0])
        # The cursor stays on the screen when the rows are laid out anew: with its end all of a change does.
        self.move_to(first + min(self._changes.get(file, {}).get(line, 0), height - 1))
        # A change further down may fit beside it; one that is longer than the pane is seen from its start.
        self.scroll_to(y=left[0], animate=False, immediate=True, force=True)
        top = self.scroll_offset.y
        for (file, line), index in places.items():
            end = index + self._changes.get(file, {}).get(line, 0)
            if index == left[0] or top <= index <= end < top + height:
                self._told.add((file, line))
        return len(left)

    def first(self, rows: Rows) -> int:
        """Start at the first proposal."""
        return 2 if self.view and self.view.proposals else 0

    @property
    def title_note(self) -> str:
        """How many hunks are chosen and dropped."""
        if self._progress:
            return self._progress
        states = self.choices.states(self.choices.files) if self.view is not None else []
        return counted(states) if set(states) - {"undecided"} else ""

    def go_to_file(self, name: str) -> bool:
        """Go to a rule file and highlight its name; False when it is not here."""
        # The first row of a file is the one that names it.
        index = next(
            (at for at, one in self.rows.targets() if isinstance(one, Place) and one.file == name), None
        )
        if index is not None:
            self.mark(index)
        return index is not None

    # --- looking -----------------------------------------------------------------------------------------

    def take_insights(self, insights: Mapping[str, Insight]) -> None:
        """Show what was found out about the rules."""
        self.insights = {**self.insights, **insights}
        self.redraw()

    def redraw(self) -> None:
        """Build the rows again; the cursor and the marks stay on what they are on."""
        before, targets = self.cursor, {self.rows.target(index) for index in self.marked}
        target = self.current.target if self.current is not None else None
        self.rebuild()
        place = self.rows.place(target) if target is not None else None
        if place is not None and not (before < len(self.rows) and self.rows.target(before) == target):
            self.move_to(place)
        found = {self.rows.place(wanted) for wanted in targets}
        self._marks |= {index: None for index in found if index is not None}
        self.post_message(self.Retitled())

    @property
    def beside(self) -> bool:
        """Whether both texts may stand side by side."""
        return self._side

    def tell(self, progress: str) -> None:
        """Say in the title how far something is; "" for nothing."""
        self._progress = progress
        self.post_message(self.Retitled())

    def turn(self) -> bool:
        """Change between side by side and one text; returns whether they stand side by side now."""
        self._side = not self._side
        self.redraw()
        return self._side

    def step_hunk(self, step: int) -> bool:
        """Go to the next hunk (1) or the one before (-1); False when there is none."""
        heads = [
            index
            for index, target in self.rows.targets()
            if isinstance(target, Place) and target.hunk >= 0 and target.row < 0 and target.fold < 0
        ]
        ahead = [head for head in heads if head > self.cursor]
        behind = [head for head in heads if head < self.cursor]
        if not (ahead if step > 0 else behind):
            return False
        self.move_to(ahead[0] if step > 0 else behind[-1], centre=True)
        return True

    @property
    def opens(self) -> bool:
        """A link is followed, unchanged lines are unfolded, a call of another run is gone to."""
        row = self.current
        if super().opens or row is None:
            return super().opens
        target = row.target
        return target.fold >= 0 if isinstance(target, Place) else bool(target) and target[0] == "run"

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        """Show the unchanged lines that a row stands for."""
        row = self.current
        if row is not None and isinstance(row.target, Place) and row.target.fold >= 0:
            self._unfolded |= {(row.target.file, row.target.fold)}
            self.rebuild()
            self.post_message(self.Retitled())
            event.stop()
