"""The campaigns of the workspace, as a sheet over the main screen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from triage_tui.text import number_of
from triage_tui.ui.screens.rolling import RolloutScreen

if TYPE_CHECKING:
    from triage_tui.ui.campaign_views import CampaignPlace


class CampaigningScreen(RolloutScreen):
    """The part of the main screen that shows campaigns."""

    _campaign_place: CampaignPlace | None = None

    async def action_campaigns(self) -> None:
        """Show the newest campaign, or the one that was looked at last as it was looked at."""
        # It needs much, which is imported beside the keys.
        await asyncio.to_thread(import_module, "triage_tui.ui.screens.campaign_sheet")
        from triage_tui.ui.campaign_views import CampaignPlace
        from triage_tui.ui.screens.campaign_sheet import CampaignSheet

        if self._campaign_place is None:
            self._campaign_place = CampaignPlace()
        main, place = self.app.main, self._campaign_place
        self.app.push_screen(CampaignSheet(self.app.workspace, place, main.open_run, self._mark_of_campaign))

    def _mark_of_campaign(self, run_ids: Sequence[str]) -> None:
        marked = self.app.main.mark_runs(run_ids)
        gone = len(set(run_ids)) - marked
        less = f"; {number_of(gone, 'run is', 'runs are')} not here" if gone else ""
        self.say(f"{number_of(marked, 'run')} marked: what you decide now is for all of them{less}.")
