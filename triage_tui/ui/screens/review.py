"""How decisions are made on the main screen: in a thread, on what the person sees, with one sentence each."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec
from textual.screen import Screen

from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui.backend import READ_ONLY, Actions
from triage_tui.ui.messages import Done

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp
    from triage_tui.ui.run_view import RunView

_PATIENCE_S = 3.0
"""How long a key waits for a decision that is under way."""


def _nothing() -> None:
    """Nothing of the decision is on the screen."""


class Decided(msgspec.Struct, frozen=True):
    """A decision that was made and can be taken back: what it was, and how it is undone and made again."""

    what: str
    """"the approval", as it stands behind "undo" """
    run_id: str
    undo: Callable[[Actions], str]
    redo: Callable[[Actions], str]
    undo_here: Callable[[], None] = _nothing
    """What to undo on the screen, before the rest."""
    redo_here: Callable[[], None] = _nothing
    runs: tuple[str, ...] = ()
    """The runs that it changed, when they are several."""


class ReviewScreen(Screen[None]):
    """The deciding half of the main screen. Every action ends in one sentence."""

    app: TriageApp
    view: RunView | None = None
    failure: str | None = None
    """Why the run under the cursor cannot be shown."""
    active: str = "runs"

    def __init__(self) -> None:
        super().__init__()
        self._making = 0
        """Decisions under way."""
        self._made = asyncio.Event()
        """Set while none is."""
        self._made.set()
        self._failed_at = -math.inf
        """When the last decision failed, by the clock of messages."""

    def say(
        self, sentence: str, severity: Literal["information", "warning", "error"] = "information"
    ) -> None:
        """Show a sentence for a few seconds; it is made safe and never read as markup."""
        text = safe_line(sentence, 500)
        # A path keeps its letters as they are.
        text = text if "/" in text.partition(" ")[0] else text[:1].upper() + text[1:]
        if not text.endswith((".", "?", "!")):
            text += "."
        if any(one.message == text for one in self.app._notifications):
            # It is still there; a key that is held down would fill the screen with it.
            return
        self.app.notify(text, severity=severity, markup=False, timeout=6)

    def show_pane(self, name: str) -> None:
        """Go to a pane."""
        raise NotImplementedError

    def _perform(
        self,
        act: Callable[[Actions], str],
        pane: str | None = None,
        *,
        decided: Decided | None = None,
        undone: Decided | None = None,
        again: bool = False,
    ) -> None:
        """Run an action in a worker thread; its sentence comes back as a message.

        `decided` is what the person can undo then, `again` says that it was undone before, and `undone` what
        this action undoes.
        """
        self._made.clear()
        self._making += 1
        run_id, actions = self.view.run_id if self.view is not None else "", self.app.actions
        if (decision := decided or undone) is not None:
            run_id = decision.run_id

        def work() -> None:
            try:
                said = act(actions)
                self.post_message(
                    Done(said, run_id=run_id, pane=pane, decided=decided, undone=undone, again=again)
                )
            except TriageError as error:
                self.post_message(Done(str(error), failed=True, run_id=run_id))
            except Exception as error:
                # The action's own defect must not take the review down.
                self.post_message(Done(self.app.reports.sentence("The action", error), True, run_id))

        self.run_worker(work, thread=True, group="action", exit_on_error=False)

    def was_made(self, event: Done) -> None:
        """A decision has come to its end."""
        self._making = max(0, self._making - 1)
        if event.failed:
            self._failed_at = event.time
        if not self._making:
            self._made.set()

    async def decision_made(self, typed_at: float) -> bool:
        """Wait for the decision that is under way; False for a key that was typed before one failed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._made.wait(), _PATIENCE_S)
        if typed_at >= self._failed_at:
            return True
        self.say("What was typed behind that was not done.", "warning")
        return False

    def refused(self, why: str = READ_ONLY) -> bool:
        """Say that the view is read-only, when it is. What holds is the guard in `backend`, not this."""
        if self.app.read_only:
            self.say(why, "warning")
        return self.app.read_only

    def _shown(self) -> RunView | None:
        """Return the run to tell more of, or say why there is none."""
        if self.view is None:
            self.say_no_run()
            return None
        if self.coming:
            # What is decided must be about what the person sees, and about the run under the cursor.
            self.say(f"{self.coming} is not shown yet: press the key again when it is.", "warning")
            return None
        return self.view

    def _ready(self, needs_rules: bool = False) -> RunView | None:
        """Return the run to act on, or say why there is none."""
        view = None if self.refused() else self._shown()
        if view is None:
            return None
        if self._making:
            self.say("The decision before is still being made: press the key again when it is.", "warning")
            return None
        if needs_rules and not view.rules:
            self.say("No rule is proposed for this run.", "warning")
            return None
        return view

    def say_no_run(self) -> None:
        """Say why there is nothing to act on while no run is shown."""
        self.say("This run cannot be read." if self.failure else "Select a run first.", "warning")

    @property
    def coming(self) -> str:
        """The name of the run under the cursor while another one is still shown, else ""."""
        raise NotImplementedError
