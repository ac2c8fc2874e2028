"""The main screen: runs at the left, the intervention at the right; tiles when wide, one pane when narrow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.geometry import Size
from textual.widgets import Static

from triage_tui.ui import pauses
from triage_tui.ui.actions import PANES, bindings
from triage_tui.ui.containment import Contained
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.panes.runs import RunsPane
from triage_tui.ui.remembered import Remembered
from triage_tui.ui.screens import chrome
from triage_tui.ui.screens.browse import BrowseScreen
from triage_tui.ui.widgets.bar import Bar
from triage_tui.ui.widgets.framed import Framed
from triage_tui.ui.widgets.headline import HeadlineView
from triage_tui.ui.widgets.line_view import LineView

if TYPE_CHECKING:
    from triage_tui.ui.jumping import Goal
    from triage_tui.ui.panes.retry import RetryPane
    from triage_tui.ui.panes.syscalls import SyscallsPane
    from triage_tui.ui.widgets.typed_line import TypedLine

WIDE = 120
"""Columns from which the panes are tiled."""

ROOMY = 150
"""Columns from which the runs list is wider."""

SMALLEST = (60, 14)
"""Columns and rows below which only one sentence is shown."""


class MainScreen(Contained, BrowseScreen):
    """Everything about runs on one screen."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("main")
    AUTO_FOCUS = "#pane-runs"

    def __init__(self) -> None:
        super().__init__()
        self.active = "runs"
        self._zoomed = False
        self._front: dict[str, str] = {}
        """Tile to the pane that is in front in it, as far as one was chosen."""
        self._early = ""
        """The pane that was asked for last before there were panes, "" for none."""

    def recall(self, remembered: Remembered) -> None:
        """Begin as the app was left."""
        super().recall(remembered)
        self._zoomed = remembered.zoomed
        self._front = dict(remembered.front)

    def remember(self, remembered: Remembered) -> None:
        """Note how the app is left."""
        super().remember(remembered)
        remembered.zoomed = self._zoomed
        remembered.front = dict(self._front)
        self.keep_choices()

    def compose(self) -> ComposeResult:
        """Lay out title, headline, runs and keys; the panes come after the first frame."""
        self._classify(*self.app.size)
        yield Bar(id="title")
        yield Bar(id="tabs")
        with Container(id="body"):
            with Framed(id="runs-tile") as tile:
                tile.entitle(Content("Runs"))
                yield RunsPane(self.run_list, chrome.no_runs(self.app.workspace))
            with Vertical(id="run"):
                with Vertical(id="head"):
                    yield HeadlineView(id="headline")
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
        for tile in self.tiles:
            for pane in tile.panes:
                if self._front.get(tile.id or "") == pane.NAME:
                    tile.activate(pane)
        pauses.set_aside()
        self.recall_choices()
        self.retry_pane.asked = self.asked_retries
        self.lay_out()
        if self._early:
            self.show_pane(self._early)
        if self._loaded is not None:
            await self._show(self._loaded)
        if self._returns and self.active == "runs" and not self._early:
            self.show_pane(self._place.pane)

    # --- layout ----------------------------------------------------------------------------------------

    @property
    def syscalls(self) -> SyscallsPane:
        """The syscalls pane."""
        return cast("SyscallsPane", self.query_one("#pane-syscalls"))

    @property
    def retry_pane(self) -> RetryPane:
        """The retry pane."""
        return cast("RetryPane", self.query_one("#pane-retry"))

    def show_retry(self) -> None:
        """Draw the retry pane again."""
        if self.tiles:
            self.retry_pane.rebuild()
        self.tile_titles()
        self.refresh_bars()

    @property
    def single(self) -> bool:
        """Whether one pane has the screen for itself."""
        return self._zoomed or self.size.width < WIDE

    async def on_resize(self, event: events.Resize) -> None:
        """Choose tiles or tabs for the new size."""
        self.lay_out()
        self.call_after_refresh(self._refocus)
        # Textual lays everything out after this: keys are taken in between.
        await asyncio.sleep(0)

    def _refresh_layout(self, size: Size | None = None, scroll: bool = False) -> None:
        if scroll and not self._layout_widgets:
            super()._refresh_layout(size, scroll)
            return
        # Draw in a step of its own: laying out and drawing all panes at once would block keys for too long.
        with self.app.batch_update():
            super()._refresh_layout(size, scroll)

    def _compositor_refresh(self) -> None:
        # What changed between the two steps would be forgotten otherwise.
        self._compositor.update_widgets(self._dirty_widgets)
        super()._compositor_refresh()

    def _refocus(self) -> None:
        """Give the focus back, which Textual takes from what a tiny terminal hides."""
        if self.focused is None and not self.has_class("-tiny"):
            typed = self.query("#typed-input")
            self.set_focus(typed.first() if typed else self.pane(self.active))

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
        self.query_one("#headline", HeadlineView).fit()
        for tile in self.tiles:
            tile.set_class(self.active in [pane.NAME for pane in tile.panes], "-active")
        for column in self.query_one("#tiles").children:
            column.set_class(any(tile.has_class("-active") for tile in column.children), "-active")
        if self.tiles:
            self.look_into_rules()
        self.refresh_bars()

    def _classify(self, width: int, height: int) -> None:
        # At once: each change looks up the styles of all widgets.
        self.update_classes(
            {
                "-tiny": width < SMALLEST[0] or height < SMALLEST[1],
                "-single": self._zoomed or width < WIDE,
                "-roomy": width >= ROOMY,
                "-on-runs": self.active == "runs",
                "-terse": height < 30 and self.active not in ("runs", "diagnosis"),
            }
        )

    def refresh_bars(self) -> None:
        """Draw title, tabs, facts, banner and keys again."""
        try:
            chrome.draw(self)
        except NoMatches:
            return  # The screen is being taken down.
        except Exception as error:
            self.app.contain("The main screen", error)

    def refresh_title(self) -> None:
        """Draw the title again."""
        if self.query("#title"):
            chrome.draw_title(self)

    @on(LineView.Moved)
    @on(events.ScreenSuspend)
    @on(events.ScreenResume)
    def refresh_keys(self) -> None:
        """Draw the footer again: what can be done differs from row to row, and nothing can under a sheet."""
        try:
            chrome.draw_keys(self)
        except NoMatches:
            return  # The screen is being taken down, or not laid out yet.
        except Exception as error:
            self.app.contain("The main screen", error)

    def show_pane(self, name: str) -> None:
        """Go to a pane, or to the runs list."""
        if not self.tiles:
            # The panes come a moment after the list: who knows the way presses the key before.
            self._early = name
        if name != "runs" and not self.tiles:
            return
        pane = self.pane(name)
        if pane.failed:
            pane.show_contained(self.view)
        self.active = name
        for tile in self.tiles:
            if pane in tile.panes:
                tile.activate(pane)
                self._front[tile.id or ""] = name
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

    def tab_cells(self) -> list[tuple[int, str]]:
        """Return the cells at which the tabs begin, and the panes they stand for."""
        cells: dict[str, int] = {}
        for cell, item in self.query_one("#tabs", Bar).places():
            cells.setdefault((item.action or "").partition("'")[2].rstrip("')"), cell + 1)
        return [(cell, name) for name, cell in cells.items() if name]

    def action_jump(self) -> None:
        """Label everything that can be gone to, and go to what is chosen."""
        from triage_tui.ui.screens.jump import Jump

        self.app.push_screen(Jump(self), self._jumped)

    def _jumped(self, goal: Goal | None) -> None:
        if goal is None:
            return
        pane = self.pane(goal.pane)
        self.show_pane(goal.pane)
        if goal.row is not None:
            pane.move_to(goal.row)
        if goal.link is not None:
            self.follow(goal.link)

    def action_zoom(self) -> None:
        """Give the screen to the active pane, or take it back."""
        self._zoomed = not self._zoomed
        self.lay_out()
        self.pane(self.active).focus()

    def action_leave(self) -> None:
        """Leave zoom, filter, or the pane for the runs list."""
        if self.active in ("code", "backtrace") and self.stop_decompiling():
            return
        if self.active == "code" and self.stop_reading_calls():
            self.say("The program is not read any further.")
            return
        if self.active == "patch" and self.stop_matching():
            return
        if self.active == "retry" and self.ask_to_stop_retry():
            return
        if self.active == "runs" and self.drop_waiting_retries():
            self.say("No retry begins any more; those that run go on.")
            return
        if self._zoomed and self.size.width >= WIDE:
            self.action_zoom()
        elif (pane := self.pane(self.active)).search_text:
            pane.set_search("")
        elif self.active == "syscalls" and (calls := self.syscalls).filter_text:
            calls.set_filter("")
        elif self.active == "runs" and self.runs.filter_text and not self.runs.in_range:
            self.runs.set_filter("")
        elif self.drop_marks():
            pass
        else:
            self.show_pane("runs")
        self.refresh_bars()

    # --- filter ----------------------------------------------------------------------------------------

    def action_failures(self) -> None:
        """Show only the calls that explain something, or all."""
        self.syscalls.toggle_failures()
        self.tile_titles()
        self.refresh_bars()

    def action_toggle_output(self) -> None:
        """Show what the program printed between its calls, or hide it."""
        why = self.syscalls.toggle_output()
        if why:
            self.say(f"{why[:1].upper()}{why[1:]}.")
        self.tile_titles()
        self.refresh_bars()

    async def action_filter(self) -> None:
        """Filter the runs or the syscalls; search the rows of another pane."""
        from triage_tui.ui.widgets.filter_line import FilterLine, SearchLine

        pane = self.pane(self.active)
        if self.active in ("runs", "syscalls"):
            await self.type_into(FilterLine(self.runs if self.active == "runs" else self.syscalls))
        elif pane.SEARCH:
            pane.begin_search()
            await self.type_into(SearchLine(pane))
        else:
            self.say("This pane has no search.")
        self.tile_titles()

    async def type_into(self, line: TypedLine) -> None:
        """Show a line to type into, in place of one that is open."""
        holder = self.query_one("#typed-line", Container)
        await holder.remove_children()
        await holder.mount(line)
        # Its own class: one of the screen would look up the styles of all widgets.
        holder.add_class("-typing")
        # At once, as in `show_pane`.
        self.set_focus(line.field)
        self.refresh_bars()

    @property
    def open_line(self) -> TypedLine | None:
        """The line that is typed into, if one is open."""
        holder = self.query_one_optional("#typed-line")
        lines = holder.children if holder is not None and holder.has_class("-typing") else ()
        return cast("TypedLine", lines[0]) if lines else None

    def action_in_line(self, action: Literal["keep", "drop"]) -> None:
        """Do what a key of the line would do: its place in the footer was clicked."""
        if (line := self.open_line) is not None:
            line.action_keep() if action == "keep" else line.action_drop()

    async def typed_ahead(self, event: events.Key) -> bool:
        """Take a key for the open line, also while the list has the focus (a click gave it that).

        Return True when it was for the line. Without this what is typed would run as commands.
        """
        line = self.open_line
        return line is not None and await line.take(event)

    def end_typing(self, view: LineView) -> None:
        """Take the line away and return to its list."""
        holder = self.query_one("#typed-line", Container)
        holder.remove_class("-typing")
        holder.remove_children()
        self.set_focus(view)
        self.tile_titles()
        self.refresh_bars()
