"""What recorded runs say about a rule: how many of their calls it would have been for.

The header's `match` is what a rule is declared for, and recorded calls are held against it. A rule without
one is run in the rule host over the recorded calls, with the arguments that were recorded and without the
memory behind them: what it would do is then known only where it did not have to look into that memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.explain import parse_match
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import Endian, GuestCall, IfreqField, Limits, PeerMode, StandIn
from triage_tui.runs.listing import run_dirs, summarize
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run

MAX_RUNS = 200
MAX_SECONDS = 20.0
MAX_ASKED = 2000
"""Calls of one run at which a rule without a match is asked."""
MAX_KEPT = 64
"""Calls that are kept by their numbers, to go to them."""

_BIG_ENDIAN = (
    "mips",
    "mips64",
    "mipsn32",
    "ppc",
    "ppc64",
    "armeb",
    "aarch64_be",
    "s390x",
    "sparc",
    "sparc64",
    "sparc32plus",
    "m68k",
    "sh4eb",
    "hppa",
    "or1k",
    "xtensaeb",
    "microblaze",
)
_WORD_8 = (
    "x86_64",
    "aarch64",
    "aarch64_be",
    "mips64",
    "mips64el",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390x",
    "sparc64",
    "alpha",
    "loongarch64",
    "hppa64",
)


@dataclass(frozen=True)
class Matched:
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


@dataclass(frozen=True)
class OtherRuns:
    """The same for other runs of the workspace; `left` runs were not looked at, for the reason `why`."""

    found: tuple[Matched, ...] = ()
    left: int = 0
    why: str = ""


def matched_in(
    run_id: str, arch: str, calls: Iterable[Syscall], name: str, source: bytes, *, run_it: bool = False
) -> Matched | None:
    """Return what a rule called `name` would have been for among the calls of one run.

    A rule whose match does not tell is run only with `run_it`; without, the result is None: a rule that was
    not approved is not executed before a person asks for it.

    Raises:
        TriageError: it is no rule, or it is to be run and the rule host cannot be started.
    """
    rule = rulefile.to_source(name, source)
    match = parse_match(rulefile.parse(source).header.match)
    told = match is not None and match.syscall == rule.syscall
    if not told and not run_it:
        return None
    own = [call for call in calls if call.name.lower() == rule.syscall]
    if match is None or not told:
        return _asked(run_id, arch, own, rule.syscall, name, source)
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


# A rule without a match


def _asked(run_id: str, arch: str, calls: list[Syscall], syscall: str, name: str, source: bytes) -> Matched:
    """Run the rule over recorded calls and count those at which it acted."""
    access = _RecordedAccess(arch)
    seqs: list[int] = []
    matched = unclear = 0
    usable = [call for call in calls if call.args][:MAX_ASKED]
    with RuleHost([rulefile.to_source(name, source)], access, Limits(fixed_clock=True)) as host:
        for call in usable:
            access.begin(call)
            guest_call = GuestCall(syscall, call.num, tuple(call.args))
            answer = host.call(guest_call)
            if answer.after and call.ret is not None:
                answer = host.returned(guest_call, call.ret)
            if answer.rule is not None:
                matched += 1
                seqs.append(call.seq)
            elif access.blind or answer.error:
                unclear += 1
    unclear += len(calls) - len(usable)
    return Matched(
        run_id,
        len(calls),
        matched,
        unclear,
        tuple(seqs[:MAX_KEPT]),
        "by running it over the recorded calls, because its header names no fields of calls",
        "it wanted memory that is not recorded, or the call has no recorded arguments" if unclear else "",
    )


class _RecordedAccess:
    """A guest that is only a recorded call: paths and socket names can be read, changes go nowhere."""

    def __init__(self, arch: str) -> None:
        self.endian: Endian = "big" if arch in _BIG_ENDIAN else "little"
        self.word = 8 if arch in _WORD_8 else 4
        self.blind = False
        self._strings: dict[int, bytes] = {}
        self._interface: bytes | None = None

    def begin(self, call: Syscall) -> None:
        """Stand for this call."""
        self.blind = False
        self._interface = call.interface.encode("utf-8", "surrogateescape") if call.interface else None
        self._strings = {}
        if call.path is None:
            return
        for value, text in zip(call.args, call.arguments, strict=False):
            if text.startswith('"') and call.path in text:
                path = call.path.encode("utf-8", "surrogateescape")
                self._strings[value & ((1 << 8 * self.word) - 1)] = path + b"\0"

    def errno_number(self, name: str) -> int | None:
        """Numbers as most ports have them: what a rule answers is not looked at here."""
        import errno

        value = getattr(errno, name, None)
        return value if isinstance(value, int) else None

    def read_bytes(self, address: int, size: int) -> bytes:
        """Return what is recorded; zeros behind the end of a string."""
        for start, data in self._strings.items():
            if start <= address < start + len(data):
                return data[address - start :].ljust(size, b"\0")[:size]
        self.blind = True
        raise OSError(14, "not recorded")

    def write_bytes(self, address: int, data: bytes) -> None:
        """Pretend."""

    def read_registers(self) -> Mapping[str, int]:
        """Say that none is known."""
        self.blind = True
        return {}

    def write_register(self, name: str, value: int) -> int:
        """Pretend."""
        return 0

    def set_argument(self, index: int, value: int) -> int:
        """Pretend."""
        return 0

    def mkdir_p(self, path: bytes, mode: int) -> int:
        """Pretend."""
        return 0

    def provide_file(self, path: bytes, content: bytes, mode: int) -> int:
        """Pretend."""
        return 0

    def open_bytes(self, content: bytes, cloexec: bool) -> int:
        """Pretend."""
        return 1000

    def open_host(self, path: bytes, flags: int, mode: int) -> int:
        """Pretend."""
        return 1000

    def ifreq_name(self, address: int) -> bytes:
        """Return the interface of the recorded call."""
        if self._interface is None:
            self.blind = True
            raise OSError(14, "not recorded")
        return self._interface

    def ifreq_set(self, address: int, field: IfreqField, value: int | bytes) -> int:
        """Pretend."""
        return 0

    def connect_peer(self, fd: int, mode: PeerMode) -> int:
        """Pretend."""
        return 0

    def start_probe(self, address: str, timeout: float, payload: bytes) -> int:
        """Send nothing."""
        return 0

    def socket_stub(self, kind: StandIn, flags: int) -> int:
        """Pretend."""
        return 1000

    def resolve_address(self, address: int) -> Mapping[str, int | str] | None:
        """Say that nothing is known."""
        self.blind = True
        return None


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
