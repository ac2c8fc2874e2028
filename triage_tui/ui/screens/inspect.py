"""Looking closer on the main screen: other threads, any address, decompiled code."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from textual import on

from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui.messages import Compared, Decompiled, MemoryRead, Peeked, Trouble
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import short
from triage_tui.ui.screens.follow_code import FollowScreen
from triage_tui.ui.screens.links import OTHER_THREAD
from triage_tui.ui.words import when

if TYPE_CHECKING:
    from triage_tui.ui.comparison.compare import Comparison
    from triage_tui.ui.panes.backtrace import BacktracePane
    from triage_tui.ui.panes.memory import MemoryPane
    from triage_tui.ui.panes.registers import RegistersPane
    from triage_tui.ui.run_view import RunView
    from triage_tui.ui.screens.comparing import Place
    from triage_tui.ui.widgets.typed_line import TypedLine


_TICK_S = 1.0


class Decompilation(NamedTuple):
    """A decompiler that runs."""

    run_id: str
    frame: int
    cancel: threading.Event
    began: float
    """Seconds of CLOCK_MONOTONIC."""


class InspectScreen(FollowScreen):
    """The examining part of the main screen."""

    decompilation: Decompilation | None = None
    compared: RunView | None = None
    """The run that the next one is compared with."""

    @property
    def registers(self) -> RegistersPane:
        """The registers pane."""
        return cast("RegistersPane", self.query_one("#pane-registers"))

    @property
    def backtrace(self) -> BacktracePane:
        """The backtrace pane."""
        return cast("BacktracePane", self.query_one("#pane-backtrace"))

    @property
    def stepped(self) -> RegistersPane | BacktracePane | None:
        """The active pane, if it goes from thread to thread."""
        match self.active:
            case "registers":
                return self.registers
            case "backtrace":
                return self.backtrace
            case _:
                return None

    @property
    def memory(self) -> MemoryPane:
        """The memory pane."""
        return cast("MemoryPane", self.query_one("#pane-memory"))

    async def type_into(self, line: TypedLine) -> None:
        """Show a line to type into."""
        raise NotImplementedError

    @on(Pane.Retitled)
    def pane_retitled(self) -> None:
        """Draw the titles and what stands around the panes again."""
        self.tile_titles()
        self.refresh_bars()

    def action_step_thread(self, step: int) -> None:
        """Go to the next thread (1) or the one before (-1), in the backtrace or in the registers."""
        pane = self.stepped
        if pane is not None and len(pane.threads) > 1:
            pane.step(step)
        elif pane is not None and self.view is not None:
            self.say(f"This run holds the {self.active} of one thread only.")

    async def action_go_to_address(self) -> None:
        """Ask for an address, and go there in the memory pane."""
        if self.view is None:
            self.say_no_run()
            return
        from triage_tui.ui.widgets.address_line import AddressLine

        self.show_pane("memory")
        await self.type_into(AddressLine(self.memory, self._go_to_address))

    def _go_to_address(self, text: str) -> None:
        """Go to what a person typed.

        Raises:
            TriageError: it names no address, or what is there was not kept.
        """
        from triage_tui.ui.addresses import find_place

        if self.view is None:
            return
        registers = self.registers
        thread = registers.threads[registers.chosen] if registers.threads else None
        place = find_place(self.view.snapshot, text, thread)
        self.note_place()
        try:
            self.memory.go_to(place.address, place.pid)
        except TriageError:
            self.trail.pop()
            mapped = any(one.start <= place.address < one.end for one in self.view.snapshot.maps)
            if place.pid is not None or not mapped or not self.view.waiting or self.app.read_only:
                raise
            self._read_more(self.view.run_id, place.address)

    def _read_more(self, run_id: str, address: int) -> None:
        """Have memory read that was not kept: the guest is still frozen."""
        actions = self.app.actions
        link = f"ev:mem/asked_0x{address:x}"

        def work() -> None:
            try:
                said, failed = actions.read_memory(run_id, address), False
            except TriageError as error:
                said, failed = str(error), True
            except Exception as error:
                # As with every action: its own defect must not take the review down.
                said, failed = self.app.reports.sentence("Reading memory", error), True
            self.post_message(MemoryRead(run_id, link, said, failed))

        self.say(f"Reading the memory at 0x{address:x} from the frozen guest")
        self.run_worker(work, thread=True, group="memory", exclusive=True, exit_on_error=False)

    @on(MemoryRead)
    def memory_read(self, event: MemoryRead) -> None:
        """Go to what was read, or say why it could not be."""
        self.say(event.sentence, "warning" if event.failed else "information")
        if not event.failed and not self.await_link(event.run_id, event.link):
            self.app.update_runs({event.run_id})

    def round_beside(self, step: int) -> str | None:
        """Return the run that retries this one (1) or that this one retries (-1)."""
        names = [run.run_id for run in self.view.rounds] if self.view is not None else []
        if self.view is None or self.view.run_id not in names:
            return None
        place = names.index(self.view.run_id) + step
        return names[place] if 0 <= place < len(names) else None

    def action_step_round(self, step: int) -> None:
        """Go to the next round of this target (1) or the one before (-1), staying in the pane."""
        name = self.round_beside(step)
        if name is None:
            self.say("No round retries this one" if step > 0 else "This is the first round")
        elif not self.runs.select(name):
            self.say("The filter of the runs hides that round", "warning")

    # --- peeking -----------------------------------------------------------------------------------------

    def action_peek(self) -> None:
        """Look up what the link under the cursor points to, or what the row itself stands for."""
        link = self.pane(self.active).peeked_link
        if self.view is None or link is None:
            self.say("This row has no link to peek at.")
        else:
            self._look_up(self.view, link)

    def on_pane_hovered(self, event: Pane.Hovered) -> None:
        """Look up the link under the mouse."""
        if self.view is not None:
            self._look_up(self.view, event.link, event.pane)

    def _look_up(self, view: RunView, link: str, pane: Pane | None = None) -> None:
        def work() -> None:
            from triage_tui.ui.peek import peek

            try:
                programs = self._programs_of(view, None) if link.startswith("ev:code/0x") else None
                self.post_message(Peeked(view, peek(view, link, programs), pane, link))
            except Exception as error:
                # A run that defeats the reader must not take the review down.
                self.post_message(Trouble(f"this evidence cannot be read ({type(error).__name__})"))

        self.run_worker(work, thread=True, group="peek", exclusive=True, exit_on_error=False)

    @on(Peeked)
    def peeked(self, event: Peeked) -> None:
        """Show what was found over the panes, or at the mouse if it is still there."""
        from triage_tui.ui.peek import hover_content, peek_rows, title_of

        if event.pane is not None:
            if event.pane.hovered == event.text:
                event.pane.tooltip = hover_content(event.view, event.found, event.pane.roles)
            return
        from triage_tui.ui.screens.help import Sheet

        self.app.push_screen(Sheet(title_of(event.found), partial(peek_rows, event.view, event.found)))

    # --- comparing ---------------------------------------------------------------------------------------

    def action_compare(self) -> None:
        """Hold this run for comparing, or compare it with the one that is held."""
        selected = self.runs.selected
        if self.view is not None and not self.coming:
            self._take_for_comparing(self.view)
        elif selected is None:
            self.say("There is no run under the cursor to compare.", "warning")
        else:
            self._read_for_comparing(selected.run_id)

    def _read_for_comparing(self, run_id: str) -> None:
        """Read a run that is not shown yet: nobody has to wait for its panes to compare it."""

        def work() -> None:
            try:
                view = self.app.read_view(run_id)
            except TriageError as error:
                self.app.call_from_thread(self._not_compared, run_id, str(error))
            except Exception as error:
                # A run that defeats the reader must not take the review down.
                why = self.app.reports.sentence("Reading the run", error)
                self.app.call_from_thread(self._not_compared, run_id, why)
            else:
                self.app.call_from_thread(self._take_for_comparing, view)

        self.run_worker(work, thread=True, group="compare-read", exit_on_error=False)

    def _take_for_comparing(self, view: RunView) -> None:
        first = self.compared
        self.compared = view if first is None else None
        if first is None:
            self.say("Now choose the other run, and press c again to compare them")
        elif first.run_id == view.run_id:
            self.say("Nothing is compared: this is the same run")
        else:
            # The older one first, whichever was chosen first: what is new reads as added.
            self._compare(*sorted((first, view), key=lambda one: one.run_id))
        self.refresh_bars()

    def _not_compared(self, run_id: str, why: str) -> None:
        """Say why a run cannot be compared; the one that is held stays held."""
        held = self.compared
        stays = f" {held.name} of {when(held.run_id, long=False)} stays held." if held is not None else ""
        why = safe_line(why, 300)
        end = "" if why.endswith(".") else "."
        self.say(f"{short(run_id, 60)} cannot be compared: {why}{end}{stays}", "warning")

    def _compare(self, first: RunView, second: RunView) -> None:
        def work() -> None:
            from triage_tui.ui.comparison.compare import compare

            try:
                self.post_message(Compared(compare(first, second)))
            except Exception as error:
                # A run that defeats the comparison must not take the review down.
                self.post_message(Trouble(f"these runs cannot be compared ({type(error).__name__})"))

        self.run_worker(work, thread=True, group="compare", exclusive=True, exit_on_error=False)

    @on(Compared)
    def runs_compared(self, event: Compared) -> None:
        """Show what differs."""
        self.show_comparison(event.found)

    def show_comparison(self, found: Comparison, place: Place | None = None) -> None:
        """Show two runs compared; from where a line leads to, one comes back to it."""
        from triage_tui.ui.screens.comparing import ComparisonSheet

        def follow(run_id: str, link: str, place: Place) -> None:
            self.follow_in(run_id, link, lambda: self.show_comparison(found, place))

        # What was said of choosing the second run would cover the first differences.
        self.app.clear_notifications()
        self.app.push_screen(ComparisonSheet(found, follow, place))

    # --- decompiling -------------------------------------------------------------------------------------

    def action_decompile(self) -> None:
        """Decompile the selected frame in a thread, or stop that."""
        if self.stop_decompiling():
            return
        view, frame = self._ready(), self.code.frame
        if view is None:
            return
        if self.active == "backtrace" and self.backtrace.on_other_thread:
            self.say(OTHER_THREAD)
            return
        if frame is None:
            followed = self.code.function is not None
            self.say(
                "Functions of frames can be decompiled; this one was followed to."
                if followed
                else "This run has no frame to decompile.",
                "warning",
            )
            return
        job = Decompilation(view.run_id, frame.idx, threading.Event(), time.monotonic())
        actions = self.app.actions

        def work() -> None:
            try:
                said, failed = actions.decompile(job.run_id, job.frame, job.cancel), False
            except TriageError as error:
                said, failed = str(error), True
            except Exception as error:
                # As with every action: its own defect must not take the review down.
                said, failed = self.app.reports.sentence("Decompiling", error), True
            self.post_message(Decompiled(job.run_id, job.frame, said, failed))

        self.decompilation = job
        self.show_pane("code")
        self._tell_progress()
        self.set_timer(_TICK_S, lambda: self._tick(job))
        self.run_worker(work, thread=True, group="decompile", exit_on_error=False)

    def stop_decompiling(self) -> bool:
        """Stop the decompiler; False when none runs."""
        if self.decompilation is None:
            return False
        self.decompilation.cancel.set()
        self._tell_progress()
        return True

    def _tick(self, job: Decompilation) -> None:
        if self.decompilation is job:
            self._tell_progress()
            self.set_timer(_TICK_S, lambda: self._tick(job))

    def _tell_progress(self) -> None:
        from triage_tui.binary.decompiler import SECONDS
        from triage_tui.ui.panes.code import Notice

        job = self.decompilation
        if job is None:
            return
        seconds = int(time.monotonic() - job.began)
        text = f"Decompiling frame {job.frame}: {seconds} s of at most {SECONDS:g}. esc stops it."
        brief = f"decompiling {seconds} s · esc stops"
        if job.cancel.is_set():
            text, brief = f"Stopping the decompiler of frame {job.frame} …", "stopping …"
        self.code.notify_above(Notice(job.run_id, job.frame, text, "info", brief))

    @on(Decompiled)
    def decompiled(self, event: Decompiled) -> None:
        """Show the code, or why there is none."""
        from triage_tui.ui.panes.code import Notice

        self.decompilation = None
        text = f"{event.sentence[:1].upper()}{event.sentence[1:]}."
        failure = Notice(event.run_id, event.frame, text, "warn", "not decompiled")
        self.code.notify_above(failure if event.failed else None)
        self.say(event.sentence, "warning" if event.failed else "information")
        if not event.failed:
            self.code.choose_best()
            self.app.update_runs({event.run_id})
        self.refresh_bars()
