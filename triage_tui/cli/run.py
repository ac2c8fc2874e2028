"""`triage-tui run`: run a program under supervision until it exits or spins, and explain why."""

from __future__ import annotations

import argparse
import os
import sys

from triage_tui.cli.metrics_option import add_metrics_argument, check_metrics, metrics_of_run
from triage_tui.cli.output import say
from triage_tui.cli.rounds import add_round_arguments, cancelled_by_signals, finish, round_limits
from triage_tui.cli.triggers import add_trigger_arguments, probes, trigger_limits
from triage_tui.cli.ui import open_app, require_terminal
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.emulator.qemu import find_qemu
from triage_tui.guest.spec import resolve_target
from triage_tui.retry.background import spawn_detached
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.guests import launch_spec
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.sfemu_rules import published_start
from triage_tui.retry.start import RULE_BUDGETS, SfemuRules, Start
from triage_tui.retry.workspace import ENVIRONMENT_VARIABLE, Workspace
from triage_tui.sfemu.analysis_results import RESULTS_VARIABLE
from triage_tui.sfemu.rules_dir import TRUST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_round_arguments(parser)
    parser.add_argument(
        "--ui", action="store_true", help="run it in the background and open the app (a person decides)"
    )
    parser.add_argument("--rootfs", metavar="DIR", help="root file system; PROGRAM is then a path inside it")
    parser.add_argument(
        "--cwd", default="/", metavar="DIR", help="working directory inside the root (default /)"
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="environment of the guest (repeatable)",
    )
    parser.add_argument("--user", type=int, default=0, metavar="UID", help="user id of the guest (default 0)")
    parser.add_argument(
        "--interface",
        action="append",
        default=[],
        metavar="NAME",
        help="network interface of the guest besides lo: up, with 192.168.N.1/24, no peer (repeatable)",
    )
    parser.add_argument(
        "--argv0", metavar="NAME", help="what the program sees as its own name (default: PROGRAM)"
    )
    parser.add_argument(
        "--stdin", default="null", metavar="WHAT", help="null (default), open, or a file of the host"
    )
    parser.add_argument(
        "--qemu-arg", action="append", default=[], metavar="ARG", help="option for QEMU, as --qemu-arg=-cpu"
    )
    parser.add_argument(
        "--memory",
        choices=("small", "full"),
        default="small",
        help="small (default): keep the pieces of memory that explain a stop; full: keep all of it",
    )
    parser.add_argument(
        "--observe",
        choices=("full", "watched"),
        default="full",
        help="full: every syscall (default); watched: only those that rules may hook, at QEMU's own speed",
    )
    parser.add_argument(
        "--exec",
        dest="exec_policy",
        choices=("emulate", "refuse"),
        default="emulate",
        help="programs that the guest executes run under their emulator (default), or are refused as by a "
        "kernel without binfmt_misc: ENOEXEC",
    )
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help="take a checkpoint at each stop, where that can be, for `retry --from checkpoint`",
    )
    parser.add_argument(
        "--full-trace",
        action="store_true",
        help="keep every syscall, compressed, in the run record (`show --section full-trace`)",
    )
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="FILE",
        help="a log (console, syslog, dmesg) to put beside each stop, lined up by time or content"
        " (repeatable)",
    )
    parser.add_argument(
        "--max-processes",
        type=int,
        default=256,
        metavar="N",
        help="most processes and threads of the guest, QEMU's own included (default 256)",
    )
    parser.add_argument(
        "--allow-root", action="store_true", help="run as root even if the guest cannot be confined"
    )
    parser.add_argument(
        "--carrier",
        choices=("auto", "notify", "trace"),
        default="",
        help="how calls are held: by seccomp notification, or by ptrace; auto takes what works",
    )
    parser.add_argument(
        "--sfanalysis", metavar="DIR", help="SFAnalysis results of the firmware: names and pseudocode"
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NAME",
        help="let the guest make a call that containment refuses, as --allow ptrace (repeatable, recorded)",
    )
    parser.add_argument(
        "--rule-budget",
        action="append",
        default=[],
        metavar="NAME=N",
        help=f"most that one rule may use: {', '.join(RULE_BUDGETS)} (repeatable)",
    )
    parser.add_argument(
        "--rule-failure",
        choices=("open", "closed"),
        default="",
        help="where a rule fails: open lets the call go on, closed answers it with EPERM (default: the "
        "rule's own word, else open)",
    )
    add_sfemu_arguments(parser)
    add_trigger_arguments(parser)
    add_metrics_argument(parser)
    parser.add_argument("program", metavar="PROGRAM", help="program to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="its arguments")


def add_sfemu_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what a rule directory of SFEmu is run with."""
    parser.add_argument(
        "--sfemu-rules",
        metavar="DIR",
        help="run a whole rule directory of SFEmu (entry.lua, finish.lua, plugins) in place of our rules; "
        "needs --trust",
    )
    parser.add_argument("--trust", action="store_true", help=f"trust the rule directory: {TRUST}")
    parser.add_argument(
        "--sfemu-idle-ms",
        type=int,
        default=5000,
        metavar="MS",
        help="time without a call after which its idle() is called, 0 for never (default 5000)",
    )
    parser.add_argument(
        "--sfemu-keep",
        type=int,
        default=256,
        metavar="N",
        help="files of calls that its Lua keeps (default 256)",
    )
    parser.add_argument(
        "--sfemu-stack", action="store_true", help="look for the call stack when its Lua asks (slow)"
    )


def _sfemu_rules(args: argparse.Namespace) -> SfemuRules | None:
    """Return the rule directory that was named.

    Raises:
        TriageError: it is not trusted, or one is trusted that was not named.
    """
    if args.sfemu_rules is None:
        if args.trust:
            raise TriageError("--trust says that a rule directory is trusted: name it with --sfemu-rules DIR")
        return None
    if not args.trust:
        raise TriageError(
            f"a rule directory of SFEmu is a program: say --trust to run {args.sfemu_rules[:200]!r}, which "
            f"means that {TRUST}"
        )
    return SfemuRules(
        directory=os.path.abspath(args.sfemu_rules),
        idle_ms=args.sfemu_idle_ms,
        keep=args.sfemu_keep,
        shadow_stack=args.sfemu_stack,
    )


def run(args: argparse.Namespace) -> int:
    """Run the rounds and print them."""
    try:
        return _run(args)
    except TriageError as error:
        if args.rootfs is None and any(word.split("=")[0] == "--rootfs" for word in args.arguments):
            raise TriageError(
                f"{error} (--rootfs stands behind the program here and is an argument of the program: "
                "put it in front)"
            ) from error
        raise


def _run(args: argparse.Namespace) -> int:
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    for entry in args.env:
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise TriageError(f"--env takes NAME=VALUE, not {entry[:60]!r}")
        env[name] = value
    if args.full_trace and args.observe != "full":
        raise TriageError("a full trace needs every syscall: leave out --observe watched")
    # A retry may come from another directory.
    results = args.sfanalysis or os.environ.get(RESULTS_VARIABLE)
    start = Start(
        program=args.program if args.rootfs is not None else os.path.abspath(args.program),
        argv=[args.program if args.argv0 is None else args.argv0, *args.arguments],
        rootfs=os.path.abspath(args.rootfs) if args.rootfs is not None else None,
        cwd=args.cwd,
        env=env,
        stdin=args.stdin if args.stdin in ("null", "open") else os.path.abspath(args.stdin),
        user=args.user,
        interfaces=args.interface,
        qemu_args=args.qemu_arg,
        triggers=trigger_limits(args),
        probes=probes(args),
        probing=not args.no_probe,
        memory=args.memory,
        allow_root=args.allow_root,
        observe=args.observe,
        exec_policy=args.exec_policy,
        full_trace=args.full_trace,
        checkpoint=args.checkpoint,
        logs=[os.path.abspath(name) for name in args.log],
        max_processes=args.max_processes,
        carrier=args.carrier,
        sfanalysis=os.path.abspath(results) if results else None,
        allow=args.allow,
        rule_budget=_budgets(args.rule_budget),
        rule_failure=args.rule_failure,
        sfemu=_sfemu_rules(args),
    )
    # Its records lie beside those of SFEmu itself, where nothing else is named.
    place = args.workspace or (None if ENVIRONMENT_VARIABLE in os.environ else args.sfemu_rules)
    workspace = Workspace.at(place, made=True)
    start, told = published_start(start, workspace)
    if told:
        say(told)
    if args.ui:
        check_metrics(args.metrics)
        return _run_with_app(workspace, start)
    for name in start.logs:
        if not os.path.exists(name):
            say(f"the log {name} is not there now; it is read each time the guest is frozen")
    limits = round_limits(args)
    freeze = FreezeSwitch()
    with (
        metrics_of_run(args.metrics, workspace.runs_dir, limits.capture.disk_bytes),
        cancelled_by_signals(freeze) as cancel,
    ):
        course = run_rounds(
            workspace,
            start,
            policy=args.policy,
            limits=limits,
            narrate=say,
            cancel=cancel,
            freeze=freeze,
            policy_file=args.policy_file,
        )
    return finish(course, cancel, args.json)


def _budgets(entries: list[str]) -> dict[str, int]:
    """Read NAME=N entries.

    Raises:
        TriageError: an entry has no number.
    """
    found: dict[str, int] = {}
    for entry in entries:
        name, _, amount = entry.partition("=")
        if not amount.isdecimal() or len(amount) > 12:
            raise TriageError(f"--rule-budget takes NAME=N, not {entry[:60]!r}")
        found[name] = int(amount)
    return found


def _run_with_app(workspace: Workspace, start: Start) -> int:
    """Leave the guest to a process of its own, which holds it also after the app, and open the app."""
    require_terminal()
    # What is wrong with the program is said here, not in the log of a process that nobody sees.
    target, _ = resolve_target(launch_spec(start))
    find_qemu(by_name(target.arch))
    command = [sys.executable, "-m", "triage_tui", *sys.argv[1:]]
    command.remove("--ui")
    log = workspace.root / "logs" / "run.log"
    before = frozenset(path.name for path in workspace.runs_dir.glob("*"))
    spawn_detached(command, log)
    return open_app(workspace, runs_before=before)
