"""What the commands that run guests share: options, interruption, and the table at the end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from triage_tui.cli.output import best_cause, print_json, print_table, say
from triage_tui.cli.streams import silence_broken
from triage_tui.errors import Interrupted, TriageError
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.rounds.course import Course, LimitName
from triage_tui.retry.rounds.policy import POLICIES, Limits
from triage_tui.retry.signal_event import SignalEvent as SignalEvent
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.limits import CaptureLimits
from triage_tui.runs.verdict_model import Verdict
from triage_tui.text import safe_line

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_S = 0.5
"""Signals that come within this time are one wish: who hangs up or shuts down often sends several at once."""


def add_round_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a command that runs guests."""
    parser.add_argument(
        "--policy",
        choices=POLICIES,
        default="manual",
        help="manual: a person decides, the guest waits frozen; assist: low-risk rules by the written "
        "policy, the rest by a person; auto: by the written policy alone (docs/retry.md)",
    )
    add_limit_arguments(parser)


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that bound rounds, with no default where one can be kept from before."""
    usual = Limits()
    parser.add_argument(
        "--policy-file", metavar="FILE", help="the written policy (default: see `triage-tui policy show`)"
    )
    for name, kind, default, metavar, text in (
        ("rounds", int, usual.rounds, "N", "most rounds without a person"),
        ("round-time", float, usual.round_s, "SECONDS", "longest round; then the guest is frozen"),
        ("total-time", float, usual.total_s, "SECONDS", "longest all rounds without a person together"),
        ("max-rules", int, usual.rules, "N", "most rule changes without a person"),
        ("max-captures", int, usual.captures, "N", "most runs recorded without a person"),
        ("short-cycle", float, usual.short_s, "SECONDS", "end a retry that only failed as before by then"),
    ):
        shown = f"{default:g}" if default else "no limit"
        parser.add_argument(f"--{name}", type=kind, metavar=metavar, help=f"{text} (default {shown})")
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help="how long a frozen guest waits for a decision (default 0: for ever)",
    )
    for name, metavar, what in (
        ("per-minute", "N", "captures in a minute (default 60)"),
        ("capture-size", "SIZE", "size of one capture (default 4G)"),
        ("disk", "SIZE", "size of all runs (default 64G)"),
    ):
        parser.add_argument(
            f"--max-{name}", metavar=metavar, help=f"most {what}; over it a run is brief and says so; 0: none"
        )
    parser.add_argument("--json", action="store_true", help="end with one JSON object instead of a table")


def round_limits(args: argparse.Namespace, kept: Limits | None = None) -> Limits:
    """Return the limits that the options and the environment set, the others as they were `kept`.

    Raises:
        TriageError: one of them is none.
    """
    given = _given_captures(args)
    limits = msgspec.structs.replace(kept or Limits(), **_given(args))
    if kept is None or any(value is not None for value in given.values()):
        limits = msgspec.structs.replace(limits, capture=CaptureLimits.of(given))
    return limits


def _given_captures(args: argparse.Namespace) -> dict[str, str | None]:
    return {
        "per_minute": args.max_per_minute,
        "capture_bytes": args.max_capture_size,
        "disk_bytes": args.max_disk,
    }


def _given(args: argparse.Namespace) -> dict[str, float]:
    """Return the limits of rounds that were named, by their fields."""
    named = {
        "rounds": args.rounds,
        "round_s": args.round_time,
        "total_s": args.total_time,
        "rules": args.max_rules,
        "captures": args.max_captures,
        "short_s": args.short_cycle,
        "decision_s": args.wait,
    }
    return {field: value for field, value in named.items() if value is not None}


class RoundTold(msgspec.Struct, kw_only=True):
    """One round: the run that it left, and which rule was approved on it, and before it."""

    run_id: str
    reason: str
    diagnosis: Diagnosis | None
    approved: str | None
    approved_before: str | None
    verdict: Verdict | None


class RoundsTold(msgspec.Struct, kw_only=True):
    """What came of the rounds of one start; `over` is the limit at which they stopped, "" for none."""

    ended: str
    over: LimitName
    exit_code: int
    rounds: list[RoundTold]


def _told(course: Course) -> RoundsTold:
    rounds = [
        RoundTold(
            run_id=one.run.run_id,
            reason=one.run.snapshot.reason,
            diagnosis=one.run.diagnosis,
            approved=one.approved,
            approved_before=one.approved_before,
            verdict=one.verdict,
        )
        for one in course.rounds
    ]
    return RoundsTold(ended=course.ended, over=course.over, exit_code=course.exit_code, rounds=rounds)


@contextmanager
def cancelled_by_signals(
    freeze: FreezeSwitch | None = None, *, impatient: bool = False
) -> Iterator[SignalEvent]:
    """Give an event that SIGINT, SIGTERM and SIGHUP set, so that the guest is ended in good order.

    With `freeze`, a person's Ctrl-C at a terminal freezes the guest first; the next one ends it. A guest that
    runs is recorded before it is ended; who sends a second signal does not want to wait for that: it raises
    `Interrupted` wherever the main thread is, and what is being written is removed again. So it does without
    `freeze` where the command is `impatient`: what it waits for may never come.
    """
    cancel = SignalEvent()
    at_terminal = freeze is not None and sys.stdin.isatty() and sys.stderr.isatty()
    terminals = [fd for fd in (1, 2) if os.isatty(fd)]
    first = 0.0

    def on_signal(number: int, _frame: object) -> None:
        nonlocal first
        if number == signal.SIGHUP:
            # Nobody reads there any more, and each write would fail.
            _silence(terminals)
        if number == signal.SIGINT and at_terminal and freeze is not None and freeze.set():
            return
        if not cancel.is_set():
            first, cancel.number = time.monotonic(), number
            cancel.set()
        elif (impatient or freeze is not None) and time.monotonic() - first > _SAME_S:
            for each in previous:
                signal.signal(each, signal.SIG_IGN)
            raise Interrupted(number)

    previous = {number: signal.getsignal(number) for number in _ENDING}
    for number in _ENDING:
        signal.signal(number, on_signal)
    try:
        yield cancel
    except TriageError:
        # "The start was cancelled" and the like: what the person did is no error.
        if cancel.is_set():
            raise Interrupted(cancel.number or signal.SIGINT) from None
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _silence(terminals: list[int]) -> None:
    """Let what is written to a terminal that is gone go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for fd in terminals:
        os.dup2(nowhere, fd)
    os.close(nowhere)


