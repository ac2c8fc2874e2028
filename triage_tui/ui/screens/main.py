"""The main screen: runs at the left, the intervention at the right; tiles when wide, one pane when narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.timer import Timer
from textual.widgets import Static

from triage_tui.text import safe_line
from triage_tui.ui.actions import PANES, bindings
from triage_tui.ui.messages import Done, RunFailed, RunLoaded, RunsChanged, RunsListed, RunsUpdated, Trouble
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.panes.runs import RunsPane
from triage_tui.ui.remembered import Place, Remembered
from triage_tui.ui.screens import chrome
from triage_tui.ui.screens.inspect import InspectScreen
from triage_tui.ui.widgets.bar import Bar
from triage_tui.ui.widgets.line_view import LineView
from triage_tui.ui.words import headline

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary
    from triage_tui.ui.loading import RunView
    from triage_tui.ui.panes.syscalls import SyscallsPane
    from triage_tui.ui.widgets.typed_line import TypedLine

WIDE = 120
"""Columns from which the panes are tiled."""

ROOMY = 150
"""Columns from which the runs list is wider."""

SMALLEST = (60, 14)
"""Columns and rows below which only one sentence is shown."""

_LOAD_AFTER_S = 0.08
_PANES_AFTER_S = 0.03


class MainScreen(InspectScreen):
    """Everything about runs on one screen."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("main")
    AUTO_FOCUS = "#pane-runs"

    def __init__(self) -> None:
        super().__init__()
        self.view: RunView | None = None
        self.active = "runs"
        self.wanted: str | None = None
        self.failure: str | None = None
        self._summaries: dict[str, RunSummary] = {}
        self._zoomed = False
        self._timer: Timer | None = None
        self._loaded: RunView | None = None
        self._serial = 0
        self._order = ""
        self._place = Place()

    def recall(self, remembered: Remembered) -> None:
        """Begin as the app was left."""
        self._zoomed = remembered.zoomed
        self._order = remembered.order
        self._place = remembered.place(self.app.workspace)

    def remember(self, remembered: Remembered) -> None:
        """Note how the app is left."""
        remembered.zoomed, remembered.order = self._zoomed, self._order
        if self.view is not None:
            remembered.set_place(self.app.workspace, Place(self.view.run_id, self.active))

    def compose(self) -> ComposeResult:
        """Lay out title, headline, runs and keys; the panes come after the first frame."""
        self._classify(*self.app.size)
        yield Bar(id="title")
        yield Bar(id="tabs")
        with Container(id="body"):
            with Vertical(id="runs-tile", classes="tile") as tile:
                tile.border_title = "Runs"
                yield RunsPane()
            with Vertical(id="run"):
                with Vertical(id="head"):
                    yield Static(id="headline")
                    yield Bar(id="facts")
                    yield Bar(id="banner")
                yield Horizontal(id="tiles")
        yield Static(id="too-small")
        yield Container(id="typed-line")
        yield Bar(id="keys")

    async def mount_panes(self) -> None:
        """Put the panes into their place: after the first list of runs, so that it need not wait for them."""
        from triage_tui.ui.screens.tiles import columns

        if self.tiles:
            return

        await self.query_one("#tiles", Horizontal).mount_all(columns())
        self.lay_out()
        if self._loaded is not None:
            self._show(self._loaded)
        if self._returns and self.active == "runs":
            self.show_pane(self._place.pane)

    @property
    def _returns(self) -> bool:
        """Whether the run and pane of the last time are where to begin: not when a guest waits elsewhere."""
        waiting = self.waiting_runs
        known = self._place.pane in [name for name, _, _ in PANES]
        return known and self._place.run in self._summaries and waiting <= {self._place.run}

    # --- layout ----------------------------------------------------------------------------------------

    @property
    def syscalls(self) -> SyscallsPane:
        """The syscalls pane."""
        return cast("SyscallsPane", self.query_one("#pane-syscalls"))

    @property
    def single(self) -> bool:
        """Whether one pane has the screen for itself."""
        return self._zoomed or self.size.width < WIDE

    def on_resize(self, event: events.Resize) -> None:
        """Choose tiles or tabs for the new size."""
        self.lay_out()

    def lay_out(self) -> None:
        """Apply size, zoom and active pane to the layout."""
        width, height = self.size
        if not width:
            return
        self._classify(width, height)
        if self.has_class("-tiny"):
            least = f"{SMALLEST[0]}x{SMALLEST[1]}"
            text = f"Please make this terminal larger: {least} at least, now {width}x{height}."
            self.query_one("#too-small", Static).update(Content(text))
        for tile in self.tiles:
            tile.set_class(self.active in [pane.NAME for pane in tile.panes], "-active")
        self.refresh_bars()

    def _classify(self, width: int, height: int) -> None:
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "-tiny")
        self.set_class(self._zoomed or width < WIDE, "-single")
        self.set_class(width >= ROOMY, "-roomy")
        self.set_class(self.active == "runs", "-on-runs")
        self.set_class(height < 30 and self.active not in ("runs", "diagnosis"), "-terse")

    def refresh_bars(self) -> None:
        """Draw title, tabs, facts, banner and keys again."""
        try:
            chrome.draw(self)
        except NoMatches:
            return  # The screen is being taken down.

    def show_pane(self, name: str) -> None:
        """Go to a pane, or to the runs list."""
        if name != "runs" and not self.tiles:
            return
        pane = self.pane(name)
        self.active = name
        for tile in self.tiles:
            if pane in tile.panes:
                tile.activate(pane)
        self.lay_out()
        # At once: a focus that comes later would win over the key pressed next.
        self.set_focus(pane)

    @on(events.DescendantFocus)
    def follow_focus(self, event: events.DescendantFocus) -> None:
        """The focused pane is the active one, however it got the focus."""
        if (
            isinstance(event.widget, Pane)
            and event.widget is self.focused
            and self.active != event.widget.NAME
        ):
            self.active = event.widget.NAME
            self.lay_out()
        else:
            self.refresh_bars()

    def action_show_pane(self, name: str) -> None:
        """Go to a pane."""
        self.show_pane(name)

    def action_next_pane(self, step: int) -> None:
        """Go through the panes that can be seen."""
        if self.single:
            names = ["runs", *(name for name, _, _ in PANES)]
        else:
            names = ["runs", *(tile.active.NAME for tile in self.tiles)]
        place = names.index(self.active) if self.active in names else 0
        self.show_pane(names[(place + step) % len(names)])

    def action_zoom(self) -> None:
        """Give the screen to the active pane, or take it back."""
        self._zoomed = not self._zoomed
        self.lay_out()
        self.pane(self.active).focus()

    def action_leave(self) -> None:
        """Leave zoom, filter, or the pane for the runs list."""
        if self.active in ("code", "backtrace") and self.stop_decompiling():
            return
        if self._zoomed and self.size.width >= WIDE:
            self.action_zoom()
        elif self.active == "syscalls" and (pane := self.syscalls).filter_text:
            pane.set_filter("")
        elif self.active == "runs" and self.runs.filter_text:
            self.runs.set_filter("")
        else:
            self.show_pane("runs")
        self.refresh_bars()

    # --- runs ------------------------------------------------------------------------------------------

    @on(RunsListed)
    def runs_listed(self, event: RunsListed) -> None:
        """Show the runs; the first one opens by itself."""
        self._summaries = {run.run_id: run for run in event.runs}
        self._show_runs()
        if not self.tiles:
            # A frame's time later: the list is on the terminal before the panes are imported and mounted.
            self.set_timer(_PANES_AFTER_S, self.mount_panes)

    @on(RunsUpdated)
    def runs_updated(self, event: RunsUpdated) -> None:
        """Take changed runs into the list; read the open one again."""
        stale = False
        for run_id, summary in event.runs.items():
            before = self._summaries.get(run_id)
            if run_id == self.wanted:
                stale = event.files_changed or summary != before
            if summary is None:
                self._summaries.pop(run_id, None)
            else:
                if summary.waiting and not (before and before.waiting):
                    self.app.bell()
                self._summaries[run_id] = summary
        self._show_runs()
        if stale:
            self.load(self.wanted)

    @on(RunsChanged)
    def runs_changed(self, event: RunsChanged) -> None:
        """Summarize what changed, in a thread."""
        self.app.update_runs(event.run_ids)

    def _show_runs(self) -> None:
        fresh = not self.runs.selected
        if fresh and self._order:
            self.runs.set_order(self._order)
        self.runs.set_runs(list(self._summaries.values()))
        if fresh and self.app.open_run is not None:
            self.runs.select(self.app.open_run)
        elif fresh and self._returns:
            self.runs.select(self._place.run)
        selected = self.runs.selected
        if selected is not None and (fresh or self.wanted is None):
            self.load(selected.run_id)
        self.refresh_bars()

    @property
    def waiting_runs(self) -> set[str]:
        """Ids of runs whose guest waits."""
        return {run.run_id for run in self._summaries.values() if run.waiting}

    def load(self, run_id: str | None) -> None:
        """Read a run in a thread and show it when it is there."""
        if run_id is not None:
            self.wanted = run_id
            self.app.load_run(run_id)

    @on(LineView.Moved, "#pane-runs")
    def run_selected(self) -> None:
        """Open the run under the cursor once the cursor rests."""
        selected = self.runs.selected
        if selected is None or selected.run_id == self.wanted:
            return
        self.wanted = selected.run_id
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_LOAD_AFTER_S, lambda: self.load(self.wanted))

    @on(LineView.Opened, "#pane-runs")
    def run_opened(self) -> None:
        """Go into the run."""
        selected = self.runs.selected
        if selected is not None:
            if selected.run_id != self.wanted or self.view is None:
                self.load(selected.run_id)
            # A key pressed right after Enter may have led on already; it must not be taken back.
            if self.active == "runs":
                self.show_pane("diagnosis")

    @on(RunLoaded)
    def run_loaded(self, event: RunLoaded) -> None:
        """Show a run that was read, unless the person went on to another or a later reading is shown."""
        if event.view.run_id == self.wanted and event.serial >= self._serial:
            self._serial = event.serial
            self.failure = None
            self._loaded = event.view
            if self.tiles:
                self._show(event.view)

    @on(RunFailed)
    def run_failed(self, event: RunFailed) -> None:
        """Say why a run cannot be shown."""
        if event.run_id == self.wanted:
            self.failure = event.sentence
            self._show(None)

    def _show(self, view: RunView | None) -> None:
        self.view = view
        for tile in self.tiles:
            for pane in tile.panes:
                pane.show(view, "This run cannot be shown." if self.failure and view is None else "")
            tile.update_title()
        text = headline(view) if view is not None else safe_line(self.failure or "", 600)
        self.query_one("#headline", Static).update(Content(text))
        self.refresh_bars()

    def action_step_run(self, step: int) -> None:
        """Go to the next older (1) or newer (-1) run, staying in the pane."""
        self.runs.move_to(self.runs.cursor + step)

    @on(Done)
    def action_done(self, event: Done) -> None:
        """Say what an action did, and show what it led to."""
        self.say(event.sentence, "error" if event.failed else "information")
        if event.run_id:
            self.app.update_runs({event.run_id})
        if event.pane is not None:
            self.show_pane(event.pane)

    @on(Trouble)
    def trouble(self, event: Trouble) -> None:
        """Say what does not work in the background."""
        self.say(event.sentence, "warning")

    def action_toggle_story(self) -> None:
        """Show all runs of the story under the cursor, or fold them."""
        if not self.runs.toggle_story():
            self.say("This is the only run of its target and cause.")
        self.refresh_bars()

    def action_sort_runs(self) -> None:
        """Show the runs in the next order."""
        self.runs.sort()
        self._order = self.runs.order
        self.refresh_bars()

    # --- filter ----------------------------------------------------------------------------------------

    def action_failures(self) -> None:
        """Show only the calls that explain something, or all."""
        self.syscalls.toggle_failures()
        self.tile_titles()

    async def action_filter(self) -> None:
        """Filter the syscalls when they are active, else the runs."""
        from triage_tui.ui.widgets.filter_line import FilterLine

        if self.active != "syscalls":
            self.show_pane("runs")
        await self.type_into(FilterLine(self.runs if self.active == "runs" else self.syscalls))
        self.tile_titles()

    async def type_into(self, line: TypedLine) -> None:
        """Show a line to type into, in place of one that is open."""
        holder = self.query_one("#typed-line", Container)
        await holder.remove_children()
        await holder.mount(line)
        self.add_class("-typing")

    async def typed_ahead(self, event: events.Key) -> bool:
        """Take a key for the open line; True when it was for that.

        Keys typed at once after "/" were sent to the list that had the focus then. Without this what is
        typed quickly would run as commands.
        """
        lines = self.query("TypedLine")
        if not self.has_class("-typing") or not lines:
            return False
        return await cast("TypedLine", lines.first()).take(event)

    def end_typing(self, view: LineView) -> None:
        """Take the line away and return to its list."""
        self.remove_class("-typing")
        self.query_one("#typed-line", Container).remove_children()
        view.focus()
        self.tile_titles()
        self.refresh_bars()
