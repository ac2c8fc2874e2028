"""Browsing on the main screen: the list of runs, and the run that is read and shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual import on
from textual.timer import Timer

from triage_tui.ui import pauses
from triage_tui.ui.actions import PANES
from triage_tui.ui.messages import Done, RunFailed, RunLoaded, RunsListed, RunsUpdated, Trouble
from triage_tui.ui.remembered import Place, Remembered
from triage_tui.ui.run_list import RunList
from triage_tui.ui.screens.several import SeveralScreen
from triage_tui.ui.widgets.headline import HeadlineView
from triage_tui.ui.widgets.line_view import LineView
from triage_tui.ui.words import when

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary
    from triage_tui.ui.run_view import RunView

_LOAD_AFTER_S = 0.08
_LONG_S = 0.4
_PANES_AFTER_S = 0.03


class BrowseScreen(SeveralScreen):
    """The browsing part of the main screen."""

    def __init__(self) -> None:
        super().__init__()
        self.view: RunView | None = None
        self.wanted: str | None = None
        self.reads_long = False
        """Whether the wanted run is not there yet after a while."""
        self.run_list = RunList()
        self._timer: Timer | None = None
        self._loaded: RunView | None = None
        self._serial = 0
        self._order = ""
        self._place = Place()

    def recall(self, remembered: Remembered) -> None:
        """Begin as the app was left."""
        self._order = remembered.order
        self._place = remembered.place(self.app.workspace)

    def remember(self, remembered: Remembered) -> None:
        """Note how the app is left."""
        remembered.order = self._order
        if self.view is not None:
            remembered.set_place(self.app.workspace, Place(self.view.run_id, self.active))

    async def mount_panes(self) -> None:
        """Put the panes into their place."""
        raise NotImplementedError

    @property
    def single(self) -> bool:
        """Whether one pane has the whole screen."""
        raise NotImplementedError

    @property
    def _returns(self) -> bool:
        """Whether the run and pane of the last time are where to begin: not when a guest waits elsewhere."""
        waiting = self.waiting_runs
        known = self._place.pane in [name for name, _, _ in PANES] and self.app.runs_before is None
        return known and self._place.run in self.run_list and waiting <= {self._place.run}

    def on_mount(self) -> None:
        """Show the runs in the first frame, if they are known by now."""
        early = self.app.early_runs()
        if early is not None:
            self._list(early)

    @on(RunsListed)
    def runs_listed(self, event: RunsListed) -> None:
        """Show the runs; the first one opens by itself."""
        self._list(event.runs)

    def _list(self, runs: list[RunSummary]) -> None:
        fresh = not self.runs.selected
        if fresh and self._order:
            self.runs.set_order(self._order)
        self.runs.set_runs(runs)
        pauses.set_aside()
        self._runs_shown(fresh)
        if not self.tiles:
            self.call_after_refresh(self._list_drawn)

    def _list_drawn(self) -> None:
        # A frame's time later: the list is on the terminal before the panes are imported and mounted.
        self.set_timer(_PANES_AFTER_S, self._import_panes)

    def _import_panes(self) -> None:
        """Import the panes in a thread, so that keys are taken meanwhile, and mount them then."""

        def work() -> None:
            from triage_tui.ui.screens import tiles  # noqa: F401

            self.call_later(self.mount_panes)

        self.run_worker(work, thread=True, group="panes")

    @on(RunsUpdated)
    def runs_updated(self, event: RunsUpdated) -> None:
        """Take changed runs into the list; read the open one again."""
        known, fresh = self.run_list, not self.runs.selected
        stale = False
        if self.wanted is not None and self.wanted in event.runs:
            stale = event.files_changed or event.runs[self.wanted] != known.get(self.wanted)
        changes = {run_id: run for run_id, run in event.runs.items() if run != known.get(run_id)}
        began = [
            run.name
            for run_id, run in changes.items()
            if run is not None and run.waiting and run_id not in known.waiting
        ]
        self.app.announcer.waiting_began(began)
        if changes:
            self.runs.update(changes)
            self._runs_shown(fresh)
        if self.wanted in event.runs and event.runs[self.wanted] is None:
            self._deleted(self.wanted)
        elif stale:
            self.load(self.wanted)

    def _deleted(self, run_id: str) -> None:
        """Say that the run that is shown is gone; the list goes on to the one that takes its place."""
        selected = self.runs.selected
        said = f"Run {run_id} was deleted"
        if selected is None:
            self.post_message(RunFailed(run_id, f"{said}."))
        else:
            self.say(f"{said}: this is {selected.name} of {when(selected.run_id, long=False)}.", "warning")

    def _runs_shown(self, fresh: bool) -> None:
        """Open a run when none was to be seen before."""
        began = self._began()
        if began is not None:
            self.runs.select(began)
        elif fresh and self.app.open_run is not None:
            self.runs.select(self.app.open_run)
        elif fresh and self._returns:
            self.runs.select(self._place.run)
        selected = self.runs.selected
        if selected is not None and (fresh or began is not None or self.wanted is None):
            self.wanted = selected.run_id
            # Reading takes the processor from the drawing of the list.
            self.call_after_refresh(self._load_selected, selected.run_id)
        self.app.announcer.count(len(self.waiting_runs))
        self.refresh_bars()

    def _began(self) -> str | None:
        """Return the run for which the app was opened, once: when it is first in the list."""
        before = self.app.runs_before
        if before is None:
            return None
        # Ids begin with the time: the first one that is new is that of the program which was started.
        began = min((run.run_id for run in self.run_list.runs if run.run_id not in before), default=None)
        if began is not None:
            self.app.runs_before = None
        return began

    @property
    def waiting_runs(self) -> set[str]:
        """Ids of runs whose guest waits."""
        return self.run_list.waiting

    def related(self, run_id: str) -> list[str]:
        """Return the other runs of the same target, oldest first."""
        # To walk ten thousand takes half a millisecond, less than an index would at each change of the list.
        known = self.run_list.get(run_id)
        if known is None or not known.target_id:
            return []
        same = (one.run_id for one in self.run_list.runs if one.target_id == known.target_id)
        return sorted(name for name in same if name != run_id)

    @property
    def known_runs(self) -> list[RunSummary]:
        """All runs, in the order of the list."""
        return list(self.run_list.runs)

    def open_run(self, run_id: str) -> None:
        """Go into a run, whatever the filter of the list hides."""
        if not self.runs.select(run_id):
            self.runs.set_filter("")
            self.runs.select(run_id)
        self.load(run_id)
        if self.active == "runs":
            self.show_pane("diagnosis")

    def mark_runs(self, run_ids: Iterable[str]) -> int:
        """Mark exactly these runs and go to the list; return how many of them it has."""
        self.runs.set_marks(run_ids)
        if first := min(self.run_list.marked, default=""):
            self.runs.select(first)
        self.show_pane("runs")
        self.refresh_bars()
        return len(self.run_list.marked)

    def _load_selected(self, run_id: str) -> None:
        if self.wanted == run_id:
            self.load(run_id)

    def load(self, run_id: str | None) -> None:
        """Read a run in a thread and show it when it is there."""
        if run_id is not None:
            self.wanted = run_id
            self.app.load_run(run_id)
            self.reads_long = False
            self.set_timer(_LONG_S, self._tell_reading)

    def _tell_reading(self) -> None:
        """Say that a run is being read, if that lasts."""
        shown = self.view.run_id if self.view is not None else None
        self.reads_long = self.wanted is not None and self.wanted != shown and self.failure is None
        if self.reads_long:
            self.refresh_bars()

    @property
    def coming(self) -> str:
        """The name of the run under the cursor while another one is still shown, else ""."""
        selected = self.runs.selected
        if selected is None or self.view is None or selected.run_id == self.view.run_id:
            return ""
        return f"{selected.name} ({selected.run_id})"

    def _shown(self) -> RunView | None:
        """Return the run to tell more of: none where the list has the focus and shows no run."""
        if self.active == "runs" and self.view is not None and self.runs.selected is None:
            self.say("No run is under the cursor: the filter hides them, esc takes it away.", "warning")
            return None
        return super()._shown()

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
    async def run_loaded(self, event: RunLoaded) -> None:
        """Show a run that was read, unless the person went on to another or a later reading is shown."""
        if event.view.run_id == self.wanted and event.serial >= self._serial:
            self._serial = event.serial
            self.failure = None
            self._loaded = event.view
            pauses.set_aside()
            if self.tiles:
                await self._show(event.view)

    @on(RunFailed)
    async def run_failed(self, event: RunFailed) -> None:
        """Say why a run cannot be shown."""
        if event.run_id == self.wanted:
            self.failure = event.sentence
            await self._show(None)

    async def _show(self, view: RunView | None) -> None:
        """Give a run to all panes: those first that can be seen, and between two of them keys are taken."""
        from triage_tui.ui.headline import headline

        before = list(self.view.calls) if self.view is not None else []
        self.view = view
        self.reads_long = False
        line = headline(view) if view is not None else self.failure or ""
        self.query_one("#headline", HeadlineView).show(line)
        self.refresh_bars()
        empty = "This run cannot be shown." if self.failure and view is None else ""
        panes = [pane for tile in self.tiles for pane in tile.panes]
        for pane in sorted(panes, key=lambda pane: not pane.display):
            pane.show_contained(view, empty)
            await asyncio.sleep(0)
        self.tile_titles()
        if view is not None:
            self.return_in(view.run_id)
        if self.tiles:
            self.tell_changes()
            self.look_into_rules()
            self.follow_awaited()
        self.refresh_bars()
        if len(before) > pauses.PORTION:
            # A function without arguments: a worker describes itself with them.
            self.run_worker(lambda: pauses.let_go(before), thread=True, group="let-go")

    def action_step_run(self, step: int) -> None:
        """Go to the next older (1) or newer (-1) run, staying in the pane."""
        before = self.runs.cursor
        self.runs.move_to(before + step)
        selected = self.runs.selected
        if self.single and self.active != "runs" and selected is not None and self.runs.cursor != before:
            # The list is not to be seen then, and two runs of one program look alike.
            self.app.clear_notifications()
            way = "older" if step > 0 else "newer"
            self.say(f"The next {way} run: {selected.name} of {when(selected.run_id, long=False)}")

    @on(Done)
    def action_done(self, event: Done) -> None:
        """Say what an action did, and show what it led to."""
        self.was_made(event)
        undo = self.took_effect(event)
        self.say(f"{event.sentence}{undo}", "error" if event.failed else "information")
        if event.run_id:
            decision = event.decided or event.undone
            changed = {event.run_id, *(decision.runs if decision is not None else ())}
            if self.wanted is not None and changed & set(self.related(self.wanted)):
                # The rules of its target are others now, whichever run they were decided on.
                changed.add(self.wanted)
            self.app.update_runs(changed)
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
