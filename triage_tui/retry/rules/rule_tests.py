"""Try rules on recorded runs: which calls would be answered otherwise, and whether that is expected."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.resources import recorded_runs, shipped
from triage_tui.retry.rules.named_rules import NamedRule
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.check.replay import Outcome, Replay, replay
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.runs.listing import run_dirs, summarize
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.record import Record
from triage_tui.text import few, safe_line

MAX_RUNS = 400
MAX_SECONDS = 120.0
MAX_EXPECTATIONS = 1 << 20
"""Bytes of a file of expectations."""


class Recording(msgspec.Struct, frozen=True):
    """A recorded run or case on which rules are tried. `name` is what it is called by in expectations."""

    name: str
    arch: str
    title: str
    calls: list[Syscall]


class Expected(Record):
    """What a rule is expected to do in one run; what is not named is not looked at."""

    run: str
    """Name of the run or case, as `rules test` prints it."""
    rule: str = ""
    """Id of the rule in its header; "" for every rule that is tried."""
    acts: int | list[int] | None = None
    """At how many calls it acts, or the numbers of these calls."""
    answers: dict[int, int | str] = {}
    """Call number to the result that the guest would get, a number or the name of an error."""


class Expectations(Record):
    """A file of expectations."""

    expect: list[Expected]
    schema: int = 1


class Tried(msgspec.Struct, frozen=True):
    """A rule tried on one run, and in what that is not as expected."""

    rule: NamedRule
    recording: str
    title: str
    replay: Replay
    unmet: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the rule broke nothing and did what was expected."""
        return not self.unmet and not self.replay.broken


def recordings(
    workspace: Workspace, runs: Sequence[str], kinds: Sequence[str], tell: Callable[[str], None]
) -> Iterator[Recording]:
    """Yield the runs that are named, or else all of some kinds: "workspace", "shipped", "cases".

    What cannot be read is told and left out, unless it was named.
    """
    if runs:
        for name in runs:
            yield _of_run(_place_of(workspace, name))
        return
    places: list[Path] = []
    if "workspace" in kinds:
        places += run_dirs(workspace.runs_dir)
    if "shipped" in kinds:
        places += recorded_runs()
    if "cases" in kinds:
        places += sorted((shipped("rules") / "cases").glob("*.json"))
    for place in places[:MAX_RUNS]:
        try:
            yield _of_case(place) if place.suffix == ".json" else _of_run(place)
        except TriageError as error:
            tell(f"left out: {safe_line(place.name, 60)}: {error}")
    if len(places) > MAX_RUNS:
        tell(f"only the first {MAX_RUNS} of {len(places)} runs were looked at")


def recording_for(workspace: Workspace, rule: NamedRule) -> Recording:
    """Return the run at whose calls a rule is best looked at: its own, one of its target, any other.

    Raises:
        TriageError: there is none.
    """
    places = [workspace.run_dir(rule.run_id)] if rule.run_id else []
    others = run_dirs(workspace.runs_dir)
    if rule.target_id:
        # A sort keeps the order of those that are alike: the newest stay in front.
        others.sort(key=lambda place: summarize(place).target_id != rule.target_id)
    for place in [*places, *others, *recorded_runs()][:MAX_RUNS]:
        with contextlib.suppress(TriageError):
            found = _of_run(place)
            if any(call.name.lower() in rule.syscalls for call in found.calls):
                return found
    if rule.kind == "plugin":
        asked = safe_line(", ".join(sorted(rule.syscalls)), 200)
        raise TriageError(f"no recorded run has a call that this plugin is asked about ({asked})")
    raise TriageError(f"no recorded run has a call of {safe_line(rule.syscall or rule.file, 60)!r}")


def _place_of(workspace: Workspace, name: str) -> Path:
    for place in (*recorded_runs(), shipped("rules") / "cases" / f"{name}.json"):
        if name in (place.name, place.stem) and place.exists() and "/" not in name:
            return place
    if Path(name).suffix == ".json" and Path(name).is_file():
        return Path(name)
    return workspace.run_dir(name)