def finish(course: Course, cancel: SignalEvent, as_json: bool) -> int:
    """Print what came of the rounds and return the exit code of its command.

    Raises:
        Interrupted: `cancel` was set, so the command ends by that signal.
    """
    # The runs are recorded: what came of them does not depend on who reads this.
    with suppress(BrokenPipeError):
        print_rounds(course, as_json)
        sys.stdout.flush()
    silence_broken()
    if cancel.is_set():
        raise Interrupted(cancel.number or signal.SIGINT)
    return course.exit_code


def print_rounds(course: Course, as_json: bool) -> None:
    """Print what came of each round."""
    if as_json:
        print_json(_told(course))
        return
    rows = []
    for r in course.rounds:
        rows.append(
            [
                r.run.run_id,
                r.run.snapshot.reason,
                best_cause(r.run.diagnosis),
                r.verdict.word if r.verdict else "-",
                r.approved_before or "-",
            ]
        )
    print_table(["RUN", "STOPPED BY", "CAUSE", "VERDICT", "RULE APPROVED BEFORE"], rows)
    last = course.last_verdict
    for line in last.reasons if last else []:
        print(f"  {safe_line(line, 300)}")
    for line in last.masked if last else []:
        print(f"  masked, not fixed: {safe_line(line, 300)}")
    say(f"ended: {course.ended}")
