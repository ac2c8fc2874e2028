"""`triage-tui campaign`: play many targets through the loop, on this machine or on many."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from triage_tui.campaign import beginning
from triage_tui.campaign.ending import Ended
from triage_tui.campaign.engine import carry_out
from triage_tui.campaign.model import CampaignState, Options, Progress, Target
from triage_tui.campaign.record import campaign_dir, read_campaign
from triage_tui.cli.metrics_option import add_metrics_argument, check_metrics, metrics_of_campaign
from triage_tui.cli.output import print_json, say
from triage_tui.cli.rounds import SignalEvent, cancelled_by_signals
from triage_tui.cli.streams import silence_broken
from triage_tui.errors import Conflict, Interrupted, TriageError
from triage_tui.exit_codes import DONE, NO, PERSON, REFUSED, SIGNALLED
from triage_tui.retry.rounds.policy import POLICIES, written_policy
from triage_tui.retry.rounds.written_policy import shipped_policy
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.limits import parse_size
from triage_tui.runs.verdict_figures import rung_in_words
from triage_tui.text import number_of, safe_line

if TYPE_CHECKING:
    from triage_tui.campaign.cluster import Cluster

MEMORY_EACH = 2 << 30
"""Memory that a worker of this machine is reckoned with."""
_ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://([\w.-]+|\[[\da-fA-F:.%]+\]):\d{1,5}/?")
_USUAL = Options()
_TARGET_S = 900.0


class CampaignTold(msgspec.Struct, kw_only=True):
    """The last line of `campaign --json`: how the campaign stands; the lines before are `Progress`."""

    campaign: str
    dir: str
    counts: dict[str, int]
    """Targets by what happened to them last; "waiting" for those of which nothing is said."""
    ended: str
    exit_code: int
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = (
        "%(prog)s [OPTIONS] [TARGETS.yaml ...] [--rootfs DIR ...]\n       %(prog)s list | show | report ..."
    )
    parser.add_argument(
        "files", nargs="*", metavar="TARGETS.yaml", help="files that name targets (docs/campaign.md)"
    )
    parser.add_argument(
        "--rootfs",
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="root file systems in which services to start are looked for (repeatable)",
    )
    parser.add_argument("--list", action="store_true", help="say what would be run, and run nothing")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="last",
        metavar="CAMPAIGN",
        help="go on with a campaign, by default the newest, also with what was refused or lost",
    )
    parser.add_argument(
        "--new", action="store_true", help="begin a new one, also where one over these targets was cut short"
    )
    parser.add_argument(
        "--compare-with", default="", metavar="CAMPAIGN", help="an earlier campaign that the report compares"
    )
    parser.add_argument(
        "--policy",
        choices=POLICIES,
        default=_USUAL.policy,
        help="who approves rules: auto (default) and assist: the written policy; manual: nobody, each target "
        "is run once",
    )
    parser.add_argument(
        "--policy-file", default="", metavar="FILE", help="the written policy (see `triage-tui policy show`)"
    )
    group = parser.add_argument_group("limits of each target")
    _number(group, "--rounds", int, _USUAL.rounds, "N", "most rounds")
    _number(group, "--target-time", float, _TARGET_S, "SECONDS", "longest time, all rounds together; 0: any")
    _number(group, "--time-limit", float, _USUAL.time_limit_s, "SECONDS", "longest round")
    _number(group, "--max-captures", int, 0, "N", "most runs recorded; 0: any number")
    group = parser.add_argument_group("limits of the whole (a second start goes on with what is left)")
    _number(group, "--total-time", float, 0.0, "SECONDS", "longest time of this start; 0: any")
    group.add_argument("--max-disk", default="0", metavar="SIZE", help="most that its runs take: 20G; 0: any")
    group = parser.add_argument_group("workers (docs/campaign.md)")
    group.add_argument(
        "--workers", type=int, metavar="N", help="targets that are played at a time on this machine"
    )
    group.add_argument(
        "--scheduler", default="", metavar="ADDRESS", help="a Dask scheduler, as tcp://HOST:8786 or tls://..."
    )
    for name, text in (("ca-file", "authority"), ("cert", "our certificate"), ("key", "our key")):
        group.add_argument(f"--tls-{name}", default="", metavar="FILE", help=f"for tls://: {text}, PEM")
    add_metrics_argument(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object for each thing that happens")


def _number(
    group: argparse._ArgumentGroup, name: str, kind: type, default: float, metavar: str, text: str
) -> None:
    group.add_argument(
        name, type=kind, default=default, metavar=metavar, help=f"{text} (default {default:g})"
    )


def run(args: argparse.Namespace) -> int:
    """Begin a campaign or go on with one, and print what happens."""
    if args.list:
        from triage_tui.cli.campaign_listing import list_targets

        return list_targets(_paths(args.files), _paths(args.rootfs), args.json)
    if importlib.util.find_spec("distributed") is None:
        raise TriageError("campaigns need the Python package distributed: pip install 'triage-tui[campaign]'")
    workspace = Workspace.at(args.workspace, made=True)
    options = _options(args, workspace)
    check_metrics(args.metrics)
    with cancelled_by_signals(impatient=True) as cancel:
        directory, new = _directory(args, workspace, options, cancel)
        # Who names the targets once more has their roots looked at for that.
        changed = beginning.changed_roots(directory, say, cancel) if args.resume is not None else {}
        state = read_campaign(directory)
        printer = _Printer(state, args.json)
        disk = options.disk_bytes
        try:
            runs, counts, taken = workspace.runs_dir, printer.counts, printer.taken
            with metrics_of_campaign(args.metrics, runs, directory.name, counts, taken, disk):
                ended = carry_out(
                    workspace,
                    directory,
                    _opened(args, options, directory.name, cancel),
                    cancel,
                    tell=say,
                    on_progress=printer.tell,
                    changed=changed,
                )
        except Conflict:
            raise
        except TriageError:
            if new:
                beginning.forget(directory)
            raise
        if not cancel.is_set() and ended.how != "disk":
            _roll_out(workspace, directory, cancel)
    return _finish(directory, ended, cancel, args.json, printer.seconds())


def _roll_out(workspace: Workspace, directory: Path, cancel: SignalEvent) -> None:
    """Let the rollouts of rules go by what came of the campaign; what cannot be done is said."""
    from triage_tui.campaign.rollouts import after_campaign

    try:
        after_campaign(workspace, directory, say, cancel)
    except TriageError as error:
        say(f"the rollouts were not looked at: {error}")


def _options(args: argparse.Namespace, workspace: Workspace) -> Options:
    for name in ("rounds", "max_captures", "target_time", "time_limit", "total_time"):
        least = 1 if name == "rounds" else 0
        if not least <= getattr(args, name) < 1e9:
            raise TriageError(
                f"--{name.replace('_', '-')} must be {least} or more, not {getattr(args, name):g}"
            )
    if args.workers is not None and not 1 <= args.workers <= 1024:
        raise TriageError(f"--workers takes 1 to 1024, not {args.workers}")
    if args.scheduler and args.workers is not None:
        raise TriageError("--workers is for this machine: with --scheduler its own workers count")
    if args.scheduler and not _ADDRESS.fullmatch(args.scheduler):
        raise TriageError(
            f"--scheduler takes an address as tcp://HOST:8786, not {safe_line(args.scheduler, 80)!r}"
        )
    if not args.scheduler and (args.tls_ca_file or args.tls_cert or args.tls_key):
        raise TriageError("--tls-... is for a scheduler: name it with --scheduler tls://HOST:PORT")
    # What is wrong with it is said before anything is looked at, and not by each target.
    written = written_policy(workspace, args.policy, args.policy_file or None, lambda _: None)
    own = written is not None and written.path != shipped_policy()
    return Options(
        policy=args.policy,
        policy_file=os.path.abspath(written.path) if written is not None and own else "",
        rounds=args.rounds,
        target_s=args.target_time,
        captures=args.max_captures,
        total_s=args.total_time,
        disk_bytes=parse_size(args.max_disk),
        time_limit_s=args.time_limit,
        workers=0 if args.scheduler else args.workers or usual_workers(),
        scheduler=args.scheduler,
    )


def usual_workers() -> int:
    """Return how many targets this machine can play at a time: one a processor, as far as memory reaches."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), memory // MEMORY_EACH))


