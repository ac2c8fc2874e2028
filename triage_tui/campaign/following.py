"""A campaign as it grows, read again by an own thread whenever its files change.

The files are looked at (stat) twice a second and not watched by the kernel's notifications: the directory of
a lab's campaign is likely to lie on a network file system, which sends none for what another machine writes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from triage_tui.campaign.model import CampaignState
from triage_tui.campaign.record import CAMPAIGN_FILE, PROGRESS_FILE, TARGETS_FILE, is_held, read_campaign
from triage_tui.errors import TriageError

LOOK_EVERY_S = 0.5
BUSY_SHARE = 4
"""How many times as long as telling took nothing is told after it: others need the processor too."""


class Follower:
    """Tell `tell` how a campaign stands, at once and after each change, until `stop`.

    `trouble` is told why it cannot be read, once for each reason. Both are called in the follower's thread,
    and get the follower as well: what one tells that was stopped meanwhile is out of date.
    """

    def __init__(
        self,
        directory: Path,
        tell: Callable[[Follower, CampaignState], None],
        trouble: Callable[[Follower, str], None],
    ) -> None:
        self.directory = directory
        self._tell, self._trouble = tell, trouble
        self._ended = threading.Event()
        self._again = threading.Event()
        self._thread = threading.Thread(target=self._work, name="campaign-follower", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; does not wait for what is being told, which nobody has to heed any more."""
        self._ended.set()
        self._again.set()

    @property
    def ended(self) -> bool:
        """Whether it was stopped."""
        return self._ended.is_set()

    def look_again(self) -> None:
        """Tell how it stands, whether or not anything changed."""
        self._again.set()

    def _work(self) -> None:
        state: CampaignState | None = None
        seen: object = None
        said = ""
        while not self._ended.is_set():
            asked = self._again.is_set()
            self._again.clear()
            now = _stamp(self.directory)
            began = time.monotonic()
            if asked or now != seen:
                seen = now
                try:
                    state = read_campaign(self.directory, _same_start(state, self.directory))
                except (TriageError, OSError) as error:
                    state = None
                    if (sentence := str(error)) != said:
                        said = sentence
                        self._trouble(self, sentence)
                else:
                    said = ""
                    self._tell(self, state)
            rest = max(LOOK_EVERY_S, BUSY_SHARE * (time.monotonic() - began))
            self._again.wait(rest)


def _stamp(directory: Path) -> object:
    """Return what is another one after each change of a campaign."""
    found: list[object] = [is_held(directory)]
    for name in (CAMPAIGN_FILE, TARGETS_FILE, PROGRESS_FILE):
        try:
            status = os.stat(directory / name, follow_symlinks=False)
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


def _same_start(state: CampaignState | None, directory: Path) -> CampaignState | None:
    """Return the state to go on from; None where the files were replaced or cut by somebody."""
    if state is None:
        return None
    try:
        size = os.stat(directory / PROGRESS_FILE, follow_symlinks=False).st_size
    except OSError:
        return None
    return state if size >= state.offset else None
