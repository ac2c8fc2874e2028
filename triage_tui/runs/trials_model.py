"""The records below `trials/` of a run: what came of running its program again with other rules.

A trial runs in a copy of the workspace that is thrown away: nothing of it is active anywhere, and its runs
are none of the workspace's. What is kept is what it showed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import inside, read_bounded, refuse_link, write_atomic
from triage_tui.runs.record import Record
from triage_tui.runs.verdict_model import Figures, Rung, Verdict
from triage_tui.text import safe_line

TRIALS_DIR = "trials"
MAX_TRIAL_BYTES = 4 << 20
MAX_TRIALS = 1000
TRIALS_SCHEMA_VERSION = 1

_NAME = re.compile(r"(?P<kind>counterfactual|minimise|bisect)-(?P<number>[0-9]{4})\.json")


class CallLine(Record):
    """One call of a future. `same` is its signature: calls of two futures with the same one are the same."""

    seq: int
    text: str
    """The call with its arguments and its result, as the guest made it: raw text."""
    same: str
    rule: str | None = None
    """The rule that answered it or helped with it."""
    answered: bool = False
    """The rule answered it; it was not carried out."""


class Future(Record):
    """How the program goes on with one set of rules."""

    figures: Figures
    ends: str
    """In words that follow "it"."""
    cause: str = ""
    confidence: float = 0.0
    healthy: bool = False
    headline: str = ""
    probes: list[str] = []
    """What its service was asked, and the answers."""
    faked: list[str] = []
    """What rules answered or supplied, one line each."""
    rules: dict[str, str] = {}
    """Path and SHA-256 of the rules of the target that it ran with."""
    started_with: list[str] = []
    """What rules changed of its start."""
    calls: list[CallLine] = []
    """The calls around the first one that differs, of its thread."""
    output: list[str] = []
    """The last lines that it printed."""


class Counterfactual(Record):
    """The same start without and with rules that a run proposes, side by side."""

    run: str
    proposal: str
    """The proposal whose rules they are, "" for files that were named."""
    files: dict[str, str]
    """Name below `rules_patch/` and SHA-256 of the rules that were tried."""
    generation: int
    """The generation of rules that both have, 0 for none."""
    without: Future
    with_rules: Future
    verdict: Verdict
    """The judgement on the future with the rules, against the one without."""
    difference: str
    """The first difference in their calls, one sentence without a final full stop."""
    common: int = 0
    """Calls of the thread with the first difference that both have before it."""
    lost: list[str] = []
    """Signatures of calls that succeeded without the rules and are not made with them."""
    repeats: bool = True
    """Whether the future without the rules ended as the recorded run did."""
    alike: list[str] = []
    """What both had in common, one line each."""
    notes: list[str] = []
    """What limits what was seen, one sentence each."""
    wall: str = ""
    actor: str = ""
    seconds: float = 0.0
    schema_version: int = TRIALS_SCHEMA_VERSION

    @property
    def better(self) -> bool:
        """Whether the rules were seen to get the program further."""
        return self.verdict.word in ("progressed", "resolved")


class Tried(Record):
    """One trial: the rules of the target that it had, and whether it met the criterion."""

    rules: dict[str, str]
    says: str
    held: bool | None
    """None where it came to no result."""
    why: str = ""
    rung: Rung | None = None
    seconds: float = 0.0


Fate = Literal["needed", "narrowed", "not_needed", "untried"]
"""`needed` as it is; `narrowed`: needed, and a narrower text of it is enough; `not_needed`: without it the
program gets as far; `untried`: the time or the runs were over before that was known."""


class RuleFate(Record):
    """What came of one rule of the target."""

    file: str
    rule: str
    sha256: str
    fate: Fate
    why: str = ""
    hits: int = 0
    """Calls at which it acted while all rules were there."""
    narrowed: list[str] = []
    """What was narrowed, one line each."""
    narrowed_sha256: str = ""


class Minimised(Record):
    """Which rules of a target a run needs."""

    run: str
    target: str
    generation: int
    criterion: list[str]
    """What every trial had to reach, one line each."""
    reference: Figures
    rules: list[RuleFate]
    trials: list[Tried]
    complete: bool
    """Whether every rule was tried to the end."""
    ended: str = ""
    """Why it ended before that."""
    proposal: str = ""
    """The proposal of the run that holds the smaller set, "" where nothing is smaller."""
    wall: str = ""
    actor: str = ""
    seconds: float = 0.0
    schema_version: int = TRIALS_SCHEMA_VERSION


class Change(Record):
    """One rule that one generation has and another has not, or has with another text."""

    file: str
    rule: str
    what: Literal["added", "removed", "changed"]


class Bisected(Record):
    """Which change of the rules made a program get less far."""

    run: str
    target: str
    good: int
    """Generation that was good at the beginning, and the bad one below."""
    bad: int
    last_good: int
    first_bad: int
    criterion: list[str]
    guilty: list[Change]
    """The smallest set of changes between those two that makes the difference by itself."""
    why: list[str]
    """What it does, one sentence each."""
    trials: list[Tried]
    complete: bool
    ended: str = ""
    proposal: str = ""
    """The proposal of the run that takes the guilty rules back, "" for none."""
    wall: str = ""
    actor: str = ""
    seconds: float = 0.0
    schema_version: int = TRIALS_SCHEMA_VERSION


_T = TypeVar("_T", Counterfactual, Minimised, Bisected)
_KINDS: dict[type[Record], str] = {
    Counterfactual: "counterfactual",
    Minimised: "minimise",
    Bisected: "bisect",
}


def keep(run_dir: Path, found: Counterfactual | Minimised | Bisected) -> str:
    """Write a record below `trials/` of a run, beside the earlier ones; return its name.

    Raises:
        TriageError: it cannot be written.
    """
    directory = run_dir / TRIALS_DIR
    refuse_link(directory)
    kind = _KINDS[type(found)]
    try:
        directory.mkdir(exist_ok=True)
        number = max(_numbers(run_dir, kind), default=0) + 1
        name = f"{kind}-{number:04}.json"
        write_atomic(directory / name, msgspec.json.format(encode_line(found), indent=1) + b"\n")
    except OSError as error:
        where = safe_line(str(directory))
        raise TriageError(f"{where} cannot be written: {error.strerror or error}") from error
    return f"{TRIALS_DIR}/{name}"


def kept(run_dir: Path, kind: type[_T]) -> list[tuple[str, _T]]:
    """Return the records of one kind of a run with their names, newest first.

    What cannot be read is left out. They may come from elsewhere: their text is raw.
    """
    found = []
    for number in sorted(_numbers(run_dir, _KINDS[kind]), reverse=True):
        name = f"{TRIALS_DIR}/{_KINDS[kind]}-{number:04}.json"
        try:
            raw = read_bounded(inside(run_dir, name), MAX_TRIAL_BYTES, whole=True)
            found.append((name, msgspec.json.decode(raw, type=kind)))
        except (TriageError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return found


def _numbers(run_dir: Path, kind: str) -> list[int]:
    try:
        names = os.listdir(inside(run_dir, TRIALS_DIR))
    except (OSError, TriageError):
        return []
    matched = (_NAME.fullmatch(name) for name in names)
    return sorted(int(one["number"]) for one in matched if one and one["kind"] == kind)[-MAX_TRIALS:]
