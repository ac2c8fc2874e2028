"""One campaign after the other: its targets, its stories and rules, what to do next, what changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from triage_tui.campaign.following import Follower
from triage_tui.campaign.model import CampaignState
from triage_tui.campaign.record import campaign_dir, campaign_ids, campaigns_dir, read_campaign
from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui import pauses
from triage_tui.ui.campaign_bars import progress_items, view_items
from triage_tui.ui.campaign_data import ORDERS, CampaignData, advice, heading_of, reckon
from triage_tui.ui.campaign_rows import NOTHING_PASSES, What
from triage_tui.ui.campaign_views import (
    VIEWS,
    CampaignPlace,
    behind,
    columns,
    last_run,
    rows_of,
)
from triage_tui.ui.messages import CampaignFailed, CampaignRead
from triage_tui.ui.rows import ListRows, Rows, wrapped
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.screens.question import Question
from triage_tui.ui.widgets.bar import Bar, Item
from triage_tui.ui.widgets.field import Field
from triage_tui.ui.widgets.line_view import LineView

NONE_YET = "No campaign in this workspace yet: `triage-tui campaign --rootfs DIR` begins one."
_EMPTY = {
    "targets": "No target is behind this.",
    "rules": "No rule was tried yet.",
    "stories": "No target stopped for anything yet.",
    "next": "Nothing is left to do: no target needs anything that is known.",
    "compared": "Press c to hold it against an earlier campaign.",
}
LOOK_FOR_EVERY_S = 2.0
"""How often campaigns are looked for that began, or are gone."""
_OFFERED = 8
"""Campaigns that are offered to be compared with."""


class CampaignSheet(Sheet):
    """The campaigns of a workspace, one at a time, as they are and as they grow."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "turn(1)", "next view", show=False),
        Binding("shift+tab", "turn(-1)", "view before", show=False),
        *(Binding(str(n), f"view('{name}')", label, show=False) for n, (name, label) in enumerate(VIEWS, 1)),
        Binding("s", "sort", "order", show=False),
        Binding("o", "fold", "by story", show=False),
        Binding("c", "compare", "compare", show=False),
        Binding("m", "mark", "mark", show=False),
        Binding("right_square_bracket", "other(1)", "older campaign", show=False),
        Binding("left_square_bracket", "other(-1)", "newer campaign", show=False),
        Binding("backspace", "back", "back", show=False),
        Binding("Q", "dismiss(None)", "leave", show=False),
    ]

    def __init__(
        self,
        workspace: Path,
        place: CampaignPlace,
        open_run: Callable[[str], None],
        mark_runs: Callable[[Sequence[str]], None],
    ) -> None:
        """`open_run` shows a run, `mark_runs` marks some."""
        super().__init__("Campaigns", lambda width: [], wide=True)
        self._workspace = workspace
        self._names: list[str] | None = None
        """The campaigns, the newest first; None before they were looked for."""
        self._place, self._open_run, self._mark_runs = place, open_run, mark_runs
        self._data: CampaignData | None = None
        self._follower: Follower | None = None
        self._before: tuple[str, CampaignState | None, str] = ("", None, "")
        """The campaign that it is held against, as read, and why it could not be."""
        self._trouble = ""
        self._note = ""

    def compose(self) -> ComposeResult:
        """Show how far it is, the views, and the rows."""
        with Vertical(id="help"):
            yield Bar(id="campaign-progress")
            yield Bar(id="campaign-views")
            yield Bar(id="campaign-columns")
            yield self.LIST(id="help-rows")
            yield Field(self._to_rows, self._place.filter, hint=advice(""), id="help-find")

    def on_mount(self) -> None:
        """Look which campaigns there are."""
        self.query_one("#help-find", Field).display = bool(self._place.filter)
        self._to_rows()
        self._show()
        self._look_for()
        self.set_interval(LOOK_FOR_EVERY_S, self._look_for)

    def _look_for(self) -> None:
        """Look which campaigns there are, in a thread."""

        def work() -> None:
            names = campaign_ids(self._workspace)
            self.app.call_from_thread(self._named, names)

        self.run_worker(work, thread=True, group="campaigns", exclusive=True, exit_on_error=False)

    def _named(self, names: list[str]) -> None:
        """Follow the campaign that was looked at last, or the newest; others are there to turn to."""
        if not self.is_attached or names == self._names:
            return
        self._names = names
        if names and self._follower is None:
            known = self._place.campaign in names
            self._look_at(self._place.campaign if known else names[0])
        self._show()

    def on_unmount(self) -> None:
        """Follow it no further."""
        if self._follower is not None:
            self._follower.stop()

    def on_resize(self) -> None:
        """Draw the names of the columns for the new size, once the rows have it."""
        self.call_after_refresh(self._draw_bars)

    # --- reading: `_told`, `_failed` and what they call are called in the follower's thread -----------------

    def _look_at(self, name: str) -> None:
        if self._follower is not None:
            self._follower.stop()
        self._place.look_at(name)
        self._data, self._trouble, self._note = None, "", ""
        self._before = ("", None, "")
        self._follower = Follower(campaigns_dir(self._workspace) / name, self._told, self._failed)
        self._follower.start()

    def _told(self, follower: Follower, state: CampaignState) -> None:
        before, note = self._earlier(state)
        known = self._data
        data = reckon(state, before, known if known is not None and known.id == state.dir.name else None)
        if not follower.ended:
            self.post_message(CampaignRead(follower, data, note))

    def _failed(self, follower: Follower, sentence: str) -> None:
        if not follower.ended:
            self.post_message(CampaignFailed(follower, sentence))

    def _earlier(self, state: CampaignState) -> tuple[CampaignState | None, str]:
        """Return the campaign that this one is held against, and why it cannot be."""
        wanted = self._place.compare or state.campaign.compared_with
        if not wanted or wanted == state.dir.name:
            return None, ""
        known = self._before
        if known[0] != wanted:
            try:
                known = (wanted, read_campaign(campaign_dir(self._workspace, wanted)), "")
            except (TriageError, OSError) as error:
                known = (wanted, None, f"not compared: {error}")
            self._before = known
        return known[1], known[2]

    @on(CampaignRead)
    def campaign_read(self, event: CampaignRead) -> None:
        """Show how it stands now; the cursor stays where it is."""
        if event.follower is self._follower:
            self._keep_cursor()
            self._data, self._note, self._trouble = event.data, event.note, ""
            pauses.set_aside()
            self._show()

    @on(CampaignFailed)
    def campaign_failed(self, event: CampaignFailed) -> None:
        """Say why it cannot be shown."""
        if event.follower is self._follower:
            self._data, self._trouble = None, event.sentence
            self._show()

    # --- what is shown ----------------------------------------------------------------------------------

    @property
    def _list(self) -> LineView:
        return self.query_one(LineView)

    def _keep_cursor(self) -> None:
        row = self._list.current
        if self._data is not None and row is not None and isinstance(row.target, What):
            self._place.what = row.target

    def _show(self) -> None:
        """Show the view that is chosen, the cursor on what it was on."""
        view, data = self._list, self._data
        self._draw_bars()
        if data is not None:
            rows, cursor = rows_of(data, self._place, view.content_width)
            empty = _EMPTY[self._place.view] if data.lines else "This campaign has no targets."
            if data.lines and self._place.filter and (data.comparison or self._place.view != "compared"):
                empty = NOTHING_PASSES
            note = self._note if self._place.view == "compared" else ""
            top = view.scroll_offset.y if cursor == view.cursor else None
            view.set_rows(rows, cursor=cursor, empty=note or empty)
            if top is not None:
                # What came to other targets must not move what somebody reads.
                view.scroll_to(y=top, animate=False, immediate=True, force=True)
        elif self._trouble:
            text = f"This campaign cannot be shown: {self._trouble}"
            view.set_rows(ListRows(lambda width: wrapped(text, width, "bad", 1)), cursor=0)
        else:
            view.set_rows(Rows(), empty=NONE_YET if self._names == [] else "Reading the campaign…")

    def _draw_bars(self) -> None:
        place, data = self._place, self._data
        frame = self.query_one("#help", Vertical)
        state = ""
        if data is not None:
            campaign = data.state.campaign
            state = " at work" if data.state.running else " ended" if campaign.finished else " not ended"
        name = f"Campaign {safe_line(place.campaign, 40)}{state}" if self._names else "Campaigns"
        frame.border_title = Content(name)
        frame.border_subtitle = Content(self._keys)
        self.query_one("#campaign-progress", Bar).set_items(*progress_items(data, self.size.width))
        self.query_one("#campaign-views", Bar).set_items(*view_items(data, self._place, self.size.width))
        text = columns(place.view, max(20, self._list.content_width)) if data is not None else ""
        self.query_one("#campaign-columns", Bar).set_items([Item(text, "faint")])

    @property
    def _keys(self) -> str:
        if self._names == []:
            return "esc leave"
        more = "[ ] campaigns  " if self._names and len(self._names) > 1 else ""
        own = {"targets": "s order  o by story  ", "compared": "c with another  "}.get(self._place.view, "")
        back = "⌫ back  " if self._place.trail else ""
        return f"⏎ open  / filter  {own}m mark  {back}{more}esc leave"

    # --- what keys do -----------------------------------------------------------------------------------

    def show_found(self, text: str) -> None:
        """Show what passes a filter."""
        self._keep_cursor()
        self._place.filter = text
        self._show()

    def action_view(self, name: str) -> None:
        """Show another view."""
        if self._names != []:
            self._place.turn_to(name)
        self._show()

    def action_turn(self, step: int) -> None:
        """Show the next view (1) or the one before (-1)."""
        names = [name for name, _ in VIEWS]
        self.action_view(names[(names.index(self._place.view) + step) % len(names)])

    def action_sort(self) -> None:
        """Show the targets in the next order."""
        if self._place.view == "targets" and self._data is not None:
            names = list(ORDERS)
            self._place.order = names[(names.index(self._place.order) + 1) % len(names)]
            self._keep_cursor()
            self._show()

    def action_fold(self) -> None:
        """Put the targets below the causes for which they stopped, or take them apart again."""
        place, data = self._place, self._data
        if place.view == "targets" and data is not None:
            self._keep_cursor()
            place.folded = not place.folded
            what = place.what
            if place.folded and what is not None and what.kind == "target":
                place.what = What("story", heading_of(data.lines[data.places[what.key]]))
            self._show()

    def action_other(self, step: int) -> None:
        """Go to an older campaign (1) or a newer one (-1)."""
        here = self._place.campaign
        # The one that is shown may be gone; it has its place all the same.
        names = sorted({here, *(self._names or ())} - {""}, reverse=True)
        if not names:
            return
        index = names.index(here) + step
        if 0 <= index < len(names):
            self._look_at(names[index])
            self._show()
        else:
            self._tell("This is the oldest campaign." if step > 0 else "This is the newest campaign.")

    def action_compare(self) -> None:
        """Ask which campaign it is to be held against."""
        others = [name for name in self._names or () if name < self._place.campaign][:_OFFERED]
        if not others:
            self._tell("There is no earlier campaign to hold it against.")
            return

        def chosen(name: str | None) -> None:
            if name and self._follower is not None:
                self._place.compare = name
                self._place.turn_to("compared")
                self._follower.look_again()
                self._show()

        answers = [(one, one) for one in others]
        self.app.push_screen(Question("Hold it against which campaign?", answers), chosen)

    def _tell(self, text: str) -> None:
        self.app.notify(text, markup=False, timeout=6)

    def opened(self, event: LineView.Opened) -> None:
        """Open the run of a target, or the targets behind a story, a rule or a step."""
        row, data, place = self._list.current, self._data, self._place
        if data is None or row is None or not isinstance(what := row.target, What):
            return
        if what.kind in ("target", "compared"):
            if what.key in data.places:
                self._open(data, what.key)
            else:
                self._tell("This target is gone: its runs are those of the earlier campaign.")
        elif what.kind == "story" and place.view == "targets":
            place.opened ^= {what.key}
            place.what = what
            self._show()
        else:
            place.drill(what, behind(data, self._place, what), what.key)
            self._clear_filter()
            self._show()

    def _clear_filter(self) -> None:
        field = self.query_one("#help-find", Field)
        self._place.filter = ""
        with self.prevent(Field.Changed):
            field.value = ""
        field.display = False
        self._to_rows()

    def action_back(self) -> None:
        """Go back to the story, rule or step that was opened."""
        if self._place.trail:
            self._place.return_()
            self._clear_filter()
            self._show()

    def _open(self, data: CampaignData, target: str) -> None:
        line = data.lines[data.places[target]]
        if not (run_id := last_run(line)):
            why = f": {safe_line(line.said, 200)}" if line.said else ""
            self._tell(f"{safe_line(line.name, 80)} has no run ({line.standing}){why}.")
            return
        self._keep_cursor()
        self.dismiss(None)
        self._open_run(run_id)

    def action_mark(self) -> None:
        """Mark the last runs of the targets behind the row in the list of runs, to decide on all at once."""
        row, data = self._list.current, self._data
        if data is None or row is None or not isinstance(what := row.target, What):
            return
        names = [name for name in behind(data, self._place, what) if name in data.places]
        runs = [run for name in names if (run := last_run(data.lines[data.places[name]]))]
        if not runs:
            self._tell("No run is behind this row.")
            return
        self._keep_cursor()
        self.dismiss(None)
        self._mark_runs(runs)

    async def action_leave(self) -> None:  # type: ignore[override]
        """Leave the filter first, then what was opened, then the sheet."""
        self._keep_cursor()
        if self.query_one("#help-find", Field).display:
            self._clear_filter()
            self._show()
        elif self._place.trail:
            self.action_back()
        else:
            self.dismiss(None)
