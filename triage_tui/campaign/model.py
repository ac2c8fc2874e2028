"""What a campaign is on disk: its terms, its targets, and what came of each, as msgspec types.

A campaign is a directory `<workspace>/campaigns/<campaign_id>/` with `campaign.json` (`Campaign`),
`targets.jsonl` (a `Target` a line) and `progress.jsonl` (a `Progress` a line, append-only). All text is raw:
it comes from firmware, and from workers on other machines.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.runs.record import Record
from triage_tui.runs.verdict_model import RUNGS, Rung

VERSION = 1
"""Schema version of what is written here, and the newest that is read."""

EventName = Literal["started", "finished", "lost", "refused", "cancelled"]
"""What happened to a target. `started`: a worker has it; `finished`: its runs are in the workspace; `lost`:
every worker that had it died or could not give it back; `refused`: it cannot be run at all, and `error` says
why; `cancelled`: it was stopped, or never begun, by a person or a limit of the whole campaign."""

HEALTHY, NOT_DIAGNOSED, DIAGNOSED = "healthy", "not diagnosed", "diagnosed"
"""Outcomes of a target without a retry, beside the words of the judge: nothing was wrong with it, nothing is
known of what was, or it was explained and no rule was tried."""


class Target(Record, kw_only=True):
    """One program to run: what `Start` takes, and where it was found."""

    target: str
    """Its id: a hash of the root's content and of the program, argv, env and cwd, 16 hexadecimal digits."""
    name: str
    """What people call it: the name of its service, or of its program."""
    root: str
    """Directory of its root file system on the machine that began the campaign."""
    root_hash: str = ""
    """Content hash of that directory, by which it travels to workers without it."""
    program: str
    """Path of the program inside the root."""
    argv: list[str] = []
    """Arguments, the name of the program first; none: only its name."""
    cwd: str = "/"
    env: dict[str, str] = {}
    user: int = 0
    stdin: str = "null"
    """"null", "open", or a file of the machine that began the campaign."""
    interfaces: list[str] = []
    """Network interfaces that the guest has besides lo."""
    qemu_args: list[str] = []
    probes: list[str] = []
    """Questions to its service, as `run --probe` takes them; none: whatever it listens on is asked."""
    arch: str = ""
    origin: str = ""
    """Where it was found: "inittab line 3", "init.d/S50httpd", "targets.yaml line 12"."""
    order: int = 0
    """Its place in the order in which its device would start it."""
    time_limit_s: float = 0.0
    """Seconds after which its guest is frozen for its length alone; 0: what the campaign says."""
    notes: list[str] = []
    """What is to be known of it, one sentence each: "needs a connected socket as standard input"."""
    group: str = ""
    """Name of the firmware, or whatever its targets are told apart by."""


class RuleOutcome(Record, kw_only=True):
    """A rule that was tried on a target, and what came of it."""

    id: str
    """Of its header."""
    file: str = ""
    """Its name among the active rules, "syscall/openat@fix-openat-1a2b3c4d.lua"."""
    sha256: str = ""
    template: str = ""
    title: str = ""
    run: str = ""
    """The run that it was first active in, "" where none was made with it."""
    helped: bool = False
    """It acted, and the round with it got further than the one before."""
    hurt: bool = False
    """It acted, and the round with it was judged worse than the one before (`regressed`)."""


class Need(Record, kw_only=True):
    """What a target needs next that was not approved: what its last run proposes, or is about."""

    template: str = ""
    subject: str = ""
    """What it would supply: the file, the key, the call; the same words for the same need."""
    kind: str = ""
    """What kind of thing the subject is: file, directory, device, key, peer, interface."""
    run: str = ""
    """The run that needs it."""
    proposal: str = ""
    """The id of a proposal of that run."""
    title: str = ""
    cause: str = ""
    risk: str = ""
    needs_input: str = ""
    """What a person must supply for it, "" for nothing."""
    source: str = "kb"
    """Whose idea it is, as in `Proposal.source`."""
    rank: int = 0
    """Its place among the proposals of the run, 0 for the best."""