def _directory(
    args: argparse.Namespace, workspace: Workspace, options: Options, cancel: SignalEvent
) -> tuple[Path, bool]:
    """Return the directory of the campaign that is to be carried out, and whether it is a new one."""
    if args.resume is not None:
        if args.files or args.rootfs or args.new:
            raise TriageError("--resume goes on with the targets of a campaign: name no others")
        directory = campaign_dir(workspace.root, args.resume)
        _go_on(directory, options)
        return directory, False
    if not args.files and not args.rootfs:
        raise TriageError("nothing to run: name a file of targets, or root file systems with --rootfs DIR")
    compared = campaign_dir(workspace.root, args.compare_with).name if args.compare_with else ""
    from triage_tui.cli.campaign_listing import gathered

    targets = gathered(_paths(args.files), _paths(args.rootfs), cancel).targets
    directory_ = None if args.new else beginning.interrupted(workspace, targets, options)
    if directory_ is not None:
        say(f"going on with campaign {directory_.name}, which was cut short (--new begins another)")
        _go_on(directory_, options)
        return directory_, False
    other, shared = ("", 0) if args.new else beginning.overlapping(workspace, targets)
    if other:
        say(
            f"this is a new campaign; {other} was cut short and has {number_of(shared, 'target')} of these"
            f" {len(targets)}: --resume {other} goes on with that"
        )
    given = [os.path.abspath(name) for name in (*args.files, *args.rootfs)]
    return beginning.begin(workspace, targets, options, given, compared), True


