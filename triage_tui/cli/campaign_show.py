"""`triage-tui campaign show`: how a campaign stands, and what to do next."""

from __future__ import annotations

import argparse

from triage_tui.campaign.gains import gains
from triage_tui.campaign.model import CampaignState
from triage_tui.campaign.record import campaign_dir, read_campaign
from triage_tui.campaign.report import TargetLine, lines, make_report, masked, redaction_of, unknown
from triage_tui.campaign.statistics import STANDINGS, Statistics, count
from triage_tui.cli.output import print_json, print_line, print_table, print_wrapped, say
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.verdict_figures import rung_in_words
from triage_tui.text import number_of

_MOST = 8
"""Steps, stories and rules that are shown; the report has all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "campaign", metavar="CAMPAIGN", help="id of a campaign, a unique ending of it, or `last`"
    )
    parser.add_argument(
        "--targets",
        nargs="?",
        const="",
        metavar="STANDING",
        choices=("", *STANDINGS),
        help=f"list its targets, all or those that stand so: {', '.join(STANDINGS)}",
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    workspace = Workspace.at(args.workspace)
    state = read_campaign(campaign_dir(workspace.root, args.campaign))
    if args.json:
        print_json(masked(make_report(state), redaction_of(state)))
        return 0
    if args.targets is not None:
        wanted = [one for one in lines(state) if args.targets in ("", one.standing)]
        if not wanted:
            say("no target stands so")
            return 0
        header = ["TARGET", "GROUP", "STANDS", "VERDICT", "RUNG", "CAUSE", "RUN", "SAID"]
        print_table(header, [_row(one) for one in wanted])
        return 0
    counted = count(state)
    _say_summary(state, counted)
    return 0


def _row(one: TargetLine) -> list[str]:
    return [
        _cut(one.name, 40),
        _cut(one.group, 40),
        one.standing,
        one.word or "-",
        rung_in_words(one.rung) if one.rung else "-",
        _cut(one.story, 70) or "-",
        one.runs[-1] if one.runs else "-",
        _cut(one.said, 100),
    ]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _say_summary(state: CampaignState, counted: Statistics) -> None:
    campaign = state.campaign
    ended = campaign.ended or ("at work" if state.running else "not ended: the same command goes on with it")
    print_line(f"campaign {campaign.id}, begun {campaign.started[:19].replace('T', ' ')}: {ended}")
    told = ", ".join(f"{number} {name}" for name, number in counted.standings.items())
    print_line(f"{number_of(counted.targets, 'target')}: {told or 'none'}")
    steps = gains(state, counted)
    if steps:
        print_line()
        print_line("What to do next:")
        for number, step in enumerate(steps[:_MOST], 1):
            print_wrapped(
                f"{step.says}. {how[:1].upper()}{how[1:]}."
                if (how := "; ".join(step.how))
                else f"{step.says}.",
                f"  {number}. ",
            )
    if counted.stories:
        print_line()
        rows = [
            [str(len(one.targets)), str(one.programs), _cut(one.key, 90) or "no known cause"]
            for one in counted.stories[:_MOST]
        ]
        print_table(["TARGETS", "PROGRAMS", "CAUSE OF THE FIRST RUN"], rows)
    if counted.rules:
        print_line()
        rows = [
            [str(len(one.tried)), str(len(one.helped)), str(len(one.hurt)), _cut(one.title, 90)]
            for one in counted.rules[:_MOST]
        ]
        print_table(["TRIED", "HELPED", "HURT", "RULE"], rows)
    missing = [*unknown(state, counted), *state.problems]
    if missing:
        print_line()
        print_line("What is not known:")
        for text in missing:
            print_wrapped(f"{text}.", "  - ")
    print_line()
    print_line(f"`triage-tui campaign report {campaign.id}` tells all of it.")
