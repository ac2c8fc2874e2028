"""What recorded runs say about a rule: how many of their calls it would have been for.

The header's `match` is what a rule is declared for, and recorded calls are held against it. A rule without
one is run in the rule host over the recorded calls, with the arguments that were recorded and without the
memory behind them: what it would do is then known only where it did not have to look into that memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.explain import Match, parse_match
from triage_tui.rulebook.check.replay import replay
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.plugins.configuration import OPENS, Claim
from triage_tui.runs.listing import run_dirs, summarize
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run
from triage_tui.text import safe_line

MAX_RUNS = 200
MAX_SECONDS = 20.0
MANY = 8
"""Recorded calls of a syscall from which on a rule can be too broad."""
MAX_KEPT = 64
"""Calls that are kept by their numbers, to go to them."""


class Matched(msgspec.Struct, frozen=True):
    """How many calls of one run a rule would have been for.

    `calls` is how many calls of its syscall there are, `matched` how many of them it would have been for, and
    `unclear` how many cannot be told. `seqs` are the numbers of the first matched calls.
    """

    run_id: str
    calls: int = 0
    matched: int = 0
    unclear: int = 0
    seqs: tuple[int, ...] = ()
    how: str = "by the match of its header"
    caveat: str = ""


class OtherRuns(msgspec.Struct, frozen=True):
    """The same for other runs of the workspace; `left` runs were not looked at, for the reason `why`."""

    found: tuple[Matched, ...] = ()
    left: int = 0
    why: str = ""


def is_broad(matched: int, calls: int) -> bool:
    """Tell whether a rule that is for `matched` of the recorded calls of its syscall is for too many."""
    return calls >= MANY and 2 * matched > calls


def matched_in(
    run_id: str, arch: str, calls: Iterable[Syscall], name: str, source: bytes, *, run_it: bool = False
) -> Matched | None:
    """Return what a rule called `name` would have been for among the calls of one run.

    None for a setting of the start, which is for no call. A rule whose match does not tell is run only with
    `run_it`; without, the result is None: a rule that was
    not approved is not executed before a person asks for it.

    Raises:
        TriageError: it is no rule, or it is to be run and the rule host cannot be started.
    """
    if kind_of(name) == "start":
        return None
    rule = rulefile.to_source(name, source)
    if rule.syscall.startswith(rulefile.PLUGIN):
        return _claimed(run_id, calls, rule.syscall.removeprefix(rulefile.PLUGIN), source, rule.syscalls)
    match = parse_match(rulefile.parse(source).header.match)
    told = match is not None and match.syscall == rule.syscall
    if not told and not run_it:
        return None
    own = [call for call in calls if call.name.lower() in rule.syscalls]
    if match is None or not told:
        return _asked(run_id, arch, own, name, source)
    held = [(match.holds(call), call.seq) for call in own]
    found = [seq for holds, seq in held if holds]
    unclear = sum(holds is None for holds, _ in held)
    left_out = f"{', '.join(match.unknown)} is not recorded, so it was left out" if match.unknown else ""
    caveat = left_out or ("the record does not say of each call what the match names" if unclear else "")
    return Matched(run_id, len(own), len(found), unclear, tuple(found[:MAX_KEPT]), caveat=caveat)


def other_runs(
    runs_dir: Path,
    run_id: str,
    target_id: str,
    name: str,
    source: bytes,
    cancel: threading.Event,
    tell: Callable[[int, int], None],
) -> OtherRuns:
    """Hold a rule against the other runs of a workspace, those of its target first.

    `tell` is called with how many runs were looked at, and of how many. At most `MAX_RUNS` runs and
    `MAX_SECONDS` seconds; runs that cannot be read are passed over and counted as left.
    """
    latest = time.monotonic() + MAX_SECONDS
    paths = [path for path in run_dirs(runs_dir) if path.name != run_id]
    chosen = _same_target_first(paths, target_id, cancel, time.monotonic() + MAX_SECONDS / 4)[:MAX_RUNS]
    found: list[Matched] = []
    unread, why = 0, ""
    done = 0
    for done, path in enumerate(chosen):
        if cancel.is_set() or time.monotonic() > latest:
            why = "it was stopped" if cancel.is_set() else f"{MAX_SECONDS:g} seconds were over"
            break
        tell(done, len(chosen))
        try:
            matched = _in_run(path, name, source)
        except TriageError:
            unread += 1
        else:
            found += [matched] if matched is not None else []
    else:
        done = len(chosen)
    left = len(paths) - done + unread
    if not why and left:
        why = "they cannot be read" if unread == left else f"only the first {MAX_RUNS} were taken"
    return OtherRuns(tuple(found), left, why)


def _same_target_first(
    paths: list[Path], target_id: str, cancel: threading.Event, latest: float
) -> list[Path]:
    """Return the runs, those of the target first, the newest first among these and among the others."""
    same: list[Path] = []
    others: list[Path] = []
    for number, path in enumerate(paths):
        if cancel.is_set() or time.monotonic() > latest:
            others += paths[number:]
            break
        (same if summarize(path).target_id == target_id else others).append(path)
    return same + others


def _in_run(directory: Path, name: str, source: bytes) -> Matched | None:
    run = load_run(directory)
    return matched_in(run.run_id, run.snapshot.target.arch, run.trace(), name, source, run_it=True)


def _claimed(
    run_id: str, calls: Iterable[Syscall], plugin: str, source: bytes, syscalls: Collection[str]
) -> Matched:
    """Count the calls at which a plugin with this configuration acts."""
    from triage_tui.rulebook.plugins.reading import read_plugin

    claims = read_plugin(plugin, source).configuration.claims()
    own = [call for call in calls if call.name.lower() in syscalls]
    opened = {
        safe_line(call.path, 200)
        for call in own
        if call.path is not None and call.name.lower() in OPENS and not call.errno
    }
    held = [(_is_one_of(claims, call, opened), call.seq) for call in own]
    found = [seq for holds, seq in held if holds]
    unclear = sum(holds is None for holds, _ in held)
    how = "by what its configuration names"
    caveat = "the record does not say of each call what it is about" if unclear else ""
    return Matched(run_id, len(own), len(found), unclear, tuple(found[:MAX_KEPT]), how=how, caveat=caveat)


def _is_one_of(claims: list[Claim], call: Syscall, opened: Collection[str]) -> bool | None:
    found = {_is_claimed(claim, call, opened) for claim in claims}
    return True if True in found else None if None in found else False


def _is_claimed(claim: Claim, call: Syscall, opened: Collection[str]) -> bool | None:
    """Tell whether a recorded call is one of a claim, None where the record does not say it.

    A call about a descriptor is about none of the files that were not `opened`.
    """
    name = call.name.lower()
    if name not in claim.calls:
        return False
    match = Match(name, dict(claim.fields))
    holds = match.holds(call)
    if holds is None and "path" in claim.fields and claim.fields["path"] not in opened:
        return False
    if holds and match.unknown:
        return None
    if holds and claim.first:
        return call.arguments[0] in claim.first if call.arguments else None
    return holds


# A rule without a match


def _asked(run_id: str, arch: str, calls: list[Syscall], name: str, source: bytes) -> Matched:
    """Run the rule over recorded calls and count those at which it acted."""
    found = replay(run_id, arch, calls, name, source, unlimited=True)
    unclear = len(calls) - len(found.outcomes)
    unclear += sum(bool(one.unclear or one.problems) and not one.acts for one in found.outcomes)
    seqs = [one.seq for one in found.acted]
    return Matched(
        run_id,
        len(calls),
        len(seqs),
        unclear,
        tuple(seqs[:MAX_KEPT]),
        "by running it over the recorded calls, because its header names no fields of calls",
        "it wanted memory that is not recorded, or the call has no recorded arguments" if unclear else "",
    )


def in_words(this: Matched, syscall: str) -> str:
    """Return what this run says about a rule, in one sentence."""
    told = f"would have matched {this.matched} of {this.calls} recorded {syscall} calls in this run"
    if this.calls == 0:
        told = f"this run has no recorded {syscall} call"
    if this.unclear:
        told += f", and {this.unclear} cannot be told"
    return told


def others_in_words(others: OtherRuns) -> str:
    """Return what other runs say about a rule, in one sentence."""
    runs = len(others.found)
    if not runs:
        told = "no other run was looked at"
    else:
        matched, calls = sum(one.matched for one in others.found), sum(one.calls for one in others.found)
        told = f"{matched} of {calls} in {runs} other run{'s' * (runs != 1)}"
        if unclear := sum(one.unclear for one in others.found):
            told += f", and {unclear} cannot be told"
    return f"{told}; {others.left} left out: {others.why}" if others.left else told


def runs_matched(others: OtherRuns) -> Iterator[Matched]:
    """Yield the other runs with a matched call."""
    return (one for one in others.found if one.matched)
