"""Following evidence on the main screen: to the exact place, and back along the trail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from textual import on

from triage_tui.errors import TriageError
from triage_tui.ui.panes.base import Pane, PaneState
from triage_tui.ui.panes.runs import RunsPane
from triage_tui.ui.rows import short
from triage_tui.ui.screens.patching import PatchingScreen
from triage_tui.ui.widgets.line_view import LineView

if TYPE_CHECKING:
    from triage_tui.ui.panes.backtrace import BacktracePane
    from triage_tui.ui.panes.code import CodePane
    from triage_tui.ui.widgets.tile import Tile


MAX_TRAIL = 200
"""Places that are remembered."""
OTHER_THREAD = "Code is recorded for the frames of the frozen thread only."


class Spot(NamedTuple):
    """A place to return to."""

    run_id: str
    pane: str
    state: PaneState
    name: str = ""
    """What was looked at, for the trail."""
    others: tuple[tuple[str, PaneState], ...] = ()
    """Panes that following changed too, and what they showed."""
    sheet: Callable[[], None] | None = None
    """Shows the sheet again that the link was followed from, if it was from one."""


class LinkScreen(PatchingScreen):
    """The navigating half of the main screen."""

    def __init__(self) -> None:
        super().__init__()
        self.trail: list[Spot] = []
        self._returning: Spot | None = None
        self._awaited: tuple[str, str] | None = None
        """A run that is being read, and what is to be shown of it."""

    @property
    def runs(self) -> RunsPane:
        """The runs list."""
        return self.query_one(RunsPane)

    def pane(self, name: str) -> Pane:
        """Return a pane by name."""
        return self.query_one(f"#pane-{name}", Pane)

    @property
    def tiles(self) -> list[Tile]:
        """The tiles; none before the first frame is painted."""
        # Asked for at each key: a query by kind would match all widgets.
        columns = self.query_one_optional("#tiles")
        return (
            [cast("Tile", tile) for column in columns.children for tile in column.children] if columns else []
        )

    @property
    def code(self) -> CodePane:
        """The code pane."""
        return cast("CodePane", self.query_one("#pane-code"))

    def follow_address(self, address: int) -> None:
        """Show the code at an address."""
        raise NotImplementedError

    def show_registers_of(self, index: int) -> None:
        """Let the registers pane show what is known of those of a frame."""
        raise NotImplementedError

    def show_stack_of(self, index: int) -> None:
        """Let the memory pane show the stack of a frame."""
        raise NotImplementedError

    def refresh_bars(self) -> None:
        """Draw what stands around the panes again."""
        raise NotImplementedError

    def on_backtrace_pane_frame_selected(self, event: BacktracePane.FrameSelected) -> None:
        """Code, registers and stack follow the backtrace."""
        self.code.select_frame(event.frame)
        self.show_registers_of(event.frame)
        self.show_stack_of(event.frame)
        self.tile_titles()

    def tile_titles(self) -> None:
        """Draw the titles of the tiles again."""
        for tile in self.tiles:
            tile.update_title()

    @on(LineView.Opened)
    def row_opened(self, event: LineView.Opened) -> None:
        """Follow the link of a row; in the backtrace go to the code; in the retry pane to the new run."""
        if event.link is not None:
            self.follow(event.link)
            return
        row = event.view.current
        if event.view.id == "pane-backtrace" and row is not None:
            if not isinstance(row.target, int):
                self.say(OTHER_THREAD)
                return
            self.note_place(self.code)
            self.code.select_frame(row.target)
            self.show_registers_of(row.target)
            self.show_pane("code")
        elif event.view.id == "pane-syscalls":
            self.show_call()
        elif event.view.id == "pane-diagnosis":
            self.say("This line leads nowhere: enter follows lines that have an underlined link.")
        elif event.view.id == "pane-retry" and row is not None and isinstance(row.target, tuple):
            self.note_place()
            self.runs.select(row.target[1])
        elif event.view.id == "pane-history" and row is not None:
            self._open_entry(row.target)
        elif event.view.id == "pane-patch" and row is not None and row.target and row.target[0] == "run":
            self.note_place()
            _, run_id, seq = row.target
            # The call is gone to when the run is there.
            self._awaited = (run_id, f"ev:syscall/{seq}")
            if not self.runs.select(run_id):
                self.say("The filter of the runs hides that run", "warning")

    def _open_entry(self, target: object) -> None:
        """Open what an entry of the history is about: a run, a rule file, or a generation of rules."""
        from triage_tui.ui.panes.history import ToGeneration, ToRule, ToRun, generation_rows

        view = self.view
        if view is None:
            return
        if isinstance(target, ToGeneration):
            from triage_tui.ui.screens.help import Sheet

            number = target.number
            self.app.push_screen(
                Sheet(f"Generation {number}", lambda width: generation_rows(view.audit, number, width))
            )
        elif isinstance(target, ToRun | ToRule):
            self.note_place()
            if target.run_id != view.run_id and not self.runs.select(target.run_id):
                self.trail.pop()
                self.say("That run is not in the list: it is hidden by the filter, or gone", "warning")
            elif isinstance(target, ToRule):
                self.show_pane("patch")
                self.call_after_refresh(self._show_rule, target.run_id, target.file)

    def _show_rule(self, run_id: str, file: str, tries: int = 100) -> None:
        """Go to a rule file in the patch pane, once its run is there."""
        if self.view is None or self.view.run_id != run_id:
            if tries and self.active == "patch":
                self.set_timer(0.05, lambda: self._show_rule(run_id, file, tries - 1))
            return
        if not self.patch.go_to_file(file):
            self.say(f"The rule file {short(file, 60)} is not in this run any more.", "warning")

    def note_place(self, *changed: Pane, sheet: Callable[[], None] | None = None) -> None:
        """Note where we are; `changed` are other panes that are about to show something else."""
        if self.view is None:
            return
        here = self.pane(self.active)
        others = tuple((pane.NAME, pane.state()) for pane in changed if pane is not here)
        self.trail.append(Spot(self.view.run_id, self.active, here.state(), here.place_name, others, sheet))
        del self.trail[:-MAX_TRAIL]

    def follow_awaited(self) -> None:
        """Show what was to be shown of the run that was read."""
        if self._awaited is None or self.view is None or self.view.run_id != self._awaited[0]:
            return
        link = self._awaited[1]
        if link.startswith("ev:mem/") and not self.view.resolve(link).exists:
            # The record was read before the memory was added to it: it is read once more.
            return
        self._awaited = None
        self._go(link)

    def await_link(self, run_id: str, link: str) -> bool:
        """Go to a link of the shown run; False when it is to be read again first, and is gone to then."""
        if self.view is None or self.view.run_id != run_id:
            return True
        if self.view.resolve(link).exists:
            self._go(link)
            return True
        self._awaited = (run_id, link)
        return False

    def follow_in(self, run_id: str, link: str, sheet: Callable[[], None]) -> None:
        """Go to a link of any run: evidence, "rule:FILE" or "pane:NAME"; going back shows `sheet` again."""
        self.note_place(sheet=sheet)
        if self.view is not None and self.view.run_id == run_id:
            self._go(link)
            return
        # The place is gone to when the run is there.
        self._awaited = (run_id, link)
        if not self.runs.select(run_id):
            self._awaited = None
            self.trail.pop()
            self.say("The filter of the runs hides that run", "warning")
            sheet()

    def _go(self, link: str) -> None:
        what, _, name = link.partition(":")
        if what == "pane":
            self.show_pane(name)
        elif what == "rule" and self.view is not None:
            self.show_pane("patch")
            self.call_after_refresh(self._show_rule, self.view.run_id, name)
        else:
            self.follow(link, remember=False)

    def show_call(self) -> None:
        """Show everything about the syscall under the cursor."""
        from triage_tui.ui.call_rows import call_rows
        from triage_tui.ui.panes.syscalls import SyscallsPane
        from triage_tui.ui.screens.help import Sheet

        found = self.query_one(SyscallsPane).detail()
        if found is not None:
            self.app.push_screen(
                Sheet(found.title, lambda width: call_rows(found.call, width, found.printed))
            )

    def follow(self, text: str, *, remember: bool = True) -> None:
        """Open the pane that a link points into, move there and highlight it."""
        from triage_tui.runs.evidence import parse_link

        try:
            link = parse_link(text)
        except TriageError as error:
            self.say(str(error), "warning")
            return
        pane = next((pane for tile in self.tiles for pane in tile.panes if link.kind in pane.KINDS), None)
        if pane is None:
            return
        if remember:
            self.note_place(pane)
        self.show_pane(pane.NAME)
        # A pane that was hidden has no size yet: rows are laid out for its width after the next layout.
        self.call_after_refresh(self._point, pane, text)

    def _point(self, pane: Pane, text: str) -> None:
        from triage_tui.runs.evidence import parse_link

        link = parse_link(text)
        if link.kind == "code" and link.id.startswith("0x"):
            self.follow_address(int(link.id, 16))
            self.tile_titles()
            self.refresh_bars()
            return
        try:
            if not pane.reveal(link):
                self.say(f"This evidence is not in the run: {link.kind} {short(link.id, 60)}.", "warning")
        except TriageError as error:
            self.say(str(error), "warning")
        self.tile_titles()
        self.refresh_bars()

    def action_go_back(self) -> None:
        """Return to where the last link was followed."""
        if not self.trail:
            self.say("There is nothing to go back to.")
            return
        spot, selected = self.trail.pop(), self.runs.selected
        shown = self.view is not None and spot.run_id == self.view.run_id
        if shown and (selected is None or selected.run_id == spot.run_id):
            self._returning = None
            self._return_to(spot)
        elif self.runs.select(spot.run_id):
            # The run is read first; what it showed is found when it is there.
            self._returning = spot
            self.show_pane(spot.pane)
        else:
            self.trail.append(spot)
            self.say("The filter of the runs hides the run that this leads back to.", "warning")

    def return_in(self, run_id: str) -> None:
        """A run is shown: go to the place in it to which somebody wanted to return, if one did."""
        spot, selected = self._returning, self.runs.selected
        if spot is None:
            return
        if run_id != spot.run_id and selected is not None and selected.run_id == spot.run_id:
            # Another run was still being given to the panes when the way back was taken.
            return
        self._returning = None
        if spot.run_id == run_id:
            self._return_to(spot)

    def _return_to(self, spot: Spot) -> None:
        self.show_pane(spot.pane)

        def restore() -> None:
            for name, state in spot.others:
                self.pane(name).restore(state)
            self.pane(spot.pane).restore(spot.state)
            self.tile_titles()
            self.refresh_bars()
            if spot.sheet is not None:
                spot.sheet()

        # A pane that was hidden has no size before the next layout.
        self.call_after_refresh(restore)
