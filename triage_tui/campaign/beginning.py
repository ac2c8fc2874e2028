"""Begin a campaign, or find the one that a second start goes on with."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from triage_tui import __version__
from triage_tui.campaign.base_rules import copy_rulebook, keep_policy, kept_policy
from triage_tui.campaign.model import Campaign, CampaignState, Options, Target
from triage_tui.campaign.record import (
    campaign_ids,
    campaigns_dir,
    create,
    held,
    read_campaign,
    write_campaign,
)
from triage_tui.campaign.roots import hash_root
from triage_tui.errors import Stopped, TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.clock import local_time
from triage_tui.text import safe_line

_DECIDE = {
    "policy": "--policy",
    "policy_file": "",
    "rounds": "--rounds",
    "time_limit_s": "--time-limit",
}
"""Options that decide what comes of a target, with the names that they have for a person; the written policy
has another sentence."""
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
        keep_policy(directory, options.policy_file)
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
        # One that was killed after its last target has still to end: rollouts are looked at then.
        ended = is_through(state) and bool(state.campaign.finished)
        if {target.target for target in state.targets} == wanted and not ended:
            same = (state.campaign.options.policy, state.campaign.options.rounds)
            return state.dir if same == (options.policy, options.rounds) else None
    return None


def _text(policy_file: str) -> bytes:
    """Return what stands in a written policy, b"" for the shipped one or what cannot be read."""
    with contextlib.suppress(OSError):
        return Path(policy_file).read_bytes() if policy_file else b""
    return b""


def overlapping(workspace: Workspace, targets: Sequence[Target]) -> tuple[str, int]:
    """Return the newest campaign cut short that has some of these targets, and how many; "" for none."""
    wanted = {target.target for target in targets}
    for name in campaign_ids(workspace.root)[:_LOOKED_AT]:
        with contextlib.suppress(TriageError):
            state = read_campaign(campaigns_dir(workspace.root) / name)
            shared = len(wanted & {target.target for target in state.targets})
            if shared and not state.running and not is_through(state):
                return name, shared
    return "", 0


def changed_roots(
    directory: Path, progress: Callable[[str], None], cancel: threading.Event
) -> dict[str, str]:
    """Return the roots of what is left of a campaign that are not what they were, and why that cannot be run.

    Raises:
        TriageError: the campaign cannot be read.
        Stopped: a person cancelled.
    """
    found: dict[str, str] = {}
    wanted = {one.root: one.root_hash for one in read_campaign(directory).unfinished() if one.root_hash}
    for root, sha256 in wanted.items():
        try:
            if hash_root(Path(root), progress=progress, cancel=cancel).sha256 != sha256:
                found[root] = (
                    f"its root file system {safe_line(root, 200)} was changed since the campaign began:"
                    " begin another one"
                )
        except Stopped:
            raise
        except TriageError as error:
            found[root] = str(error)
    return found


def forget(directory: Path) -> None:
    """Remove a campaign of which nothing was played: its workers cannot be reached, say."""
    if not read_campaign(directory).last:
        shutil.rmtree(directory, ignore_errors=True)


def is_through(state: CampaignState) -> bool:
    """Tell whether every target was given out and nothing is to be gone on with."""
    return set(state.counts()) <= {"finished", "refused", "lost"}


def go_on(directory: Path, options: Options) -> str:
    """Have a campaign go on under the limits and workers of `options`; what decides outcomes stays.

    Return what was asked otherwise and stays, "" for nothing.

    Raises:
        Conflict: a process is at work on it; nothing was changed.
        TriageError: it cannot be read.
        OSError: it cannot be written.
    """
    with held(directory):
        campaign = read_campaign(directory).campaign
        before, usual, stays = campaign.options, Options(), list[str]()
        if before.policy == options.policy and _text(options.policy_file) != _text(kept_policy(directory)):
            stays.append("the written policy of its beginning")
        for field, words in _DECIDE.items():
            now, then = getattr(options, field), getattr(before, field)
            if words and now not in (then, getattr(usual, field)):
                stays.append(f"{words} {then or 'none'}")
            setattr(options, field, then)
        campaign.options = options
        write_campaign(directory, campaign)
    return ", ".join(stays)
