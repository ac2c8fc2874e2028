"""Begin a campaign, or find the one that a second start goes on with."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from triage_tui import __version__
from triage_tui.campaign.base_rules import copy_rulebook
from triage_tui.campaign.model import Campaign, CampaignState, Options, Target
from triage_tui.campaign.record import (
    campaign_ids,
    campaigns_dir,
    create,
    read_campaign,
    write_campaign,
)
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.clock import local_time

_LOOKED_AT = 20
"""Newest campaigns among which the one is looked for that a second start goes on with."""


def begin(
    workspace: Workspace,
    targets: Sequence[Target],
    options: Options,
    given: Sequence[str],
    compared_with: str = "",
) -> Path:
    """Write a new campaign and return its directory; nothing of it runs yet.

    Raises:
        TriageError: the active rules cannot be read.
        OSError: it cannot be written; nothing of it is left.
    """
    campaign = Campaign(
        id="",
        started=local_time(),
        options=options,
        given=list(given),
        triage_tui=__version__,
        compared_with=compared_with,
    )
    directory = create(workspace.root, campaign, targets)
    try:
        campaign.rules_hash = copy_rulebook(workspace.rulebook, directory)
        write_campaign(directory, campaign)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return directory


def interrupted(workspace: Workspace, targets: Sequence[Target], options: Options) -> Path | None:
    """Return the newest campaign over these very targets that was ended before it was through, if any."""
    wanted = {target.target for target in targets}
    for name in campaign_ids(workspace.root)[:_LOOKED_AT]:
        try:
            state = read_campaign(campaigns_dir(workspace.root) / name)
        except TriageError:
            continue
        if {target.target for target in state.targets} == wanted and not is_through(state):
            same = (state.campaign.options.policy, state.campaign.options.rounds)
            return state.dir if same == (options.policy, options.rounds) else None
    return None


def forget(directory: Path) -> None:
    """Remove a campaign of which nothing was played: its workers cannot be reached, say."""
    if not read_campaign(directory).last:
        shutil.rmtree(directory, ignore_errors=True)


def is_through(state: CampaignState) -> bool:
    """Tell whether every target was given out and nothing is to be gone on with."""
    return set(state.counts()) <= {"finished", "refused", "lost"}


def go_on(directory: Path, options: Options) -> None:
    """Have a campaign go on under the limits and workers of `options`; what decides outcomes stays.

    Raises:
        TriageError: it cannot be read.
        OSError: it cannot be written.
    """
    campaign = read_campaign(directory).campaign
    options.policy, options.policy_file = campaign.options.policy, campaign.options.policy_file
    options.rounds, options.time_limit_s = campaign.options.rounds, campaign.options.time_limit_s
    campaign.options = options
    write_campaign(directory, campaign)