def _go_on(directory: Path, options: Options) -> None:
    if stays := beginning.go_on(directory, options):
        say(f"what decides outcomes stays as this campaign began: {stays} (--new begins another)")


def _paths(names: list[str]) -> list[Path]:
    return [Path(name) for name in names]


def _opened(
    args: argparse.Namespace, options: Options, campaign: str, cancel: SignalEvent
) -> Callable[[], Cluster]:
    """Return what connects to the workers; Dask is imported there."""

    def embedded() -> Cluster:
        from triage_tui.campaign import cluster

        say(f"{number_of(options.workers, 'worker')} on this machine")
        return cluster.embedded(options.workers, campaign)

    def connected() -> Cluster:
        from triage_tui.campaign import cluster

        say(f"connecting to {args.scheduler}")
        tls = cluster.Tls(args.tls_ca_file, args.tls_cert, args.tls_key)
        return cluster.connected(args.scheduler, tls, campaign, cancel)

    return connected if args.scheduler else embedded


class _Printer:
    """Prints what happens to targets, a line each."""

    def __init__(self, state: CampaignState, as_json: bool) -> None:
        self._state, self._as_json = state, as_json
        self._targets = len(state.targets)
        self._done = sum(state.outcome(target.target) is not None for target in state.targets)
        self._began = _now()
        self._taken: list[float] = []

    def taken(self) -> list[float]:
        return self._taken

    def counts(self) -> dict[str, int]:
        return self._state.counts()

    def seconds(self) -> float:
        return round(_now() - self._began, 3)

    def tell(self, progress: Progress, target: Target) -> None:
        self._state.last = {**self._state.last, target.target: progress}
        if progress.event in ("finished", "refused", "lost"):
            self._done += 1
        if progress.event == "finished":
            self._taken.append(progress.seconds)
        with suppress(BrokenPipeError):
            if self._as_json:
                print_json(progress)
            elif progress.event not in ("started", "cancelled"):
                print(f"[{self._done}/{self._targets}] {in_words(progress, target)}", flush=True)


def _now() -> float:
    import time

    return time.monotonic()


def in_words(progress: Progress, target: Target) -> str:
    """Return what happened to a target on one line, safe to show."""
    name = f"{target.name} ({target.group})" if target.group else target.name
    outcome = progress.outcome
    if outcome is None:
        return safe_line(f"{name}: {progress.event}: {progress.error}", 400)
    parts = [outcome.word]
    if outcome.cause:
        parts.append(f"{outcome.cause} {outcome.confidence:.2f}")
    if outcome.rung is not None:
        parts.append(rung_in_words(outcome.rung))
    parts += [number_of(outcome.rounds, "round"), f"{progress.seconds:.1f} s"]
    return safe_line(f"{name}: {', '.join(parts)}", 400)


def _finish(directory: Path, ended: Ended, cancel: SignalEvent, as_json: bool, seconds: float) -> int:
    """Print how the campaign stands and return the exit code.

    Raises:
        Interrupted: a signal ended it.
    """
    counts = dict(read_campaign(directory).counts())
    code = _exit_code(ended, counts, cancel)
    told = CampaignTold(
        campaign=directory.name,
        dir=str(directory),
        counts=counts,
        ended=ended.says,
        exit_code=code,
        seconds=seconds,
    )
    with suppress(BrokenPipeError):
        if as_json:
            print_json(told)
        else:
            words = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
            print(safe_line(f"campaign {directory.name}: {words}"))
            say(f"ended: {ended.says}")
            say(f"`triage-tui campaign report {directory.name}` says what came of it")
        sys.stdout.flush()
    silence_broken()
    if cancel.is_set():
        raise Interrupted(cancel.number or signal.SIGINT)
    return code


def _exit_code(ended: Ended, counts: dict[str, int], cancel: SignalEvent) -> int:
    match ended.how:
        case "cancelled":
            return SIGNALLED + (cancel.number or signal.SIGINT)
        case "limit":
            return PERSON
        case "disk" | "scheduler":
            return REFUSED
        case _:
            return DONE if set(counts) <= {"finished"} else NO
