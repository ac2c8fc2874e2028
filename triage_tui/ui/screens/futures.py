"""Both futures of a proposed rule: one key runs them beside each other, and a sheet shows them."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from textual import on

from triage_tui.errors import TriageError
from triage_tui.ui.messages import FuturesSeen, GoesOn
from triage_tui.ui.screens.experiment import ExperimentScreen

if TYPE_CHECKING:
    from triage_tui.runs.trials_model import Counterfactual
    from triage_tui.ui.screens.progress import Progress

_TELL_EVERY_S = 0.2
_GONE_S = 0.05


class FuturesScreen(ExperimentScreen):
    """The part of the main screen that looks at what a rule would change."""

    _looking: Progress | None = None

    def stop_looking_ahead(self) -> None:
        """Let both futures end that run now."""
        if self._looking is not None:
            self._looking.cancel.set()

    def action_counterfactual(self, again: bool = False) -> None:
        """Show both futures of the rules under the cursor; run them first where nobody did, or `again`."""
        view = self._ready(needs_rules=True)
        if view is None:
            return
        if self._looking is not None:
            self.say("Both futures of a rule are being run.")
            return
        files = self.patch.files_here
        texts = {
            name: hashlib.sha256(rule.difference.new).hexdigest()
            for name in files
            if (rule := view.rules.get(name)) is not None and rule.difference is not None
        }
        if not files or len(texts) != len(files):
            self.say("Put the cursor on a proposal with rules that can be read.", "warning")
            return
        from triage_tui.ui.screens.progress import Progress

        progress = self._looking = Progress("Both futures")
        actions, run, run_id = self.app.actions, view.run, view.run_id
        number = view.generation or ""
        generation = int(number) if number.isdecimal() else 0
        last = 0.0

        def tell(far: str) -> None:
            nonlocal last
            if time.monotonic() - last > _TELL_EVERY_S:
                last = time.monotonic()
                self.post_message(GoesOn(progress, far))

        def work() -> None:
            from triage_tui.retry.trials.observed import newest

            sentence, found = "", None
            try:
                found = None if again else newest(run, texts, generation)
                if found is None:
                    tell("starting")
                    actions.counterfactual(run_id, files, progress.cancel, tell)
                    found = newest(run, texts, generation)
                    sentence = "" if found is not None else "what was seen cannot be read"
            except TriageError as error:
                sentence = str(error)
            except Exception as error:
                # Its own defect must not take the review down.
                sentence = self.app.reports.sentence("Looking at both futures", error)
            self.post_message(FuturesSeen(run_id, files, found, sentence))

        self.run_worker(work, thread=True, group="futures", exit_on_error=False)

    @on(FuturesSeen)
    def futures_seen(self, event: FuturesSeen) -> None:
        """Show both, or say why they are not known."""
        progress, self._looking = self._looking, None
        if progress is not None:
            progress.close()
        self.app.update_runs({event.run_id})
        if event.found is None:
            self.say(f"{event.sentence[:1].upper()}{event.sentence[1:]}", "warning")
            return
        self._show_both(event, event.found, progress)

    def _show_both(self, event: FuturesSeen, found: Counterfactual, progress: Progress | None) -> None:
        """Show both futures as soon as what said how far they are is gone: it cannot go from below."""
        if progress in self.app.screen_stack:
            self.set_timer(_GONE_S, lambda: self._show_both(event, found, progress))
            return
        from triage_tui.ui.screens.futures_sheet import FuturesSheet

        title = f"Both futures: {found.proposal or ', '.join(event.files)}"
        self.app.push_screen(
            FuturesSheet(
                found,
                title,
                lambda: self._approve_seen(event),
                lambda: self.action_counterfactual(again=True),
            )
        )

    def _approve_seen(self, event: FuturesSeen) -> None:
        """Approve the very rules that were seen, whole."""
        view = self._ready(needs_rules=True)
        if view is None or view.run_id != event.run_id:
            self.say("Another run is shown by now, so nothing was approved.", "warning")
            return
        self._approve(view, self.patch.choices.whole(event.files), "a")
