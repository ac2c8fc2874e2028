"""`triage-tui show`: one run in words: what happened, why, what is proposed, what was decided.

What the app's panes show, each section can print. Long lines are wrapped to the terminal, or to 80 columns.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from triage_tui.cli import points, processes
from triage_tui.cli.output import add_language, print_json, print_line, print_table, print_wrapped
from triage_tui.cli.show_summary import (
    say_rule_hits,
    say_summary,
    say_verdicts,
)
from triage_tui.errors import TriageError
from triage_tui.language.choice import wanted_language
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.events import Event, holder_alive
from triage_tui.runs.evidence import describe_register, describe_syscall, resolve
from triage_tui.runs.model import Snapshot
from triage_tui.runs.reader import Run
from triage_tui.runs.shown_logs import shown_logs
from triage_tui.runs.verdict_model import Verdict, read_verdict
from triage_tui.text import safe_block

SECTIONS = (
    "summary",
    "registers",
    "threads",
    "backtrace",
    "code",
    "syscalls",
    "full-trace",
    "memory",
    "process",
    "processes",
    "descriptors",
    "environment",
    "patch",
    "retry",
    "events",
    "evidence",
    "points",
    "output",
    "logs",
)


class Shown(msgspec.Struct, kw_only=True):
    """A whole record, with `--json`."""

    run_id: str
    state: str
    waiting: bool
    problems: list[str]
    snapshot: Snapshot
    diagnosis: Diagnosis | None
    verdict: Verdict | None
    events: list[Event]
    patch_files: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument(
        "--json",
        action="store_true",
        help="the whole record as one JSON object; with `--section patch`, its hunks",
    )
    parser.add_argument(
        "--section", choices=SECTIONS, default="summary", help="what to show (default: summary)"
    )
    add_language(parser)
    parser.add_argument(
        "--at", metavar="ADDRESS", help="bytes from this address on, of a run with `--memory full`"
    )
    parser.add_argument("--length", type=int, default=256, metavar="N", help="how many bytes (default 256)")
    parser.add_argument(
        "--pid", type=int, metavar="PID", help="of which process (default: the one looked at)"
    )
    parser.add_argument(
        "--sfanalysis",
        metavar="DIR",
        help="the code of the frames, with pseudocode from these SFAnalysis results where they have it",
    )


def run(args: argparse.Namespace) -> int:
    """Print the run."""
    workspace = Workspace.at(args.workspace)
    record = workspace.load(args.run)
    if args.section == "patch" and args.at is None and args.sfanalysis is None:
        # Only here: the other sections need nothing of the rules.
        from triage_tui.cli.patch import show_hunks

        show_hunks(workspace, record, args.json)
        return 0
    if args.at is not None:
        processes.show_bytes(record, args.at, args.length, args.pid)
        return 0
    if args.sfanalysis is not None:
        if args.json or args.section not in ("summary", "code"):
            raise TriageError("--sfanalysis shows the code of the frames: leave --json and --section away")
        _code_with_results(record, Path(args.sfanalysis))
        return 0
    if args.json:
        print_json(_whole(record))
        return 0
    if args.section == "summary":
        say_summary(record, wanted_language(args.lang))
    else:
        _SHOW[args.section](record)
    return 0


def _whole(record: Run) -> Shown:
    return Shown(
        run_id=record.run_id,
        state=record.state,
        waiting=holder_alive(record.events),
        problems=record.problems,
        snapshot=record.snapshot,
        diagnosis=record.diagnosis,
        verdict=read_verdict(record.dir),
        events=record.events,
        patch_files=record.patch_files(),
    )


def _registers(record: Run) -> None:
    for register in record.snapshot.regs:
        print_line(describe_register(register))


def _backtrace(record: Run) -> None:
    for frame in record.snapshot.backtrace.frames:
        print_line(processes.frame_line(frame))


def _code(record: Run) -> None:
    for entry in record.snapshot.backtrace.pseudocode_index:
        print_line(f"--- frame {entry.frame}  {entry.file}  {entry.provenance or entry.kind}")
        try:
            print(safe_block(record.text_file(entry.file)))
        except TriageError as error:
            print_line(str(error))


def _code_with_results(record: Run, directory: Path) -> None:
    """Print the code of each frame: from the results in `directory`, else as it was recorded."""
    # Only here: the other sections read no analysis.
    from triage_tui.binary.load_bias import with_places
    from triage_tui.binary.sfanalysis import SfAnalysis
    from triage_tui.retry.inspecting.frame_code import from_results

    results = SfAnalysis(directory)
    for problem in results.problems:
        print_wrapped(f"note: {problem}", "", "  ")
    frames = with_places(record.snapshot.backtrace.frames, results)
    recorded = {ref.frame: ref for ref in reversed(record.snapshot.backtrace.pseudocode_index)}
    for frame in frames:
        found = from_results(frame, results)
        if found is not None:
            print_line(f"--- frame {frame.idx}  {found.name or ''}  {found.provenance}")
            print(safe_block(found.text))
        elif (ref := recorded.get(frame.idx)) is not None:
            print_line(f"--- frame {frame.idx}  {ref.file}  {ref.provenance or ref.kind}")
            print(safe_block(record.text_file(ref.file)))


def _process(record: Run) -> None:
    snapshot = record.snapshot
    for entry in snapshot.fds:
        print_line(
            f"fd {entry.fd:<5} {entry.kind:<10} {entry.target}{'  ' + entry.state if entry.state else ''}"
        )
    for mapping in snapshot.maps:
        print_line(
            f"map {mapping.start:08x}-{mapping.end:08x} {mapping.perms} {mapping.path or mapping.name}"
        )
    for missing in snapshot.unavailable:
        print_wrapped(f"not available: {missing.what}: {missing.why}", "", "  ")
    say_rule_hits(record)


def _retry(record: Run) -> None:
    say_verdicts(record)
    try:
        log = record.text_file("retry.log", tail=True)
    except TriageError:
        return
    print_line()
    print(safe_block(log.removesuffix("\n")))


def _syscalls(record: Run) -> None:
    for call in record.trace():
        print_line(f"{call.seq:6d}  {describe_syscall(call)}")


def _full_trace(record: Run) -> None:
    # Only here: the other sections need nothing of the engine.
    from triage_tui.guest.log.full_trace import FILE, read_full_trace

    path = record.dir / FILE
    if not path.is_file() or path.is_symlink():
        raise TriageError(f"run {record.run_id} has no full trace: `triage-tui run --full-trace` keeps one")
    for call in read_full_trace(path):
        print_line(f"{call.seq:6d}  {describe_syscall(call)}")


def _memory(record: Run) -> None:
    rows = [
        [
            entry.id,
            entry.addr_hex,
            str(entry.blob.size if entry.blob else 0),
            entry.purpose,
            entry.string or "",
        ]
        for entry in record.snapshot.memory
    ]
    print_table(["OBJECT", "ADDRESS", "BYTES", "PURPOSE", "STRING"], rows)


def _events(record: Run) -> None:
    rows = [[str(e.event_id), e.wall, e.actor, e.kind, str(e.payload or "")] for e in record.events]
    print_table(["#", "WHEN", "WHO", "WHAT", "DETAILS"], rows)


def _evidence(record: Run) -> None:
    for hypothesis in record.diagnosis.hypotheses if record.diagnosis else []:
        opinion = hypothesis.opinion
        more = (*opinion.evidence, *opinion.contrary) if opinion is not None else ()
        for entry in (*hypothesis.evidence, *hypothesis.contrary, *hypothesis.below, *more):
            if not entry.link:
                print_line(f"{'NONE':8} {entry.says}")
                continue
            found = resolve(record, entry.link)
            state = "ok" if found.holds else "CHANGED" if found.exists else "MISSING"
            if found.left_out:
                state = "LEFT OUT"
            print_line(f"{state:8} {entry.link}  {found.title}: {found.text}")


def _output(record: Run) -> None:
    if not record.snapshot.guest_output:
        why = next((one.why for one in record.snapshot.unavailable if one.what == "output"), "not recorded")
        raise TriageError(f"run {record.run_id} has no output of the program: {why}")
    print(safe_block(record.text_file(record.snapshot.guest_output)))


def _logs(record: Run) -> None:
    for entry in shown_logs(record):
        print_line(f"--- {entry.heading}")
        for line in entry.lines:
            print_line(line)


_SHOW = {
    "registers": _registers,
    "backtrace": _backtrace,
    "code": _code,
    "process": _process,
    "processes": processes.show_processes,
    "threads": processes.show_threads,
    "descriptors": processes.show_descriptors,
    "environment": processes.show_environment,
    "retry": _retry,
    "syscalls": _syscalls,
    "full-trace": _full_trace,
    "memory": _memory,
    "events": _events,
    "evidence": _evidence,
    "points": points.show_points,
    "output": _output,
    "logs": _logs,
}
