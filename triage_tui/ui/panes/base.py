"""What all panes have in common: a name, the run they show, and how a link finds its place in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.message import Message

from triage_tui.text import safe_line
from triage_tui.ui.containment import contain
from triage_tui.ui.rows import Rows
from triage_tui.ui.widgets.line_view import LineView

if TYPE_CHECKING:
    from triage_tui.runs.evidence import Link
    from triage_tui.ui.loading import RunView


class Pane(LineView):
    """A view of one run. Subclasses build rows from a `RunView`."""

    NAME: ClassVar[str] = ""
    KINDS: ClassVar[tuple[str, ...]] = ()
    """Kinds of evidence links that this pane can show."""
    EMPTY: ClassVar[str] = "Nothing here."
    FOLLOW: ClassVar[bool] = False
    """Stay at the end when rows are added (logs)."""
    NOTE_CELLS: ClassVar[int] = 24
    """Cells that the pane's note may take beside the facts of the run, where the pane has the screen."""

    @dataclass
    class Retitled(Message):
        """What the pane's title says has changed."""

    def __init__(self) -> None:
        super().__init__(id=f"pane-{self.NAME}", empty="", classes="pane")
        self.view: RunView | None = None

    @property
    def note(self) -> str:
        """What the title says of the pane, safe to show; nothing when that cannot be made."""
        try:
            return safe_line(getattr(self, "title_note", ""))
        except Exception as error:
            contain(self, error)
            return ""

    def show_contained(self, view: RunView | None, empty: str = "") -> None:
        """Show a run; rows that cannot be made cost this pane and no other."""
        try:
            self.show(view, empty)
        except Exception as error:
            self.fail(error)

    def show(self, view: RunView | None, empty: str = "") -> None:
        """Show another run, or the same run read again (then the cursor stays); `empty` replaces `EMPTY`."""
        same = view is not None and self.view is not None and view.run_id == self.view.run_id
        at_end = self.cursor >= len(self.rows) - 1
        self.view = view
        if not same:
            self.forget()
        rows = self.build(view) if view is not None else Rows()
        self.set_rows(rows, cursor=None if same else self.first(rows), empty=empty or self.EMPTY)
        if same and self.FOLLOW and at_end:
            self.move_to(len(rows) - 1)

    def forget(self) -> None:
        """Drop what belongs to the run shown before."""

    def first(self, rows: Rows) -> int:
        """Return where the cursor starts."""
        return 0

    def build(self, view: RunView) -> Rows:
        """Return the rows for a run."""
        raise NotImplementedError

    def rebuild(self) -> None:
        """Build the rows again, after a change of what is shown of the same run."""
        if self.view is not None:
            self.set_rows(self.build(self.view))

    def reveal(self, link: Link) -> bool:
        """Move to what `link` points to and highlight it; False when it is not here.

        Raises:
            TriageError: it is not here, and there is a reason to tell.
        """
        return False
