"""Read everything the panes show of one run, in a worker thread, into one value that no longer touches disk.

Reads are bounded, and a part that cannot be read becomes one sentence instead of an error. Only whole regions
of kept memory stay on the disk: they may be gigabytes, and are read page by page (`kept_memory`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from triage_tui.errors import Stopped, TriageError
from triage_tui.rulebook import manifest
from triage_tui.rulebook.active import active_directory
from triage_tui.rulebook.hunks import Difference
from triage_tui.rulebook.shown import caveats as caveats_of
from triage_tui.rulebook.shown import line_text
from triage_tui.runs.diagnosis_model import Diagnosis, Proposal
from triage_tui.runs.events import Event, holder_alive, read_events
from triage_tui.runs.evidence import Resolved, resolve
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.listing import RunSummary
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.runs.printed_text import printed_text
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.rounds import ladder
from triage_tui.runs.secrets import masked
from triage_tui.text import number_of, safe_block, safe_line, safe_name
from triage_tui.ui.highlight import assembly_lines, c_lines, lua_lines
from triage_tui.ui.rows import Part

if TYPE_CHECKING:
    from triage_tui.binary.sfanalysis import SfAnalysis
    from triage_tui.rulebook.audit import Audit
    from triage_tui.ui.log_rows import ShownLine
    from triage_tui.ui.memory_fields import Explanation
    from triage_tui.ui.panes.registers import ThreadPointers

MAX_CODE_BYTES = 1 << 20
MAX_OBJECTS = 256
MAX_OBJECT_BYTES = 1 << 20
MAX_LOG_BYTES = 1 << 20
MAX_CITED = 50
"""Pieces of evidence for a hypothesis, and against it, that are looked up at once."""
MAX_PRINTED_LINES, MAX_PRINTED_LINE = 40, 1000
"""Lines of what one call printed, and characters of each."""
MAX_RELATED = 200
"""Other runs of the target whose events are read."""
MAX_RULE_LINES = 4000


@dataclass(frozen=True)
class CodeText:
    """The code of one frame: its lines, safe to show, and whether it is pseudocode."""

    lines: list[str]
    parts: list[tuple[Part, ...]] = field(default_factory=list)
    """The same lines in colours."""
    pseudocode: bool = False
    provenance: str = ""
    """Where it comes from, in words."""
    problem: str = ""
    raw: str = ""
    """The text as it was read, for evidence that cites it; never shown."""


@dataclass(frozen=True)
class RuleText:
    """One proposed rule file against the active rule whose place it would take, or why it cannot be shown."""

    name: str
    difference: Difference | None = None
    old_parts: tuple[tuple[Part, ...], ...] = ()
    """The lines of the active text as they are shown, in colours."""
    new_parts: tuple[tuple[Part, ...], ...] = ()
    """The same of the proposed text."""
    caveats: tuple[str, ...] = ()
    """In what it is not shown exactly."""
    problem: str = ""
    old_cells: tuple[int, ...] = ()
    new_cells: tuple[int, ...] = ()
    """Cells of the lines of both texts, as `hunk_rows.cells_of` counts them."""

    @property
    def text(self) -> str:
        """The proposed text; bytes that are no UTF-8 are surrogates in it (PEP 383)."""
        return self.difference.new.decode("utf-8", "surrogateescape") if self.difference else ""

    @property
    def replaces(self) -> bool:
        """Whether an active rule is replaced; otherwise the rule is new."""
        return self.difference is not None and self.difference.old is not None


@dataclass(frozen=True)
class MemoryText:
    """One memory object and its bytes, at most `MAX_OBJECT_BYTES` of them."""

    entry: MemoryObject
    data: bytes = b""
    problem: str = ""


def _no_audit() -> Audit:
    from triage_tui.rulebook.audit import Audit

    return Audit()


@dataclass
class RunView:
    """All that is shown of one run."""

    run: Run
    calls: list[Syscall]
    waiting: bool
    code: dict[int, list[CodeText]] = field(default_factory=dict)
    """Frame to its code from each source that has it, best first; never an empty list."""
    memory: list[MemoryText] = field(default_factory=list)
    explanations: list[Explanation] = field(default_factory=list)
    """What the bytes of each of these mean."""
    rules: dict[str, RuleText] = field(default_factory=dict)
    generation: str | None = None
    """Name of the active rule generation of the target, None when no rule is active."""
    logs: dict[str, list[str]] = field(default_factory=dict)
    """Log name (without "logs/") to safe lines."""
    log_notes: dict[str, str] = field(default_factory=dict)
    """Log name to a sentence that says what of it was not read."""
    printed: dict[int, list[str]] = field(default_factory=dict)
    """Number of a call to the lines that it printed, safe to show."""
    printed_why: str = ""
    """Why nothing is known of who printed what, in words; "" when something is."""
    retry_log: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    """Environment of the process that is looked at, as "NAME=value"; values that look like secrets masked."""
    rounds: list[RunSummary] = field(default_factory=list)
    """The rounds of its target, this one among them, the first one first; none when it is the only one."""
    audit: Audit = field(default_factory=_no_audit)
    """Who decided what on the runs of this target."""
    _found: dict[str, Resolved] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    """Content of `verdict.json`: how this run compares with the one it retries."""

    leads: ThreadPointers | None = None
    """Where the registers of the frozen thread point to, once somebody has followed them."""

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self.run.run_id

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot."""
        return self.run.snapshot

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis, when there is one."""
        return self.run.diagnosis

    @property
    def proposals(self) -> list[Proposal]:
        """The proposals, best hypothesis first; empty when there is no diagnosis."""
        return self.diagnosis.proposals if self.diagnosis else []

    @property
    def events(self) -> list[Event]:
        """What happened to the run."""
        return self.run.events

    @property
    def name(self) -> str:
        """Short, safe name of the program."""
        return safe_line(self.snapshot.target.program.rsplit("/", 1)[-1] or "?", 60)

    @cached_property
    def call_names(self) -> frozenset[str]:
        """The names of the calls that were made."""
        return frozenset(call.name for call in self.calls)

    @cached_property
    def call_places(self) -> frozenset[int]:
        """The addresses behind the instructions that made calls, as far as they are known."""
        return frozenset(call.pc for call in self.calls if call.pc is not None)

    @cached_property
    def shown_lines(self) -> dict[str, list[ShownLine]]:
        """The lines of each log that are shown."""
        from triage_tui.ui.log_rows import shown_lines

        return shown_lines(self)

    def resolve(self, link: str) -> Resolved:
        """Return what a link points to, as it was when this was first asked."""
        if (found := self._found.get(link)) is None:
            found = self._found[link] = resolve(self.run, link)
        return found

    def frame(self, index: int) -> Frame | None:
        """Return the frame with number `index`."""
        return next((frame for frame in self.snapshot.backtrace.frames if frame.idx == index), None)


def load_view(
    run_dir: Path,
    workspace: Path,
    analysis: SfAnalysis | None = None,
    related: Sequence[str] = (),
    unwanted: threading.Event | None = None,
) -> RunView:
    """Read the run in `run_dir`; `analysis` is a further source of code, better than the recorded ones.

    `related` are names of other runs of its target, for the audit trail. With `unwanted` set it is read no
    further than to the end of the part that is being read.

    Raises:
        Stopped: it was not wanted any more.
        TriageError: it is no run, or not yet one.
    """

    def go_on() -> None:
        if unwanted is not None and unwanted.is_set():
            raise Stopped(f"run {run_dir.name} was not read to its end")

    go_on()
    run = load_run(run_dir)
    go_on()
    view = RunView(run=run, calls=run.trace(), waiting=holder_alive(run.events))
    if analysis is not None:
        _take_analysis(view, analysis)
    for read in (
        _read_code,
        _read_memory,
        partial(_read_rules, workspace=workspace),
        _read_logs,
        _read_printed,
        _read_verdict,
        _read_environment,
        _read_rounds,
        partial(_read_audit, workspace=workspace, related=related),
        _explain,
        _look_up_evidence,
    ):
        go_on()
        read(view)
    return view


def _read_rounds(view: RunView) -> None:
    view.rounds = ladder(view.run)


def _explain(view: RunView) -> None:
    from triage_tui.ui.memory_fields import explanations_of

    view.explanations = explanations_of(view)


def _look_up_evidence(view: RunView) -> None:
    """Know what the diagnosis cites, the calls by number, name and place, and the logs before a view asks."""
    view.run.syscall(0)
    _ = view.call_names, view.call_places, view.shown_lines
    for hypothesis in view.diagnosis.hypotheses if view.diagnosis else ():
        for evidence in (*hypothesis.evidence[:MAX_CITED], *hypothesis.contrary[:MAX_CITED]):
            view.resolve(evidence.link)


def _read_audit(view: RunView, workspace: Path, related: Sequence[str]) -> None:
    from triage_tui.rulebook.audit import audit

    names = dict.fromkeys([*(one.run_id for one in view.rounds), *related])
    names.pop(view.run_id, None)
    runs_dir = view.run.dir.parent
    others = [(runs_dir / name, read_events(runs_dir / name)[0]) for name in list(names)[-MAX_RELATED:]]
    target = view.snapshot.target.target_id
    rulebook = workspace / "rulebook" / safe_name(target) if target else None
    try:
        view.audit = audit([*others, (view.run.dir, view.events)], rulebook, view.run_id)
    except (TriageError, OSError) as error:
        view.run.problems.append(f"the history of this target cannot be read: {safe_line(str(error), 200)}")


def _read_code(view: RunView) -> None:
    for entry in view.snapshot.backtrace.pseudocode_index[:256]:
        try:
            text = view.run.text_file(entry.file, MAX_CODE_BYTES)
            lines = _lines(text)
            colour = c_lines if entry.kind == "pseudocode" else assembly_lines
            where = safe_line(entry.provenance or entry.kind, 60)
            code = CodeText(lines, colour(lines), entry.kind == "pseudocode", where, raw=text)
        except TriageError as error:
            code = CodeText([], problem=str(error))
        view.code.setdefault(entry.frame, []).append(code)


def _take_analysis(view: RunView, analysis: SfAnalysis) -> None:
    from triage_tui.retry.frame_code import from_results

    for frame in view.snapshot.backtrace.frames[:256]:
        try:
            found = from_results(frame, analysis)
        except TriageError as error:
            view.code.setdefault(frame.idx, []).append(CodeText([], problem=str(error)))
            continue
        if found is not None:
            lines = _lines(found.text[:MAX_CODE_BYTES])
            code = CodeText(lines, c_lines(lines), True, found.provenance)
            view.code.setdefault(frame.idx, []).append(code)


def _read_memory(view: RunView) -> None:
    for entry in view.snapshot.memory[:MAX_OBJECTS]:
        if entry.blob is None:
            why = f"no bytes: {safe_line(entry.blob_err, 200)}" if entry.blob_err else "no bytes were kept"
            view.memory.append(MemoryText(entry, problem=why))
            continue
        try:
            data = view.run.memory_bytes(entry.id)
            cut = f"only the first {MAX_OBJECT_BYTES} of {len(data)} bytes are shown"
            view.memory.append(
                MemoryText(entry, data[:MAX_OBJECT_BYTES], cut if len(data) > MAX_OBJECT_BYTES else "")
            )
        except TriageError as error:
            view.memory.append(MemoryText(entry, problem=str(error)))


def _read_environment(view: RunView) -> None:
    try:
        known = view.run.environments()
    except TriageError:
        return
    pid = next((entry.pid for entry in view.snapshot.processes if entry.looked_at), -1)
    view.environment = [masked(entry) for entry in known.get(pid, [])[:512]]


def _read_rules(view: RunView, workspace: Path) -> None:
    # Only here: the import is made in the thread that reads.
    from triage_tui.retry import proposed
    from triage_tui.ui.hunk_rows import cells_of

    active, trouble = None, ""
    directory = active_directory(workspace, view.snapshot.target.target_id)
    view.generation = directory.name if directory else None
    if directory is not None:
        try:
            active = manifest.load(directory)
        except TriageError as error:
            trouble = f"the active rules cannot be read, so this is shown as new: {error}"
    names = list(
        dict.fromkeys(
            [name for proposal in view.proposals for name in proposal.files] + view.run.patch_files()
        )
    )
    for name in names[:256]:
        try:
            found = proposed.difference(view.run.dir, name, active)
        except TriageError as error:
            view.rules[name] = RuleText(name, problem=str(error))
            continue
        longest = max(len(found.old_lines), len(found.new_lines))
        if longest > MAX_RULE_LINES:
            why = f"the rule has {longest} lines, more than the {MAX_RULE_LINES} that are shown for review"
            view.rules[name] = RuleText(name, problem=why)
            continue
        caveats = (*([trouble] if trouble else []), *caveats_of(found.new))
        old, new = _rule_parts(found.old_lines), _rule_parts(found.new_lines)
        cells = tuple(map(cells_of, old)), tuple(map(cells_of, new))
        view.rules[name] = RuleText(name, found, old, new, caveats, "", *cells)


def _rule_parts(lines: Sequence[bytes]) -> tuple[tuple[Part, ...], ...]:
    return tuple(lua_lines([line_text(line) for line in lines])) if lines else ()


def _read_logs(view: RunView) -> None:
    directory = view.run.dir / "logs"
    names = []
    if directory.is_dir() and not directory.is_symlink():
        names = sorted(path.name for path in directory.iterdir() if path.is_file())[:16]
    for name in names:
        try:
            text = view.run.text_file(f"logs/{name}", MAX_LOG_BYTES)
            size = (directory / name).stat().st_size
            if size > MAX_LOG_BYTES:
                view.log_notes[name] = f"only the first {MAX_LOG_BYTES} of {size} bytes were read"
        except TriageError as error:
            text = str(error)
        except OSError:
            continue
        view.logs[name] = _lines(text)
    try:
        log = view.run.text_file("retry.log", MAX_LOG_BYTES, tail=True)
    except TriageError:
        return
    view.retry_log = _lines(log)


def _read_printed(view: RunView) -> None:
    found = printed_text(view.run, view.calls)
    view.printed = {seq: _printed_lines(text) for seq, text in found.texts.items()}
    view.printed_why = found.why


def _printed_lines(text: bytes) -> list[str]:
    """Return printed bytes as lines; what is too much is counted."""
    pieces = text.removesuffix(b"\n").split(b"\n")
    lines = [safe_line(piece.removesuffix(b"\r"), MAX_PRINTED_LINE) for piece in pieces[:MAX_PRINTED_LINES]]
    if (more := len(pieces) - MAX_PRINTED_LINES) > 0:
        lines.append(f"… {number_of(more, 'more line is', 'more lines are')} in the log of the process pane")
    return lines


def _read_verdict(view: RunView) -> None:
    try:
        data = msgspec.json.decode(view.run.text_file("verdict.json", MAX_LOG_BYTES))
    except (TriageError, msgspec.DecodeError, RecursionError):
        return
    if isinstance(data, dict):
        view.verdict = data


def _lines(text: str) -> list[str]:
    return safe_block(text.removesuffix("\n"), max_lines=20_000).split("\n") if text else []