def _of_run(directory: Path) -> Recording:
    if directory.suffix == ".json":
        return _of_case(directory)
    run = load_run(directory)
    target = run.snapshot.target
    title = safe_line(" ".join(target.argv) or target.program, 60)
    return Recording(run.run_id, target.arch, title, run.trace())


def _of_case(path: Path) -> Recording:
    from triage_tui.diagnosis.knowledge_base.cases import load_case

    case = load_case(path)
    return Recording(path.stem, case.snapshot.target.arch, safe_line(case.title, 60), case.calls)


def try_rules(
    rules: Sequence[NamedRule],
    found: Iterator[Recording],
    expected: Sequence[Expected],
    tell: Callable[[str], None],
) -> Iterator[Tried]:
    """Yield each rule tried on each run that has calls of its syscall; at most `MAX_SECONDS` seconds.

    Raises:
        TriageError: a name is not that of a rule, or the rule host cannot be started.
    """
    latest = time.monotonic() + MAX_SECONDS
    met: set[int] = set()
    for recording in found:
        names = {call.name.lower() for call in recording.calls}
        for rule in rules:
            wanted = [
                (number, one)
                for number, one in enumerate(expected)
                if one.run == recording.name and one.rule in ("", _id_of(rule))
            ]
            if rule.syscalls and not rule.syscalls & names and not wanted:
                continue
            if time.monotonic() > latest:
                tell(f"{MAX_SECONDS:g} seconds were over: name fewer rules, or runs with --run")
                return
            done = replay(recording.name, recording.arch, recording.calls, rule.file, rule.source)
            unmet = [text for _, one in wanted for text in _unmet(one, done)]
            met |= {number for number, _ in wanted}
            yield Tried(rule, recording.name, recording.title, done, tuple(unmet))
    for number, one in enumerate(expected):
        if number not in met:
            name = safe_line(one.run, 60)
            raise TriageError(f"something is expected of {name!r}, which is none of the runs that were tried")


def _id_of(rule: NamedRule) -> str:
    from triage_tui.rulebook import rulefile

    return rulefile.parse(rule.source).header.id


def _unmet(expected: Expected, done: Replay) -> Iterator[str]:
    acted = [one.seq for one in done.acted]
    if isinstance(expected.acts, int) and expected.acts != len(acted):
        yield f"acts at {len(acted)} calls, {expected.acts} expected"
    elif isinstance(expected.acts, list) and sorted(expected.acts) != acted:
        yield f"acts at calls {few(acted)}, {few(sorted(expected.acts))} expected"
    outcomes = {one.seq: one for one in done.outcomes}
    for seq, wanted in sorted(expected.answers.items()):
        outcome = outcomes.get(seq)
        if outcome is None:
            yield f"call {seq} is none at which the rule is asked, {wanted} expected"
        elif wanted not in (outcome.ret, outcome.errno) or not outcome.answers:
            yield f"call {seq} gets {_answer(outcome)}, {safe_line(str(wanted), 40)} expected"


def _answer(outcome: Outcome) -> str:
    return (outcome.errno or str(outcome.ret)) if outcome.answers else "no answer"


def read_expectations(path: Path) -> list[Expected]:
    """Read a file of expectations.

    Raises:
        TriageError: it cannot be read, or is none.
    """
    data = read_bounded(path, MAX_EXPECTATIONS, whole=True)
    try:
        found = msgspec.yaml.decode(data, type=Expectations)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TriageError(
            f"{safe_line(str(path))} holds no expectations: {safe_line(str(error), 200)}"
        ) from None
    if found.schema != 1:
        raise TriageError(f"{safe_line(str(path))} has schema {found.schema}, only 1 is known")
    return found.expect


def save_expectations(path: Path, tried: Sequence[Tried]) -> None:
    """Write what rules did as what is expected of them."""
    expect = [
        Expected(
            run=one.recording,
            rule=_id_of(one.rule),
            acts=[outcome.seq for outcome in one.replay.acted],
            answers=one.replay.answers,
        )
        for one in tried
    ]
    write_atomic(path, msgspec.yaml.encode(Expectations(expect)))
