"""Read everything the panes show of one run, in a worker thread, into one value that no longer touches disk.

Reads are bounded, and a part that cannot be read becomes one sentence instead of an error. Only whole regions
of kept memory stay on the disk: they may be gigabytes, and are read page by page (`kept_memory`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from triage_tui.errors import Stopped, TriageError
from triage_tui.rulebook import manifest
from triage_tui.rulebook.active import active_directory
from triage_tui.rulebook.places import target_directory
from triage_tui.rulebook.shown import caveats as caveats_of
from triage_tui.rulebook.shown import line_text
from triage_tui.runs.added_logs import lined_up, places, read_index, without_colours
from triage_tui.runs.events import holder_alive, read_events
from triage_tui.runs.printed_text import printed_text
from triage_tui.runs.reader import load_run
from triage_tui.runs.rounds import ladder
from triage_tui.runs.secrets import masked
from triage_tui.runs.suspicious_points import read_points
from triage_tui.text import number_of, safe_block, safe_line
from triage_tui.ui import pauses
from triage_tui.ui.highlight import assembly_lines, c_lines, lua_lines
from triage_tui.ui.rows import Part, short
from triage_tui.ui.run_view import CodeText, MemoryText, RuleText, RunView

if TYPE_CHECKING:
    from triage_tui.binary.sfanalysis import SfAnalysis

MAX_CODE_BYTES = 1 << 20
MAX_OBJECTS = 256
MAX_OBJECT_BYTES = 1 << 20
MAX_LOG_BYTES = 1 << 20
MAX_CITED = 50
"""Pieces of evidence for a hypothesis, and against it, that are looked up at once."""
MAX_PRINTED_LINES, MAX_PRINTED_LINE = 40, 1000
"""Lines of what one call printed, and characters of each."""
_MAX_ADDED_LINES = 2000
"""Lines of added logs that stand in the timeline."""
MAX_RELATED = 200
"""Other runs of the target whose events are read."""
MAX_RULE_LINES = 4000


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

    stopped = Stopped(f"run {run_dir.name} was not read to its end")

    def wanted() -> bool:
        return unwanted is None or not unwanted.is_set()

    if not wanted():
        raise stopped
    run = load_run(run_dir)
    if not wanted():
        raise stopped
    calls = run.trace()
    view = RunView(run=run, calls=calls, waiting=holder_alive(run.events))
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
        _count_points,
        partial(_read_audit, workspace=workspace, related=related),
        _explain,
        _look_up_evidence,
    ):
        if not wanted():
            records = list(calls)
            del run, calls, view
            pauses.let_go(records)
            raise stopped
        read(view)
    return view


def _read_rounds(view: RunView) -> None:
    view.rounds = ladder(view.run)


def _count_points(view: RunView) -> None:
    # What is wrong with the file is told where the points are shown.
    with contextlib.suppress(TriageError):
        view.points = len(read_points(view.run).points)


def _explain(view: RunView) -> None:
    from triage_tui.ui.memory_fields import explanations_of

    view.explanations = explanations_of(view)


def _look_up_evidence(view: RunView) -> None:
    """Know what the diagnosis cites, the calls by number, name and place, and the logs before a view asks."""
    view.run.syscall(0)
    _ = view.call_names, view.call_places, view.shown_lines
    for hypothesis in view.diagnosis.hypotheses if view.diagnosis else ():
        opinion = hypothesis.opinion
        more = (*opinion.evidence[:MAX_CITED], *opinion.contrary[:MAX_CITED]) if opinion else ()
        for evidence in (
            *hypothesis.evidence[:MAX_CITED],
            *hypothesis.contrary[:MAX_CITED],
            *hypothesis.below[:MAX_CITED],
            *more,
        ):
            view.resolve(evidence.link)
    for step in view.diagnosis.derivation[:MAX_CITED] if view.diagnosis else ():
        view.resolve(step.link)


def _read_audit(view: RunView, workspace: Path, related: Sequence[str]) -> None:
    from triage_tui.rulebook.audit.trail import audit

    names = dict.fromkeys([*(one.run_id for one in view.rounds), *related])
    names.pop(view.run_id, None)
    runs_dir = view.run.dir.parent
    others = [(runs_dir / name, read_events(runs_dir / name)[0]) for name in list(names)[-MAX_RELATED:]]
    target = view.snapshot.target.target_id
    rulebook = target_directory(workspace / "rulebook", target) if target else None
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
    from triage_tui.binary.load_bias import with_places
    from triage_tui.retry.inspecting.frame_code import from_results

    # Frames without symbols get the names of the results, for as long as they are shown.
    view.snapshot.backtrace.frames = with_places(view.snapshot.backtrace.frames, analysis)
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
    from triage_tui.retry.rules import proposed
    from triage_tui.ui.hunk_rows import cells_of

    active, trouble = None, ""
    directory = active_directory(workspace, view.snapshot.target.target_id)
    view.generation = directory.name if directory else None
    if directory is not None:
        try:
            active = manifest.load(directory)
        except TriageError as error:
            trouble = f"the active rules cannot be read, so this is shown as new: {error}"
    with contextlib.suppress(TriageError):
        # Files of the generation that were damaged are told where something is to be made active.
        view.active_rules = proposed.texts_beside(view.run, active)
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
        names = sorted(path.name for path in directory.iterdir() if path.is_file())
        # What a person added comes behind the guest's own.
        names = sorted(names, key=lambda name: name.startswith("added-"))[:32]
    for name in names:
        try:
            text = view.run.text_file(f"logs/{name}", MAX_LOG_BYTES)
            text = without_colours(text) if name.startswith("added-") else text
            size = (directory / name).stat().st_size
            if size > MAX_LOG_BYTES:
                view.log_notes[name] = f"only the first {MAX_LOG_BYTES} of {size} bytes were read"
        except TriageError as error:
            text = str(error)
        except OSError:
            continue
        view.logs[name] = _lines(text)
    for entry in view.snapshot.logs[:16]:
        name = entry.file.removeprefix("logs/")
        view.log_titles[name] = "System log" if entry.stream == "syslog" else f"Log {short(entry.path, 60)}"
        if entry.unclear:
            view.log_notes[name] = f"which call wrote what is not known: {short(entry.unclear, 200)}"
    for added in read_index(view.run).logs[:16]:
        name = added.file.removeprefix("logs/")
        view.log_titles[name] = f"Added log {short(added.source.rpartition('/')[2], 60)}"
        # The rest goes without saying.
        if added.why or added.doubtful or added.moved_ns:
            view.log_notes[name] = short(lined_up(view.run, added), 300)
    try:
        log = view.run.text_file("retry.log", MAX_LOG_BYTES, tail=True)
    except TriageError:
        return
    view.retry_log = _lines(log)


def _read_printed(view: RunView) -> None:
    found = printed_text(view.run, view.calls)
    view.printed = {seq: _printed_lines(text) for seq, text in found.texts.items()}
    view.printed_why = found.why
    _line_up_added(view)


def _line_up_added(view: RunView) -> None:
    """Put the lines of added logs below the calls behind which they were written."""
    room = _MAX_ADDED_LINES
    for added in read_index(view.run).logs[:16]:
        at = places(view.run, added)
        try:
            lines = without_colours(view.run.text_file(added.file)).split("\n")
        except TriageError:
            continue
        view.log_places[added.file.removeprefix("logs/")] = {
            number: str(place) for number, place in at.items()
        }
        name = short(added.source.rpartition("/")[2], 30)
        for number, place in at.items():
            if place.outside or not 0 < number <= len(lines):
                continue
            rows = view.printed.setdefault(place.last, [])
            if room <= 0 or len(rows) >= MAX_PRINTED_LINES * 2:
                continue
            where = "" if place.exact else f" {place}"
            rows.append(f"{name}{where}: {safe_line(lines[number - 1], MAX_PRINTED_LINE)}")
            room -= 1


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
