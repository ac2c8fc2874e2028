"""`triage-tui campaign list`: the campaigns of a workspace, the newest first."""

from __future__ import annotations

import argparse

import msgspec

from triage_tui.campaign.record import campaign_ids, campaigns_dir, read_campaign
from triage_tui.campaign.statistics import DONE, STANDINGS, Standing, standing_of
from triage_tui.cli.output import print_json, print_table, say
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line


class CampaignListed(msgspec.Struct, kw_only=True):
    """A line of `campaign list`."""

    campaign: str
    started: str = ""
    finished: str = ""
    """When it ended, "" while it runs or when its process was ended."""
    running: bool = False
    targets: int = 0
    standings: dict[str, int] = {}
    """How many targets stand how, as in the report."""
    given: list[str] = []
    problem: str = ""
    """Why it cannot be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    workspace = Workspace.at(args.workspace)
    found = [listed(workspace, name) for name in campaign_ids(workspace.root)]
    if args.json:
        for one in found:
            print_json(one)
        return 0
    if not found:
        where = safe_line(str(campaigns_dir(workspace.root)), 300)
        say(f"no campaigns in {where}: `triage-tui campaign --rootfs DIR` begins one")
        return 0
    header = ["CAMPAIGN", "STATE", "TARGETS", "DONE", "WELL", "FURTHER", "GIVEN", "PROBLEM"]
    print_table(header, [_row(one) for one in found])
    return 0


def listed(workspace: Workspace, name: str) -> CampaignListed:
    """Return what a list tells of one campaign."""
    try:
        state = read_campaign(campaigns_dir(workspace.root) / name)
    except TriageError as error:
        return CampaignListed(campaign=name, problem=str(error))
    counts: dict[Standing, int] = {}
    for target in state.targets:
        standing = standing_of(state, target.target)
        counts[standing] = counts.get(standing, 0) + 1
    return CampaignListed(
        campaign=name,
        started=state.campaign.started,
        finished=state.campaign.finished,
        running=state.running,
        targets=len(state.targets),
        standings={one: counts[one] for one in STANDINGS if one in counts},
        given=state.campaign.given,
        problem="; ".join(state.problems),
    )


def _row(one: CampaignListed) -> list[str]:
    state = "at work" if one.running else "ended" if one.finished else "not ended" if one.started else "-"
    return [
        one.campaign,
        state,
        str(one.targets),
        str(sum(one.standings.get(name, 0) for name in DONE)),
        str(one.standings.get("well", 0)),
        str(one.standings.get("further", 0)),
        ", ".join(one.given)[:60],
        one.problem,
    ]
