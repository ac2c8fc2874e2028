"""Play one target through the loop, in a workspace of its own, and say what came of it.

This runs in a process that plays one target and ends (see `zygote`). The workspace is thrown away, or taken
into that of the campaign (see `taking_in`).
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from pathlib import Path

import msgspec

from triage_tui.campaign.order import Answer, AnswerKind, Order, decode_order, encode
from triage_tui.campaign.outcome import outcome_of
from triage_tui.campaign.place import ANSWER_FILE, GIVEN, MAX_ORDER_BYTES, ORDER_FILE, has_no_room, is_full
from triage_tui.campaign.starting import limits_of, start_of
from triage_tui.diagnosis.report import check_knowledge
from triage_tui.errors import TriageError
from triage_tui.exit_codes import CRASH
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.record import NoRoom
from triage_tui.retry.rounds.course import Course, Terms
from triage_tui.retry.rounds.loop import carry_out
from triage_tui.retry.rounds.policy import written_policy
from triage_tui.retry.rounds.written_policy import shipped_policy
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.rollouts.vouching import believe
from triage_tui.runs.files import can_be_made_again, read_bounded, write_atomic
from triage_tui.text import safe_line

MAX_LOG_BYTES = 1 << 20


_FOR_SOME = (
    "triage_tui.rulebook.check.body_checks",
    "triage_tui.retry.sharing.stable",
    "triage_tui.guest.checkpoint.restoring",
    "triage_tui.guest.checkpoint.taking",
)
"""What single runs import when they come to need it."""


def load() -> None:
    """Load what every target needs, once for all that are played after this."""
    for name in _FOR_SOME:
        importlib.import_module(name)
    with contextlib.suppress(TriageError):
        # Who plays a target says what is wrong with it.
        check_knowledge()


def play(place: Path, cancel: threading.Event) -> None:
    """Play the order of a place and write the answer there, last of all.

    Raises:
        TriageError: there is no order.
        OSError: the answer cannot be written.
    """
    order = decode_order(read_bounded(place / ORDER_FILE, MAX_ORDER_BYTES, whole=True))
    began = time.monotonic()
    answer = _played(order, place, cancel)
    answer.seconds = round(time.monotonic() - began, 3)
    # Its runs are on the disk. Without the answer they are played again, and that is all.
    with can_be_made_again():
        write_atomic(place / ANSWER_FILE, encode(answer))


def _played(order: Order, place: Path, cancel: threading.Event) -> Answer:
    target, options = order.target, order.options
    believe(order.vouched)
    if "stdin" in order.given:
        target = msgspec.structs.replace(target, stdin=str(place / GIVEN / "stdin"))
    if "policy" in order.given:
        options = msgspec.structs.replace(options, policy_file=str(place / GIVEN / "policy"))
    workspace, course = Workspace(place), Course()
    left = MAX_LOG_BYTES

    def tell(text: str) -> None:
        nonlocal left
        line = safe_line(text, 600)
        left -= len(line) + 1
        if left > 0:
            # On a full disk what is told is lost, and nothing else.
            with contextlib.suppress(OSError):
                print(line, flush=True)

    why = ""
    kind: AnswerKind = "finished"
    try:
        policy = options.policy
        # The one of the campaign, whatever the settings of this machine say.
        named = (options.policy_file or shipped_policy()) if policy != "manual" else None
        written = written_policy(workspace, policy, named, tell)
        start = msgspec.structs.replace(start_of(target, options), seed=time.time_ns())
        holds = policy != "manual"
        freeze = FreezeSwitch()
        carry_out(
            Terms(workspace, start, policy, limits_of(options), holds, tell, cancel, freeze, written),
            course,
            None,
        )
    except TriageError as error:
        why = safe_line(str(error), 600)
        kind = _kind(place, error)
    except OSError as error:
        why, kind = f"{error.strerror or error}", "no room" if is_full(error) else "failed"
    if cancel.is_set():
        return Answer(target=target.target, kind="stopped", error="it was stopped")
    if kind == "finished" and has_no_room(place):
        # Its rounds may have ended where one more could not be written.
        why, kind = "the disk is full", "no room"
    if kind != "finished" and (kind == "no room" or not course.rounds):
        return Answer(target=target.target, kind=kind, error=why)
    outcome = outcome_of(course, why)
    return Answer(target=target.target, kind="finished", outcome=outcome, emulators=_emulators(course))


def _kind(place: Path, error: TriageError) -> AnswerKind:
    """Tell whether a target is refused for what it is, or for want of room on the disk."""
    full = isinstance(error, NoRoom) or is_full(error.__cause__) or has_no_room(place)
    return "no room" if full else "refused"


def _emulators(course: Course) -> dict[str, str]:
    found = [one.run.snapshot for one in course.rounds]
    return {one.target.arch: f"{one.engine.emulator} {one.engine.emulator_version}".strip() for one in found}


def crashed(place: Path, error: BaseException) -> int:
    """Write an answer that says of an error of this program; return the exit code."""
    with contextlib.suppress(OSError, TriageError):
        order = decode_order(read_bounded(place / ORDER_FILE, MAX_ORDER_BYTES, whole=True))
        said = f"an error of triage-tui: {type(error).__name__}: {safe_line(str(error), 300)}"
        write_atomic(
            place / ANSWER_FILE, encode(Answer(target=order.target.target, kind="failed", error=said))
        )
    return CRASH
