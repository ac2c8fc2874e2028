"""What each rule did in each run, and whether that helped: kept beside the rulebook, without the runs too.

    rulebook/.statistics/<target id>.jsonl      one `RunUse` a line, the oldest first

A rule is known by the SHA-256 of its file: an edited rule is another one. A line is written when the run is
judged, by appending it under flock(2): a program that is killed leaves at most half a line, which the next
one removes. A run counts once, with the last line that there is of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.events import VERDICTS
from triage_tui.runs.files import read_bounded, refuse_link, sync_directory, write_all
from triage_tui.runs.model import RuleHit
from triage_tui.runs.reader import Run
from triage_tui.runs.record import Record
from triage_tui.runs.verdict_model import Verdict
from triage_tui.text import safe_line, safe_name

STATISTICS_DIR = ".statistics"
"""In the rulebook; no target's directory can begin with a dot."""
MAX_BYTES = 64 << 20
"""What is read of one target's lines: the newest."""
MAX_RULES = 1024
"""Rules of one run that are counted."""
HELPED = frozenset(("progressed", "resolved"))
HURT = frozenset(("regressed",))
"""Verdicts that are put down to the rules that acted and were new in the run."""


class RuleUse(Record):
    """What one rule did in one run, since the stop before it. Times are microseconds that the guest waits."""

    rule: str
    sha256: str
    """Of the rule file."""
    syscall: str = ""
    layer: str = ""
    """Whose rule it was: `own`, `target` or `shared`."""
    template: str = ""
    """What it was made from, "" for a rule of no template."""
    fresh: bool = False
    """Not active in the run that this one is judged against."""
    calls: int = 0
    """How often it was asked."""
    matches: int = 0
    """Of these, how often it did or logged something."""
    hits: int = 0
    """Of these, how often it changed something or answered the call."""
    errors: int = 0
    skipped: int = 0
    time_us: int = 0
    time_max_us: int = 0
    state: str = "active"


class RunUse(Record):
    """The rules of one run and what it came to. `wall` is when it was recorded, local time with zone."""

    run: str
    wall: str
    generation: int = 0
    before: str = ""
    """The run that it was judged against, "" for a first one."""
    verdict: str = ""
    how: str = ""
    """`retry` or `resume`; "" for a first run."""
    died: bool = False
    """It was ended by a signal, and the run that it was judged against was not."""
    rules: list[RuleUse] = []
    target: str = ""
    """From the name of the file that the line stands in."""


class RuleTotals(msgspec.Struct):
    """What one rule did in all runs that were judged. Times are microseconds."""

    sha256: str
    rule: str = ""
    """The id of its header."""
    syscall: str = ""
    calls: int = 0
    matches: int = 0
    hits: int = 0
    errors: int = 0
    skipped: int = 0
    time_us: int = 0
    time_max_us: int = 0
    last_used: str = ""
    """When it was last asked, local time with zone; "" for never."""
    runs: int = 0
    """Runs in which it was active."""
    helped: int = 0
    """Runs that got further or became well, in which it acted and was new."""
    hurt: int = 0
    """Runs that were judged worse, in which it acted and was new."""
    targets: list[str] = msgspec.field(default_factory=list)
    layers: list[str] = msgspec.field(default_factory=list)


def statistics_path(rulebook: Path, target: str) -> Path:
    """Return where the lines of a target lie."""
    return rulebook / STATISTICS_DIR / f"{safe_name(target)}.jsonl"


def use_of(run: Run, before: Run | None = None, verdict: Verdict | None = None) -> RunUse:
    """Return what the rules of a run did, and what it came to against the run that it was judged against."""
    resumed = verdict is not None and verdict.how == "resume"
    earlier = {_key(hit): hit for hit in before.snapshot.rule_hits} if before is not None else {}
    return RunUse(
        run=run.run_id,
        wall=run.snapshot.created_at,
        generation=run.snapshot.engine.generation,
        before=before.run_id if before is not None else "",
        verdict=verdict.word if verdict is not None else "",
        how=verdict.how if verdict is not None else "",
        died=before is not None and run.snapshot.reason == "signal" and before.snapshot.reason != "signal",
        rules=[
            _rule_use(hit, earlier.get(_key(hit)), resumed)
            for hit in run.snapshot.rule_hits[:MAX_RULES]
            if hit.sha256
        ],
    )


def _key(hit: RuleHit) -> tuple[str, str, str]:
    return hit.rule, hit.syscall, hit.sha256


