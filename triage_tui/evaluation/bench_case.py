"""Run one case end to end without a person, and say how far the rules got it.

The loop runs under the automatic policy, offline. Then the rounds whose rules were not taken back are held
against the criterion of the case; where that needs a client, the program is started once more with the rules
that were found and asked. What the case says of its own cure is never used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.diagnosis.report import DOUBT
from triage_tui.errors import TriageError
from triage_tui.evaluation.capture import HANG_S, Engine, prepared, run_command, time_limit
from triage_tui.evaluation.client import command as client_command
from triage_tui.evaluation.corpus import Case
from triage_tui.evaluation.product import run_product
from triage_tui.evaluation.success import mistake_in, unmet
from triage_tui.runs.reader import Run, load_run

ROUNDS = 6
"""Most rounds of one case."""
ROUND_TRIP_S = 60.0
"""How long a round may take besides its time limit: capture, diagnosis, the decision."""
_UNDONE = ("sideways", "regressed")
_GOT_FURTHER = ("progressed", "resolved")
_NEEDS_A_PERSON = ("content", "part", "person")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one case."""

    id: str
    arch: str
    cause: str
    remedy: str
    healthy: bool
    fixable: bool
    stretch: bool
    """A rule could help, but stock tools could not try it."""
    problem: str = ""
    """Why it could not be run, "" when it was."""
    answer: str = ""
    """Cause that the first round was diagnosed with."""
    diagnosed_right: bool = False
    explained: bool = False
    """It was called healthy, or a cause was named with more than doubt."""
    proposed_right: bool = False
    """A rule got it further; or, where only a person can help, what is to be supplied or decided was named
    for the right cause and nothing was called resolved; or, where nothing is to be done, nothing was."""
    approved: list[str] = []
    """Titles of the proposals that the policy approved and did not take back."""
    taken_back: list[str] = []
    verdicts: list[str] = []
    progressed: bool = False
    reached: bool = False
    unmet: list[str] = []
    """The parts of the criterion that are not met."""
    masked: list[str] = []
    touched: bool = False
    """A rule was approved on a program that is healthy."""
    rounds: int = 0
    seconds: float = 0.0
    """From the start to the last verdict; without the preparation and the client at the end."""


def labelled(case: Case, **told: Any) -> Outcome:
    """Return an outcome with the label of its case."""
    return Outcome(
        id=case.id,
        arch=case.arch,
        cause=case.cause,
        remedy=case.remedy,
        healthy=case.healthy,
        fixable=case.fixable,
        stretch=case.remedy == "rule" and not case.verified,
        **told,
    )


def play(case: Case, engine: Engine, cancel: threading.Event) -> Outcome:
    """Prepare a case, run the loop on it, and judge how far it got.

    Raises:
        TriageError: it cannot be prepared or run, its criterion cannot be read, or `cancel` was set.
    """
    success = case.success or {}
    mistake = mistake_in(success)
    if mistake:
        raise TriageError(mistake)
    limit = ROUNDS * (time_limit(case) + ROUND_TRIP_S) + HANG_S
    with prepared(case) as (root, workspace, stdin):
        command = run_command(case, root, workspace, stdin, rounds=ROUNDS, options=["--full-trace"])
        started = time.monotonic()
        told = run_product(command, engine.emulators, limit, cancel)
        seconds = time.monotonic() - started
        rounds = told["rounds"]
        runs = workspace / "ai_runs"
        kept = [entry for entry in rounds if _word(entry) not in _UNDONE] or rounds[:1]
        if success.get("probe"):
            last, answered = _ask(case, root, workspace, stdin, engine, cancel)
            missing = unmet(success, last, answered)
        else:
            # Rules that got it past the criterion have also got it there; without any it shows nothing.
            checked = [unmet(success, load_run(runs / entry["run_id"]), None) for entry in kept[1:] or kept]
            missing = [] if [] in checked else checked[-1]
        if not success:
            missing = ["the case has no criterion"]
        return _judged(case, rounds, runs, missing, seconds)


def _ask(
    case: Case, root: Path, workspace: Path, stdin: Path, engine: Engine, cancel: threading.Event
) -> tuple[Run, bool]:
    """Start the program once more with the rules that were found, and let the case's client ask it.

    Where the case has no client, whatever it listens on is asked, as the product does by itself.
    """
    probe = (case.fix or {}).get("probe")
    options = ["--full-trace"]
    if isinstance(probe, Mapping):
        options += ["--probe", f"cmd:{client_command(probe, str(root))}"]
    command = run_command(case, root, workspace, stdin, options=options)
    told = run_product(command, engine.emulators, time_limit(case) + HANG_S, cancel)
    run = load_run(workspace / "ai_runs" / told["rounds"][-1]["run_id"])
    return run, any(probe.outcome == "answered" for probe in run.snapshot.probes)


def _word(entry: Mapping[str, Any]) -> str:
    return str((entry.get("verdict") or {}).get("word", ""))


def _judged(
    case: Case, rounds: list[dict[str, Any]], runs: Path, missing: list[str], seconds: float
) -> Outcome:
    """Put together what the rounds of a course and the check of its criterion say."""
    diagnosis = rounds[0].get("diagnosis") or {}
    first: Mapping[str, Any] = next(iter(diagnosis.get("hypotheses") or []), {})
    answer, sure = str(first.get("cause", "")), float(first.get("confidence", 0.0))
    healthy = bool(diagnosis.get("healthy"))
    words = [_word(entry) for entry in rounds[1:]]
    approved = [str(entry["approved"]) for entry in rounds if entry.get("approved")]
    before = [str(entry["approved_before"]) for entry in rounds if entry.get("approved_before")]
    progressed = any(word in _GOT_FURTHER for word in words)
    named = healthy or any(_leaves_to_a_person(case, runs / str(entry["run_id"])) for entry in rounds)
    if case.remedy in _NEEDS_A_PERSON:
        proposed = named and "resolved" not in words
    elif case.remedy == "rule":
        proposed = progressed
    else:
        proposed = not approved and not before
    return labelled(
        case,
        answer=answer,
        diagnosed_right=answer in case.right and sure >= DOUBT,
        explained=healthy or (answer not in ("", "unknown") and sure >= DOUBT),
        proposed_right=proposed,
        approved=approved,
        taken_back=[title for title in before if title not in approved],
        verdicts=words,
        progressed=progressed,
        reached=not missing,
        unmet=missing,
        masked=(rounds[-1].get("verdict") or {}).get("masked", [])[:20],
        touched=case.healthy and bool(before or approved),
        rounds=len(rounds),
        seconds=round(seconds, 2),
    )


def _leaves_to_a_person(case: Case, run_dir: Path) -> bool:
    """Tell whether a run names, for a right cause, what a person must supply or decide.

    That is a proposal which needs something filled in, or one of high risk, which no policy approves.
    """
    diagnosis = load_run(run_dir).diagnosis
    if diagnosis is None:
        return False
    right = {index for index, one in enumerate(diagnosis.hypotheses) if one.cause in case.right}
    return any(
        proposal.hypothesis in right
        and not proposal.observe_only
        and (proposal.needs_input or proposal.risk == "high")
        for proposal in diagnosis.proposals
    )