class Outcome(Record, kw_only=True):
    """What came of one target."""

    runs: list[str] = []
    """Its runs in the workspace's `ai_runs/`, the oldest first."""
    word: str = NOT_DIAGNOSED
    """The last verdict that stands, or one of HEALTHY, DIAGNOSED and NOT_DIAGNOSED."""
    rung: Rung | None = None
    """The highest rung of the judge's ladder that it stood on; None where no round was judged. A round that
    was taken back counts as the one before it."""
    taken_back: bool = False
    """The rule of its last round was taken back: it is as it was before."""
    cause: str = ""
    """Root cause of its first run, "" for none."""
    confidence: float = 0.0
    """Of that cause, 0 to 1."""
    acted: int | None = None
    """Rules that were active at the beginning and acted in its first run; None in older records."""
    headline: str = ""
    """What happened in its first run, one line."""
    story: str = ""
    """Key of the story of its first run (`runs.stories`)."""
    signature: str = ""
    """Of the cause of its first run: the same failure in another program has the same."""
    rules: list[RuleOutcome] = []
    needs: list[Need] = []
    rounds: int = 0
    ended: str = ""
    """Why its rounds ended, one sentence."""


class Progress(Record, kw_only=True):
    """One line of `progress.jsonl`: something that happened to a target."""

    event: EventName
    target: str
    worker: str = ""
    """Name of the worker that had it."""
    at: str = ""
    """Local time with its distance to UTC, ISO 8601."""
    seconds: float = 0.0
    """How long it was at work."""
    attempt: int = 1
    """The how-many-th time it was given to a worker."""
    error: str = ""
    """Why it was lost, refused or cancelled, one sentence."""
    outcome: Outcome | None = None
    """Of `finished` alone."""


class Options(Record, kw_only=True):
    """What was asked of a campaign. Times are seconds, sizes bytes; 0 is without limit."""

    policy: Literal["manual", "assist", "auto"] = "auto"
    """`manual` runs each target once and approves nothing."""
    policy_file: str = ""
    rounds: int = 6
    """Most rounds of one target."""
    target_s: float = 0.0
    """Longest time of one target, all its rounds together."""
    captures: int = 0
    """Most runs that one target may record."""
    total_s: float = 0.0
    """Longest time of the whole campaign."""
    disk_bytes: int = 0
    """Most bytes that its runs take together."""
    time_limit_s: float = 60.0
    """Seconds after which a guest is frozen for its length alone."""
    workers: int = 0
    """Workers of the embedded cluster; 0 with a scheduler of the lab's own."""
    scheduler: str = ""
    """Address of the lab's own scheduler, "" for the embedded one."""


class Campaign(Record, kw_only=True):
    """`campaign.json`."""

    schema_version: int = VERSION
    id: str
    started: str
    options: Options
    given: list[str] = []
    """What it was given: target files and root file systems, as they were named."""
    triage_tui: str = ""
    """Version of triage-tui."""
    emulators: dict[str, str] = {}
    """Architecture -> version line of the emulator, as the workers told it."""
    rules_hash: str = ""
    """Hash of the active rules of the workspace at its start, "" for none."""
    compared_with: str = ""
    """An earlier campaign that it is held against."""
    finished: str = ""
    """When it ended; "" while it runs, or when its process was killed."""
    ended: str = ""
    """How it ended, one sentence."""


class CampaignState(msgspec.Struct, kw_only=True):
    """A campaign as it stands."""

    dir: Path
    campaign: Campaign
    targets: list[Target] = []
    last: dict[str, Progress] = {}
    """Target id -> what happened to it last."""
    problems: list[str] = []
    """What is wrong with its files, one sentence each."""
    running: bool = False
    """Whether a process is at work on it now."""
    offset: int = 0
    """Bytes of `progress.jsonl` that are in this."""

    def counts(self) -> Counter[str]:
        """Return how many targets stand at each event; those of which nothing is said are "waiting"."""
        return Counter(
            last.event if (last := self.last.get(target.target)) is not None else "waiting"
            for target in self.targets
        )

    def outcome(self, target: str) -> Outcome | None:
        """Return what came of a target, None where it is not finished."""
        last = self.last.get(target)
        return last.outcome if last is not None and last.event == "finished" else None

    def unfinished(self) -> list[Target]:
        """Return what a second start has to run, in order."""
        return [target for target in self.targets if self.outcome(target.target) is None]


def higher(one: Rung | None, other: Rung | None) -> Rung | None:
    """Return the higher of two rungs; a healthy exit is as far as a program whose work has an end can get."""

    def height(rung: Rung | None) -> int:
        if rung is None:
            return -1
        return len(RUNGS) if rung == "healthy_exit" else RUNGS.index(rung)

    return max(one, other, key=height)
