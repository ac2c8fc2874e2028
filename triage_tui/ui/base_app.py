"""What the app does for all of its parts: it contains their errors, and speaks to the terminal for them."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from textual.actions import ActionError, ActionParseResult
from textual.app import App
from textual.dom import DOMNode
from textual.driver import Driver
from textual.screen import Screen, SystemModalScreen
from textual.widget import Widget

from triage_tui.text import shown_block
from triage_tui.ui.containment import Contained, Reports, name_of
from triage_tui.ui.styling import Styling
from triage_tui.ui.terminal_input import read_safely


class BaseApp(App[None]):
    """An app whose parts may fail; see `containment`."""

    def __init__(self) -> None:
        super().__init__()
        self.stylesheet = Styling(variables=self.get_css_variables())
        self.reports = Reports()
        self.crash: Exception | None = None
        """The error that nobody foresaw and that closed the app, if one did."""

    def refresh_css(self, animate: bool = True) -> None:
        """Give all that is open the styles of the theme; Textual leaves out the palette while it is open."""
        super().refresh_css(animate=animate)
        for screen in self.screen_stack:
            if isinstance(screen, SystemModalScreen):
                self.stylesheet.update(screen, animate=animate)
                screen.refresh(layout=True)

    def get_driver_class(self) -> type[Driver]:
        """Return what reads from the terminal and writes to it."""
        driver = super().get_driver_class()
        read_safely(sys.modules[driver.__module__])
        return driver

    def contain(self, what: str, error: Exception) -> str:
        """Report an error of a part of the screen and go on without it; return what was said."""
        if self._exit or not self._running:
            return ""  # Widgets are being taken down: what looks for them then finds none.
        sentence = self.reports.sentence(what, error)
        if self.reports.too_many:
            super()._handle_exception(error)
        else:
            self.notify(sentence, severity="error", markup=False, timeout=10)
        return sentence

    def _handle_exception(self, error: Exception) -> None:
        # What Textual cannot go on with: the message loop of the widget has ended. Below a sheet or question
        # that costs the sheet; elsewhere it ends the app.
        from textual._context import active_message_pump

        pump = active_message_pump.get(None)
        screen = pump.screen if isinstance(pump, Widget) and pump.is_attached else None
        if isinstance(pump, Contained):
            self.contain(name_of(pump), error)
        elif screen is not None and screen in self.screen_stack[1:]:
            self.contain("A part of the screen", error)
        else:
            super()._handle_exception(error)
            return
        if screen is not None and screen in self.screen_stack[1:]:
            self.call_later(self._close, screen)

    def _close(self, screen: Screen[object]) -> None:
        if screen in self.screen_stack[1:]:
            while self.screen is not screen:
                self.pop_screen()
            self.pop_screen()

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Do what a key or a click asks for; an error in it costs only that."""
        try:
            return await super().run_action(action, default_namespace, namespaces)
        except ActionError:
            raise
        except Exception as error:
            self.contain("This action", error)
            return True

    def _fatal_error(self) -> None:
        # In place of Textual's traceback, which prints local variables: who opened the app reports it.
        self.crash = self._exception
        self._close_messages_no_wait()

    # --- what is said to the terminal beside the screen -----------------------------------------------

    def tell_terminal(self, sequence: str) -> None:
        """Send a sequence made by `terminal_codes`; nothing where there is no terminal."""
        if sequence and self._driver is not None:
            self._driver.write(sequence)
            self._driver.flush()

    def copy_to_clipboard(self, text: str) -> None:
        """Copy text, made safe, that a person writes: what an editor cuts out must come back as it was."""
        self.copy(text, "Copied.", as_it_is=True)

    def secrets_masked(self, text: str) -> tuple[str, int]:
        """Return text as it may leave the machine, and in how many places secrets of the run were masked."""
        return text, 0

    def copy(self, text: str, done: str, *, as_it_is: bool = False) -> None:
        """Copy text to the terminal's clipboard and say `done`, or say why not; secrets are masked.

        `as_it_is` masks nothing: the person asked for that.
        """
        from triage_tui.ui.copied_secrets import told
        from triage_tui.ui.copying import refusal
        from triage_tui.ui.terminal_codes import clipboard

        text, count = (text, 0) if as_it_is else self.secrets_masked(text)
        done = told(done, count)
        shown = shown_block(text, max_lines=1_000_000)
        if (why := refusal(shown)) is not None:
            self.notify(why, severity="warning", markup=False, timeout=6)
            return
        self._clipboard = shown
        self.tell_terminal(clipboard(shown))
        self.notify(done, markup=False, timeout=6 if count else 2)
