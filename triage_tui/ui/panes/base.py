"""What all panes have in common: a name, the run they show, and how a link finds its place in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual import events
from textual.binding import BindingType
from textual.message import Message

from triage_tui.text import shown_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.containment import contain
from triage_tui.ui.rows import Marks, Rows
from triage_tui.ui.searching import SearchedRows, next_hit
from triage_tui.ui.widgets.line_view import LineView

if TYPE_CHECKING:
    from triage_tui.runs.evidence import Link
    from triage_tui.ui.run_view import RunView


class PaneState(NamedTuple):
    """What a pane shows and where, to come back to."""

    cursor: int
    marks: Marks
    top: int
    target: Any
    """What the row of the cursor stands for: the pane may have another width by then."""
    shown: Any = None
    """What the pane shows of the run, where it has a choice."""


class Pane(LineView):
    """A view of one run. Subclasses build rows from a `RunView`."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("search")
    NAME: ClassVar[str] = ""
    KINDS: ClassVar[tuple[str, ...]] = ()
    """Kinds of evidence links that this pane can show."""
    EMPTY: ClassVar[str] = "Nothing here."
    FOLLOW: ClassVar[bool] = False
    """Stay at the end when rows are added (logs)."""
    NOTE_CELLS: ClassVar[int] = 24
    """Cells that the pane's note may take beside the facts of the run, where the pane has the screen."""
    SEARCH: ClassVar[bool] = True
    """Whether it can be searched; panes with a filter cannot."""
    SEARCH_HINT: ClassVar[str] = "text to find in this pane; n and N go from hit to hit"

    @dataclass
    class Retitled(Message):
        """What the pane's title says has changed."""

    def __init__(self) -> None:
        super().__init__(id=f"pane-{self.NAME}", empty="", classes="pane")
        self.view: RunView | None = None
        self.hovered: str | None = None
        """The link under the mouse."""
        self.search_text = ""
        self._plain = Rows()
        self.search_began = 0

    @property
    def note(self) -> str:
        """What the title says of the pane, safe to show; nothing when that cannot be made."""
        try:
            notes = [self.search_note, getattr(self, "title_note", "")]
            return shown_line(" · ".join(note for note in notes if note))
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
            self.search_text = ""
            self.forget()
        rows = self.build(view) if view is not None else Rows()
        # Rows that are made for a width are none before they have one: then there is nothing to find.
        rows.layout(self._width)
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

    # --- coming back -------------------------------------------------------------------------------------

    def state(self) -> PaneState:
        """Return what is shown and where."""
        row = self.current
        target = row.target if row is not None else None
        return PaneState(self.cursor, dict(self._marks), self.scroll_offset.y, target, self.shown_choice())

    def restore(self, state: PaneState) -> None:
        """Show again what was shown, where it was."""
        self.show_choice(state.shown)
        rows, cursor, marks = self.rows, state.cursor, state.marks
        row = rows.row(cursor) if 0 <= cursor < len(rows) else None
        if state.target is not None and (row is None or row.target != state.target):
            found = rows.place(state.target)
            moved = 0 if found is None else found - cursor
            cursor, marks = cursor + moved, {index + moved: span for index, span in marks.items()}
        self.move_to(cursor)
        self.scroll_to(y=state.top, animate=False, immediate=True, force=True)
        self._show_cursor()
        self._marks = {index: span for index, span in marks.items() if 0 <= index < len(rows)}
        self.refresh()

    def shown_choice(self) -> Any:
        """Return what `show_choice` needs to show the same again."""
        return None

    def show_choice(self, choice: Any) -> None:
        """Show what was shown when `shown_choice` returned `choice`; the rows' cursor is set afterwards."""

    # --- what rows stand for, and where the mouse is -------------------------------------------------------

    @property
    def place_name(self) -> str:
        """What is looked at, in two words, for the trail; safe to show."""
        return self.NAME

    @property
    def peeked_link(self) -> str | None:
        """The link under the cursor, else the one to what the row itself stands for."""
        if self.chosen_link is not None:
            return self.chosen_link
        from triage_tui.ui.own_links import own_link

        return own_link(self.NAME, self.current, self._width, self.own_choice)

    @property
    def opens(self) -> bool:
        """Whether there is something to open in the row under the cursor."""
        return self.chosen_link is not None

    @property
    def own_choice(self) -> Any:
        """What `own_link` has to know beside the row."""
        return None

    @dataclass
    class Hovered(Message):
        """The mouse came to a link."""

        pane: Pane
        link: str

    def link_at(self, x: int, y: int) -> str | None:
        """Return the link at a cell of the widget's content."""
        index, cell = y + self.scroll_offset.y, x + self.scroll_offset.x
        if not 0 <= index < len(self._rows):
            return None
        return next((link for a, b, link in self._rows.row(index).links if a <= cell < b), None)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Look up the link under the mouse; what it leads to shows when the mouse rests."""
        offset = event.get_content_offset(self)
        link = self.link_at(offset.x, offset.y) if offset is not None else None
        if link != self.hovered:
            self.hovered, self.tooltip = link, None
            if link is not None:
                self.post_message(self.Hovered(self, link))

    def on_leave(self, event: events.Leave) -> None:
        """Forget the link: the mouse is elsewhere."""
        self.hovered, self.tooltip = None, None

    # --- searching ---------------------------------------------------------------------------------------

    @property
    def rows(self) -> Rows:
        """What is shown, without what a search adds to it."""
        return self._plain

    def set_rows(self, rows: Rows, *, cursor: int | None = None, empty: str | None = None) -> None:
        """Show other rows, what is searched for highlighted in them."""
        self._plain = rows
        shown = SearchedRows(rows, self.search_text) if self.search_text else rows
        super().set_rows(shown, cursor=cursor, empty=empty)

    @property
    def _searched(self) -> SearchedRows | None:
        return self._rows if isinstance(self._rows, SearchedRows) else None

    @property
    def search_note(self) -> str:
        """What is searched for, and which hit is under the cursor."""
        searched = self._searched
        if searched is None:
            return ""
        hits = searched.hits
        if not hits:
            return f"/{self.search_text} not found"
        place = f"{hits.index(self.cursor) + 1} of " if self.cursor in hits else ""
        return f"/{self.search_text} {place}{len(hits)}"

    def begin_search(self) -> None:
        """Remember from where what is typed now is searched."""
        self.search_began = self.cursor

    def set_search(self, text: str) -> None:
        """Highlight `text` everywhere, and go to the first hit from where the search began; "" ends it."""
        cursor, top = self.cursor, self.scroll_offset.y
        self.search_text = text
        self.set_rows(self._plain)
        self.scroll_to(y=top, animate=False, immediate=True, force=True)
        searched = self._searched
        hit = next_hit(searched.hits, self.search_began - 1, 1) if searched is not None else None
        self.move_to(cursor if hit is None else hit, centre=True)
        self.post_message(self.Retitled())

    def action_step_hit(self, step: int) -> None:
        """Go to the next hit (1) or the one before (-1)."""
        searched = self._searched
        hit = next_hit(searched.hits, self.cursor, step) if searched is not None else None
        if hit is not None:
            self.move_to(hit, centre=True)
        self.post_message(self.Retitled())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Give the keys of the hits to others while nothing is searched for."""
        return action != "step_hit" or bool(self.search_text)
