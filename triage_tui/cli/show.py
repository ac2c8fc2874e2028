"""`triage-tui show`: one run in words: what happened, why, what is proposed, what was decided."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import print_json, print_table
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.runs.events import holder_alive
from triage_tui.runs.evidence import describe_frame, describe_register, describe_syscall, resolve
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import RULES_LOG, SUPERVISOR_LOG
from triage_tui.text import safe_block, safe_line

SECTIONS = (
    "summary",
    "registers",
    "backtrace",
    "syscalls",
    "memory",
    "patch",
    "events",
    "evidence",
    "output",
    "logs",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument("--json", action="store_true", help="the whole record as one JSON object")
    parser.add_argument(
        "--section", choices=SECTIONS, default="summary", help="what to show (default: summary)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the run."""
    record = Workspace.at(args.workspace).load(args.run)
    if args.json:
        print_json(
            {
                "run_id": record.run_id,
                "state": record.state,
                "waiting": holder_alive(record.events),
                "problems": record.problems,
                "snapshot": record.snapshot,
                "diagnosis": record.diagnosis,
                "events": record.events,
                "patch_files": record.patch_files(),
            }
        )
        return 0
    _SHOW[args.section](record)
    return 0


def _line(text: str = "") -> None:
    print(safe_line(text, 600))


def _summary(record: Run) -> None:
    snapshot = record.snapshot
    waiting = ", its guest is frozen and waits" if holder_alive(record.events) else ""
    _line(f"run {record.run_id}: {record.state}{waiting}")
    _line(f"  {' '.join(snapshot.target.argv)}  ({snapshot.target.arch}, stopped by {snapshot.reason})")
    for problem in record.problems:
        _line(f"  note: {problem}")
    if snapshot.recorded:
        _line(f"  recorded: {snapshot.recorded}")
    if record.diagnosis is None:
        _line("  not diagnosed")
        return
    _line()
    _line(record.diagnosis.headline)
    for number, hypothesis in enumerate(record.diagnosis.hypotheses, 1):
        _line()
        _hypothesis(record, number, hypothesis)
    _proposals(record.diagnosis)
    if record.diagnosis.unknown_next:
        _line()
        _line(f"next experiment: {record.diagnosis.unknown_next}")


def _hypothesis(record: Run, number: int, hypothesis: Hypothesis) -> None:
    _line(f"{number}. {hypothesis.cause} ({hypothesis.confidence:.2f}): {hypothesis.title}")
    for sign, entries in (("+", hypothesis.evidence), ("-", hypothesis.contrary)):
        for entry in entries:
            found = resolve(record, entry.link)
            mark = "" if found.exists and found.hash_ok else "  UNSUPPORTED"
            _line(f"   {sign} {entry.says}  [{entry.link}]{mark}")
    for wanted in hypothesis.wanted:
        _line(f"   ? {wanted}")


def _proposals(diagnosis: Diagnosis) -> None:
    if not diagnosis.proposals:
        return
    _line()
    _line("proposals:")
    for proposal in diagnosis.proposals:
        needs = f", needs: {proposal.needs_input}" if proposal.needs_input else ""
        _line(f"  {proposal.id}  {proposal.title} (risk {proposal.risk}{needs})")
        for name in proposal.files:
            _line(f"      {name}")


def _registers(record: Run) -> None:
    for register in record.snapshot.regs:
        _line(describe_register(register))


def _backtrace(record: Run) -> None:
    for frame in record.snapshot.backtrace.frames:
        _line(f"{describe_frame(frame)}  ({frame.method})")


def _syscalls(record: Run) -> None:
    for call in record.trace():
        _line(f"{call.seq:6d}  {describe_syscall(call)}")


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


def _patch(record: Run) -> None:
    for name in record.patch_files():
        _line(f"--- {name}")
        print(safe_block(record.text_file(f"rules_patch/{name}")))


def _events(record: Run) -> None:
    rows = [[str(e.event_id), e.wall, e.actor, e.kind, str(e.payload or "")] for e in record.events]
    print_table(["#", "WHEN", "WHO", "WHAT", "DETAILS"], rows)


def _evidence(record: Run) -> None:
    for hypothesis in record.diagnosis.hypotheses if record.diagnosis else []:
        for entry in (*hypothesis.evidence, *hypothesis.contrary):
            found = resolve(record, entry.link)
            state = "ok" if found.exists and found.hash_ok else "CHANGED" if found.exists else "MISSING"
            _line(f"{state:8} {entry.link}  {found.title}: {found.text}")


def _output(record: Run) -> None:
    print(safe_block(record.text_file(record.snapshot.guest_output)))


def _logs(record: Run) -> None:
    for name in (SUPERVISOR_LOG, RULES_LOG):
        if (record.dir / "logs" / name).is_file():
            _line(f"--- logs/{name}")
            print(safe_block(record.text_file(f"logs/{name}")).rstrip("\n"))


_SHOW = {
    "summary": _summary,
    "registers": _registers,
    "backtrace": _backtrace,
    "syscalls": _syscalls,
    "memory": _memory,
    "patch": _patch,
    "events": _events,
    "evidence": _evidence,
    "output": _output,
    "logs": _logs,
}
