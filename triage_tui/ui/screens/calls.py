"""Who calls the function that is shown, whom it calls, how it is reached: a sheet over the main screen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from triage_tui.errors import Stopped, TriageError
from triage_tui.ui.screens.campaigning import CampaigningScreen

if TYPE_CHECKING:
    from triage_tui.diagnosis.knowledge_base.explained_lines import Line


_LONG_S = 0.4


_PANES = ("code", "backtrace")
"""The panes that show a function, so that its calls can be asked for."""


class CallsScreen(CampaigningScreen):
    """The part of the main screen that asks for calls."""

    _reading_calls: threading.Event | None = None
    """Set, it ends the reading of a program that is under way."""

    def stop_reading_calls(self) -> bool:
        """Let the reading of a program end that is under way; False when there is none."""
        if self._reading_calls is None:
            return False
        self._reading_calls.set()
        self._reading_calls = None
        return True

    def _tell_reading_calls(self, cancel: threading.Event) -> None:
        """Say that a program is being read, if that lasts."""
        if self._reading_calls is cancel:
            self.say("The program is being read for its calls; esc stops that.")

    @property
    def asked_address(self) -> int | None:
        """An address of the function that the code pane shows."""
        function, frame = self.code.function, self.code.frame
        if function is not None:
            return function.address
        if frame is None:
            return None
        # A return address may be that of the next function already.
        return frame.addr - (1 if frame.idx else 0)

    def action_calls(self) -> None:
        """Read the program of the function that is shown in a thread, and show its calls."""
        view, address = self._ready(), self.asked_address
        if view is None or address is None:
            return
        if self._reading_calls is not None:
            self.say("The program is being read.")
            return
        cancel = self._reading_calls = threading.Event()
        workspace = self.app.workspace

        def work() -> None:
            from triage_tui.retry.inspecting.call_lines import call_lines
            from triage_tui.retry.workspace import Workspace

            show: Callable[[], None]
            try:
                name, lines = call_lines(Workspace(workspace), view.run, address, "person", cancel)
                show = partial(self.show_calls, view.run_id, name, lines)
            except Stopped:
                return
            except TriageError as error:
                show = partial(self.say, str(error), "warning")
            except Exception as error:
                # Its own defect must not take the review down.
                show = partial(self.say, self.app.reports.sentence("Reading the calls", error), "warning")
            if not cancel.is_set():
                self.app.call_from_thread(self._calls_read, cancel, view.run_id, show)

        self.set_timer(_LONG_S, partial(self._tell_reading_calls, cancel))
        self.run_worker(work, thread=True, group="calls", exclusive=True, exit_on_error=False)

    def _calls_read(self, cancel: threading.Event, run_id: str, show: Callable[[], None]) -> None:
        if self._reading_calls is not cancel:
            return
        self._reading_calls = None
        there = self.app.screen is self and self.active in _PANES and not self.query("#typed-line.-typing")
        if there and self.view is not None and self.view.run_id == run_id:
            show()
        else:
            # A sheet would come over what is looked at by now, and take the keys that are meant for it.
            self.say("The calls of the program were read: C in the code pane shows them")

    def show_calls(self, run_id: str, name: str, lines: list[Line], cursor: int = 0) -> None:
        """Show calls; from code that was gone to, one comes back to them."""
        from triage_tui.ui.screens.explained_sheet import ExplainedSheet

        def follow(link: str, place: int) -> None:
            self.follow_in(run_id, link, lambda: self.show_calls(run_id, name, lines, place))

        self.app.push_screen(ExplainedSheet(lines, follow, cursor, title=f"Calls of {name}"))