def _rule_use(hit: RuleHit, past: RuleHit | None, resumed: bool) -> RuleUse:
    """Return the account of one rule; a guest that was resumed goes on counting, so the past is taken off."""
    off = past if past is not None and resumed else RuleHit(rule=hit.rule, hits=0)

    def since(name: str) -> int:
        return max(0, int(getattr(hit, name)) - int(getattr(off, name)))

    return RuleUse(
        rule=hit.rule,
        sha256=hit.sha256,
        syscall=hit.syscall,
        layer=hit.layer,
        template=hit.template,
        fresh=past is None,
        calls=since("calls"),
        matches=since("matches"),
        hits=since("hits"),
        errors=since("errors"),
        skipped=since("skipped"),
        time_us=since("time_total_us"),
        time_max_us=hit.time_max_us,
        state=hit.state,
    )


def count(rulebook: Path, target: str, use: RunUse) -> bool:
    """Write down what the rules of a run did, durably; False where the very same is there already.

    Raises:
        TriageError: it cannot be written.
    """
    path = statistics_path(rulebook, target)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    refuse_link(rulebook, path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, flags, 0o644)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise TriageError(f"{safe_line(str(path))} is no regular file, so nothing was counted")
            fcntl.flock(handle, fcntl.LOCK_EX)
            return _append(handle, path, use)
        finally:
            os.close(handle)
    except OSError as error:
        shown = safe_line(str(path))
        raise TriageError(f"{shown} cannot be written: {error.strerror or error}") from error


def _append(handle: int, path: Path, use: RunUse) -> bool:
    line = encode_line(msgspec.structs.replace(use, target=""))
    size = os.fstat(handle).st_size
    start = max(0, size - MAX_BYTES)
    raw = os.pread(handle, MAX_BYTES, start)
    if line in raw.split(b"\n"):
        return False
    whole = start + raw.rfind(b"\n") + 1
    try:
        if whole != size:
            os.ftruncate(handle, whole)  # Half a line, of a program that was killed.
        write_all(handle, line + b"\n")
        os.fsync(handle)
        sync_directory(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, whole)
        raise
    return True


def targets(rulebook: Path) -> list[str]:
    """Return the targets of which something was counted, sorted."""
    directory = rulebook / STATISTICS_DIR
    if directory.is_symlink():
        return []  # In a workspace from elsewhere it may lead anywhere.
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl"))


def uses(rulebook: Path, target: str = "") -> list[RunUse]:
    """Return what was counted for a target, or for all of them, the oldest first; each run once.

    A line that cannot be read is passed over.

    Raises:
        TriageError: the file is there and cannot be read.
    """
    found: dict[tuple[str, str], RunUse] = {}
    for name in [safe_name(target)] if target else targets(rulebook):
        path = statistics_path(rulebook, name)
        if path.parent.is_symlink() or not os.path.lexists(path):
            continue
        lines = read_bounded(path, MAX_BYTES, tail=True).split(b"\n")
        # What follows the last line end is half a line, or is still being written.
        for line in lines[:-1]:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                use = _decoder.decode(line)
                use.target = name
                # The last line counts, at its own place.
                found.pop((name, use.run), None)
                found[name, use.run] = use
    return list(found.values())


_decoder = msgspec.json.Decoder(RunUse)


def totals(lines: Iterable[RunUse]) -> dict[str, RuleTotals]:
    """Return what each rule did in these runs, by the SHA-256 of its file."""
    found: dict[str, RuleTotals] = {}
    for use in lines:
        seen: set[str] = set()
        for rule in use.rules:
            total = found.setdefault(rule.sha256, RuleTotals(rule.sha256))
            _add(total, use, rule, first=rule.sha256 not in seen)
            seen.add(rule.sha256)
    return found


def _add(total: RuleTotals, use: RunUse, rule: RuleUse, *, first: bool) -> None:
    total.rule, total.syscall = rule.rule, rule.syscall
    for name in ("calls", "matches", "hits", "errors", "skipped", "time_us"):
        setattr(total, name, getattr(total, name) + max(0, getattr(rule, name)))
    total.time_max_us = max(total.time_max_us, rule.time_max_us)
    if rule.calls or rule.hits:
        total.last_used = max(total.last_used, use.wall, key=_instant)
    if not first:
        return
    total.runs += 1
    acted = rule.fresh and rule.hits > 0 and use.verdict in VERDICTS
    total.helped += acted and use.verdict in HELPED
    total.hurt += acted and use.verdict in HURT
    for values, value in ((total.targets, use.target), (total.layers, rule.layer)):
        if value and value not in values:
            values.append(value)


def _instant(wall: str) -> float:
    try:
        return datetime.fromisoformat(wall).timestamp()
    except (ValueError, OverflowError, OSError):
        return float("-inf")
