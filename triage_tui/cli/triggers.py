"""The options that say when a guest is to be frozen, and how its service is asked."""

from __future__ import annotations

import argparse

from triage_tui.errors import TriageError
from triage_tui.guest.freezing.triggers import SWITCHABLE, TriggerLimits, parse_call_trigger
from triage_tui.retry.probe import check, parse_question

_DEFAULT = TriggerLimits()
STABLE_S = 2.0
"""How long a service that answered twice must go on, where nobody agreed on another time."""


def _number(group: argparse._ArgumentGroup, name: str, default: float, metavar: str, text: str) -> None:
    kind = int if isinstance(default, int) else float
    group.add_argument(
        name, type=kind, default=default, metavar=metavar, help=f"{text} (default {default:g})"
    )


def add_trigger_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("when to freeze it (docs/triggers.md)")
    _number(group, "--idle", _DEFAULT.idle_s, "SECONDS", "no syscall for so long is a stop")
    _number(group, "--time-limit", _DEFAULT.time_limit_s, "SECONDS", "longest round")
    _number(group, "--loop-repeats", _DEFAULT.loop_repeats, "N", "rounds that make a loop")
    _number(group, "--loop-calls", _DEFAULT.loop_calls, "N", "calls that these rounds have at least")
    _number(group, "--loop-span", _DEFAULT.loop_span_s, "SECONDS", "time within which they happen")
    _number(group, "--loop-period", _DEFAULT.max_period, "N", "longest sequence of a round, in calls")
    _number(group, "--sleep-repeats", _DEFAULT.sleep_repeats, "N", "rounds that make a loop that sleeps")
    _number(group, "--sleep-span", _DEFAULT.sleep_span_s, "SECONDS", "time within which they happen")
    _number(group, "--grace", _DEFAULT.grace_s, "SECONDS", "how long a loop or an idle state must last")
    _number(
        group,
        "--stable",
        STABLE_S,
        "SECONDS",
        "how long a service that answered twice must go on to be stable",
    )
    group.add_argument(
        "--stop-on",
        action="append",
        default=[],
        metavar="CALL[:ERRNO[:PATTERN]]",
        help="freeze at this syscall, or when it fails with ERRNO, as openat:ENOENT:/etc/* (repeatable)",
    )
    group.add_argument(
        "--no-stop",
        action="append",
        default=[],
        choices=SWITCHABLE,
        metavar="TRIGGER",
        help=f"switch a trigger off: {', '.join(SWITCHABLE)} (repeatable)",
    )
    group.add_argument(
        "--probe",
        action="append",
        default=[],
        metavar="PROBE",
        help="ask the service like this before it counts as hung: tcp:PORT, http:PORT/PATH=EXPECTED, "
        "cmd:COMMAND (repeatable; default: whatever it listens on)",
    )
    group.add_argument("--no-probe", action="store_true", help="never ask its service")


def trigger_limits(args: argparse.Namespace) -> TriggerLimits:
    """Return the limits that the options give.

    Raises:
        TriageError: one of them cannot be.
    """
    limits = TriggerLimits(
        idle_s=args.idle,
        time_limit_s=args.time_limit,
        loop_repeats=args.loop_repeats,
        loop_calls=args.loop_calls,
        loop_span_s=args.loop_span,
        max_period=args.loop_period,
        sleep_repeats=args.sleep_repeats,
        sleep_span_s=args.sleep_span,
        grace_s=args.grace,
        stable_s=args.stable,
        calls=tuple(parse_call_trigger(text) for text in args.stop_on),
        off=frozenset(args.no_stop),
    )
    limits.check()
    return limits


def probes(args: argparse.Namespace) -> list[str]:
    """Return the questions that the options name, checked.

    Raises:
        TriageError: one of them is none, or --no-probe contradicts them.
    """
    if args.no_probe and args.probe:
        raise TriageError("--probe and --no-probe contradict each other: leave one out")
    check([parse_question(text) for text in args.probe])
    return list(args.probe)
