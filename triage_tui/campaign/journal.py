"""Write down what happens to the targets of a campaign, as it happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict, Unpack

from triage_tui.campaign.model import CampaignState, EventName, Outcome, Progress, Target
from triage_tui.campaign.place import is_full
from triage_tui.campaign.record import ProgressLog
from triage_tui.errors import TriageError
from triage_tui.runs.clock import local_time


class Told(TypedDict, total=False):
    """What there is to say of an event besides its target; the fields of `Progress`."""

    worker: str
    seconds: float
    attempt: int
    error: str
    outcome: Outcome | None


class Journal:
    """`progress.jsonl` of a campaign that is being carried out, and its state as it follows from that."""

    def __init__(self, state: CampaignState, on_progress: Callable[[Progress, Target], None]) -> None:
        self._state, self._on_progress = state, on_progress
        self._log = ProgressLog(state.dir)

    def note(self, event: EventName, target: Target, **told: Unpack[Told]) -> bool:
        """Write down an event and tell of it; False where the disk has no room for it.

        Raises:
            TriageError: it cannot be written for another reason.
        """
        progress = Progress(event=event, target=target.target, at=local_time("milliseconds"), **told)
        try:
            self._log.add(progress)
        except OSError as error:
            if is_full(error):
                return False
            raise TriageError(f"the progress of the campaign cannot be written: {error.strerror}") from error
        self._state.last[target.target] = progress
        self._on_progress(progress, target)
        return True

    def close(self) -> None:
        """Close the file."""
        self._log.close()
