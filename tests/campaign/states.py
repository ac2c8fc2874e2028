"""Small campaigns without a guest: what reports, screens and rollouts are tested on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triage_tui.campaign.model import (
    Campaign,
    CampaignState,
    EventName,
    Need,
    Options,
    Outcome,
    Progress,
    RuleOutcome,
    Target,
)
from triage_tui.campaign.record import ProgressLog, create, read_campaign, write_campaign

STARTED, FINISHED = "2026-01-31T02:00:00+00:00", "2026-01-31T02:10:00+00:00"


def run_id(number: int) -> str:
    """Return the id of the run with a number."""
    return f"20260131_020000_{number:08d}"


def target(number: int, *, group: str = "a", name: str = "", root_hash: str = "") -> Target:
    """Return a target; `number` is its id and its place."""
    return Target(
        target=f"{number:016x}",
        name=name or f"httpd{number}",
        root="/r",
        root_hash=root_hash,
        program="/bin/httpd",
        argv=["httpd", str(number)],
        arch="arm",
        origin=f"init.d/S{number}",
        group=group,
    )


def need(subject: str, template: str = "provide_file", run: str = "", **more: Any) -> Need:
    """Return a need."""
    given = {"kind": "file", "risk": "low", **more}
    return Need(template=template, subject=subject, run=run, **given)


def rule(template: str, *, helped: bool = False, hurt: bool = False, title: str = "") -> RuleOutcome:
    """Return what a rule did to a target."""
    return RuleOutcome(
        id=f"{template}-1", template=template, title=title, run=run_id(90), helped=helped, hurt=hurt
    )


def state_of(targets: list[Target], last: Mapping[int, Progress | Outcome], **more: str) -> CampaignState:
    """Return a campaign; `last` says by number what came of a target, or what happened to it."""
    campaign = Campaign(id=more.pop("id", run_id(1)), started=STARTED, finished=FINISHED, options=Options())
    for name, value in more.items():
        setattr(campaign, name, value)
    told = {f"{number:016x}": happened(number, what) for number, what in last.items()}
    return CampaignState(dir=Path("/x"), campaign=campaign, targets=targets, last=told)


def happened(number: int, what: Progress | Outcome | EventName, error: str = "") -> Progress:
    """Return an event of a target."""
    if isinstance(what, Progress):
        return what
    name = f"{number:016x}"
    if isinstance(what, Outcome):
        return Progress(event="finished", target=name, outcome=what, seconds=2.0, worker="w1")
    return Progress(event=what, target=name, error=error)


def on_disk(workspace: Path, state: CampaignState, *, ended: bool = True) -> CampaignState:
    """Write a campaign into a workspace, and read it again from there."""
    campaign = state.campaign
    directory = create(workspace, campaign, state.targets)
    log = ProgressLog(directory)
    for progress in state.last.values():
        log.add(progress)
    log.close()
    campaign.finished = FINISHED if ended else ""
    campaign.ended = "all targets were played" if ended else ""
    write_campaign(directory, campaign)
    return read_campaign(directory)


def small(**more: str) -> CampaignState:
    """Return a campaign of ten targets in which there is some of everything."""
    key = "NVRAM default lan_ipaddr"
    missing: dict[str, Any] = {"cause": "missing_file", "signature": "missing_file open(/etc/a.conf) ENOENT"}
    last: dict[int, Progress | Outcome] = {
        0: Outcome(word="healthy", rung=None, runs=[run_id(10)], rounds=1),
        1: Outcome(
            word="resolved", rung="stable", runs=[run_id(11), run_id(12)], rounds=2, **missing,
            headline="httpd1 (ARM) is about to exit(1): open(\"/etc/a.conf\") = ENOENT",
            rules=[rule("provide_file", helped=True, title="Provide /etc/a.conf")],
        ),
        2: Outcome(
            word="progressed", rung="passed", runs=[run_id(13), run_id(14)], rounds=2, **missing,
            rules=[rule("provide_file", helped=True, title="Provide /etc/a.conf")],
            needs=[need(key, "nvram_store", run_id(14), needs_input="supply the value of lan_ipaddr")],
        ),
        3: Outcome(
            word="sideways", rung="runs", runs=[run_id(15), run_id(16)], rounds=2, **missing,
            rules=[rule("open_device", title="Open /dev/null for /dev/led")],
            needs=[need(key, "nvram_store", run_id(16)), need("device /dev/led", "device_node", run_id(16))],
        ),
        4: Outcome(
            word="regressed", rung="runs", runs=[run_id(17)], rounds=2, cause="missing_device",
            signature="missing_device open(/dev/led) ENOENT",
            rules=[rule("open_device", hurt=True, title="Open /dev/null for /dev/led")],
            needs=[need("device /dev/led", "device_node", run_id(17), risk="medium")],
        ),
        5: Outcome(word="not diagnosed", runs=[run_id(18)], rounds=1),
        6: happened(6, "lost", "its worker died three times"),
        7: happened(7, "refused", "its root has no /bin/httpd"),
        8: happened(8, "cancelled", "the campaign took longer than 60 s"),
    }  # fmt: skip
    targets = [target(number, group="a" if number < 5 else "b") for number in range(10)]
    return state_of(targets, last, **more)
