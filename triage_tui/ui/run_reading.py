"""The part of the app that reads a run in a thread and gives what was read to the main screen."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triage_tui.errors import Stopped, TriageError
from triage_tui.runs.foreign import foreign_places
from triage_tui.text import safe_line
from triage_tui.ui.keys_in_order import KeysInOrder
from triage_tui.ui.messages import RunFailed, RunLoaded, Trouble
from triage_tui.ui.reading import Reading, Readings

if TYPE_CHECKING:
    from triage_tui.binary.sfanalysis import SfAnalysis
    from triage_tui.runs.feed import RunsFeed
    from triage_tui.ui.run_view import RunView
    from triage_tui.ui.screens.main import MainScreen

MAX_PROBLEMS = 4
"""How many unusable SFAnalysis files are named."""


class RunReadingApp(KeysInOrder):
    """Reads one run at a time: that which is wanted."""

    workspace: Path
    runs_dir: Path
    _feed: RunsFeed | None
    _sfanalysis: Path | None
    """A directory of SFAnalysis results that is to be read with the first run."""

    def __init__(self) -> None:
        super().__init__()
        self._readings = Readings()
        self._analysis: SfAnalysis | None = None
        self._reading_analysis = threading.Lock()

    @property
    def main(self) -> MainScreen:
        """The main screen."""
        raise NotImplementedError

    def load_run(self, run_id: str) -> None:
        """Read a run in a thread; the reading of another one ends, and its result is unwanted."""
        reading = self._readings.begin(run_id)
        if reading is None:
            return
        related = self.main.related(run_id)
        if self._feed is not None:
            self._feed.watch_closely(run_id)

        def work() -> None:
            try:
                view = self.read_view(run_id, related, reading.unwanted)
                self.main.post_message(RunLoaded(view, reading.serial))
            except Stopped:
                pass
            except TriageError as error:
                self.main.post_message(RunFailed(run_id, str(error)))
            except Exception as error:
                # A run that defeats the reader must not take the review of the others down.
                self.main.post_message(
                    RunFailed(run_id, self.reports.sentence(f"Reading run {run_id}", error))
                )
            finally:
                self.call_later(self._was_read, reading)

        self.run_worker(work, thread=True, group="load", exit_on_error=False)

    def _was_read(self, reading: Reading) -> None:
        if self._readings.ended(reading) and self.is_running:
            self.load_run(reading.run_id)

    def read_view(
        self, run_id: str, related: Sequence[str] = (), unwanted: threading.Event | None = None
    ) -> RunView:
        """Return a run as it is shown, with other runs of its target; called in a thread.

        Raises:
            Stopped: it was `unwanted` before its end.
            TriageError: it cannot be read.
        """
        from triage_tui.ui.loading import load_view

        known = self.main.run_list.get(run_id)
        if known is not None and known.form == "misnamed":
            raise TriageError(f"{safe_line(run_id, 80)}: {known.problem}")
        try:
            run_dir = self.runs_dir / run_id
            if foreign_places(self.runs_dir):
                from triage_tui.sfemu.following import ensure

                run_dir = ensure(self.workspace, run_id)
            return load_view(run_dir, self.workspace, self._analysed(), related, unwanted)
        except Stopped:
            raise
        except TriageError as error:
            if known is not None and known.form == "writing":
                # What lasts a few seconds of every live run is no trouble, and reads as none.
                raise TriageError("This run is being recorded: it is shown when that is done.") from error
            raise

    def _analysed(self) -> SfAnalysis | None:
        """Return the results of the directory that was given, read when the first run is."""
        with self._reading_analysis:
            if self._sfanalysis is not None:
                from triage_tui.binary.sfanalysis import SfAnalysis

                directory, self._sfanalysis = self._sfanalysis, None
                try:
                    self._analysis = SfAnalysis(directory)
                except TriageError as error:
                    self.main.post_message(Trouble(str(error)))
                else:
                    for problem in self._analysis.problems[:MAX_PROBLEMS]:
                        self.main.post_message(Trouble(problem))
            return self._analysis
