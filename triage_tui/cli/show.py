"""`triage-tui show`: one run in words: what happened, why, what is proposed, what was decided.

What the app's panes show, each section can print. Long lines are wrapped to the terminal, or to 80 columns.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from triage_tui.cli import points, processes
from triage_tui.cli.output import add_language, print_json, print_table
from triage_tui.cli.wrapping import wrap
from triage_tui.errors import TriageError
from triage_tui.language.catalogue import ENGLISH_CATALOGUE, Catalogue
from triage_tui.language.choice import wanted_language
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.runs.events import holder_alive
from triage_tui.runs.evidence import IN_TEXT, describe_register, describe_syscall, resolve
from triage_tui.runs.reader import Run
from triage_tui.runs.rule_account import rule_account
from triage_tui.runs.verdict_model import Verdict
from triage_tui.runs.writer import RULES_LOG, SUPERVISOR_LOG
from triage_tui.text import number_of, safe_block, safe_line

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

_MAX_VERDICT_BYTES = 1 << 20


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
        print_json(
            {
                "run_id": record.run_id,
                "state": record.state,
                "waiting": holder_alive(record.events),
                "problems": record.problems,
                "snapshot": record.snapshot,
                "diagnosis": record.diagnosis,
                "verdict": _verdict_of(record),
                "events": record.events,
                "patch_files": record.patch_files(),
            }
        )
        return 0
    if args.section == "summary":
        _summary(record, wanted_language(args.lang))
    else:
        _SHOW[args.section](record)
    return 0


def _line(text: str = "") -> None:
    print(safe_line(text, 600))


def _wrapped(text: str, first: str = "", rest: str | None = None) -> None:
    """Print `text` behind `first`, further lines behind `rest` (by default as many spaces)."""
    width = max(40, shutil.get_terminal_size((80, 24)).columns)
    rest = " " * len(first) if rest is None else rest
    lines = wrap(safe_line(text, 4000), max(20, width - len(rest)))
    for number, line in enumerate(lines or [""]):
        print(f"{rest if number else first}{line}".rstrip())


def _summary(record: Run, language: Catalogue) -> None:
    snapshot = record.snapshot
    waiting = ", its guest is frozen and waits" if holder_alive(record.events) else ""
    state = record.state.replace("_", " ")
    _wrapped(language.sentence(f"run {record.run_id}: {state}{waiting}"))
    reason = language.sentence(snapshot.reason.replace("_", " "))
    command = f"{' '.join(snapshot.target.argv)}  ({snapshot.target.arch}, "
    _wrapped(command + language.fill("stopped by {reason}", reason=reason) + ")", "  ")
    for problem in record.problems:
        _wrapped(language.fill("note: {text}", text=problem), "  ", "    ")
    if snapshot.recorded:
        _wrapped(language.fill("recorded: {text}", text=snapshot.recorded), "  ", "    ")
    if record.diagnosis is None:
        _line("  " + language.fill("not diagnosed"))
    else:
        _line()
        _wrapped(language.sentence(record.diagnosis.headline, "headline"))
        for number, hypothesis in enumerate(record.diagnosis.hypotheses, 1):
            _line()
            _hypothesis(record, number, hypothesis, language)
        _proposals(record.diagnosis, language)
        if record.diagnosis.unknown_next:
            _line()
            wanted = language.sentence(record.diagnosis.unknown_next)
            _wrapped(language.fill("next experiment: {text}", text=wanted), "", "  ")
    _rule_hits(record, language)
    _verdicts(record, language)


def _hypothesis(record: Run, number: int, hypothesis: Hypothesis, language: Catalogue) -> None:
    title = language.sentence(hypothesis.title)
    _wrapped(f"{hypothesis.cause} ({hypothesis.confidence:.2f}): {title}", f"{number}. ")
    if hypothesis.explanation:
        # The links are below, with what each shows.
        text = language.paragraph(hypothesis.explanation)
        _wrapped(IN_TEXT.sub(lambda match: match["text"], text), "   ")
    for sign, entries in (
        ("+", hypothesis.evidence),
        ("-", hypothesis.contrary),
        ("<", hypothesis.below),
    ):
        for entry in entries:
            found = resolve(record, entry.link)
            mark = "" if found.exists and found.hash_ok else "  UNSUPPORTED"
            _wrapped(f"{language.sentence(entry.says)}  [{entry.link}]{mark}", f"   {sign} ", "     ")
    if hypothesis.origin:
        _line(f"   by the entry {hypothesis.entry} of {hypothesis.origin}")
    for wanted in hypothesis.wanted:
        _wrapped(language.sentence(wanted), "   ? ")
    if hypothesis.source == "model":
        source = "Source: the model {model}; its confidence is its own word, and capped."
        _wrapped(language.fill(source, model=hypothesis.model), "   ")
    if (opinion := hypothesis.opinion) is not None:
        heading = "Second opinion of the model {model}, whose confidence ({figure}) changes nothing above:"
        _wrapped(language.fill(heading, model=opinion.model, figure=f"{opinion.confidence:.2f}"), "   ")
        for sign, entries in (("+", opinion.evidence), ("-", opinion.contrary)):
            for entry in entries:
                link = f"  [{entry.link}]" if entry.supported else "  UNSUPPORTED"
                _wrapped(f"{entry.says}{link}", f"     {sign} ", "       ")


def _proposals(diagnosis: Diagnosis, language: Catalogue) -> None:
    if not diagnosis.proposals:
        return
    _line()
    _line(language.fill("proposals:"))
    for proposal in diagnosis.proposals:
        title, risk = language.sentence(proposal.title), language.fill(proposal.risk)
        _wrapped(language.fill("{title} ({risk} risk)", title=title, risk=risk), "  ", "      ")
        _wrapped(proposal.id, "      ")
        for label, text in (
            ("intent: {text}", proposal.intent),
            ("effect: {text}", proposal.effect),
            ("undone by: {text}", proposal.inverse),
        ):
            _wrapped(language.fill(label, text=language.sentence(text)), "      ", "        ")
        risk_text = language.sentence(proposal.risk_text)
        _wrapped(language.fill("risk: {risk}. {text}", risk=risk, text=risk_text), "      ", "        ")
        if proposal.source == "model":
            _wrapped(language.fill("Source: a model. A person must name it to approve it."), "      ")
        if proposal.needs_input:
            needs = language.sentence(proposal.needs_input)
            _wrapped(language.fill("needs: {text}", text=needs), "      ", "        ")
        for name in proposal.files:
            _line(f"      {name}")


def _rule_hits(record: Run, language: Catalogue = ENGLISH_CATALOGUE) -> None:
    hits = record.snapshot.rule_hits
    if not hits:
        return
    _line()
    _line(language.fill("rules that were active:"))
    for hit in hits:
        hits_of = f"{hit.hits} of {hit.limit} hits" if hit.limit else number_of(hit.hits, "hit")
        off = f", switched off: {hit.disabled}" if hit.disabled else ""
        _wrapped(language.sentence(f"{hit.rule}: {hits_of} on {hit.syscall}{off}"), "  ", "    ")
        if account := rule_account(hit):
            _wrapped(language.listed(account), "    ", "    ")


def _verdict_of(record: Run) -> Verdict | None:
    """Return how this run compares with the one that it retries, if that was judged and can be read."""
    try:
        text = record.text_file("verdict.json", _MAX_VERDICT_BYTES)
        return msgspec.json.decode(text, type=Verdict)
    except (TriageError, msgspec.DecodeError, RecursionError):
        return None


def _verdicts(record: Run, language: Catalogue = ENGLISH_CATALOGUE) -> None:
    own = _verdict_of(record)
    if own is not None:
        _line()
        parent = record.snapshot.parent_run or "the round before"
        text = f"verdict against {parent}: {own.word} ({own.rung.replace('_', ' ')})"
        _wrapped(language.sentence(text), "", "  ")
        _reasons(own.reasons, own.masked, language)
    event = next((event for event in reversed(record.events) if event.kind == "retry_finished"), None)
    if event is not None:
        _line()
        text = f"retried as {event.payload.get('run')}: {event.payload.get('verdict')}"
        _wrapped(language.sentence(text), "", "  ")
        told = (event.payload.get(name) for name in ("reasons", "masked"))
        reasons, masked = ([str(line) for line in lines] if isinstance(lines, list) else [] for lines in told)
        _reasons(reasons, masked, language)


def _reasons(reasons: Iterable[str], masked: Iterable[str], language: Catalogue) -> None:
    for reason in reasons:
        _wrapped(language.sentence(reason), "  - ")
    for line in masked:
        _wrapped(language.sentence(f"masked, not fixed: {line}"), "  ! ")


def _registers(record: Run) -> None:
    for register in record.snapshot.regs:
        _line(describe_register(register))


def _backtrace(record: Run) -> None:
    for frame in record.snapshot.backtrace.frames:
        _line(processes.frame_line(frame))


def _code(record: Run) -> None:
    for entry in record.snapshot.backtrace.pseudocode_index:
        _line(f"--- frame {entry.frame}  {entry.file}  {entry.provenance or entry.kind}")
        try:
            print(safe_block(record.text_file(entry.file)))
        except TriageError as error:
            _line(str(error))


def _code_with_results(record: Run, directory: Path) -> None:
    """Print the code of each frame: from the results in `directory`, else as it was recorded."""
    # Only here: the other sections read no analysis.
    from triage_tui.binary.sfanalysis import SfAnalysis
    from triage_tui.retry.frame_code import from_results

    results = SfAnalysis(directory)
    for problem in results.problems:
        _wrapped(f"note: {problem}", "", "  ")
    recorded = {ref.frame: ref for ref in reversed(record.snapshot.backtrace.pseudocode_index)}
    for frame in record.snapshot.backtrace.frames:
        found = from_results(frame, results)
        if found is not None:
            _line(f"--- frame {frame.idx}  {found.name or ''}  {found.provenance}")
            print(safe_block(found.text))
        elif (ref := recorded.get(frame.idx)) is not None:
            _line(f"--- frame {frame.idx}  {ref.file}  {ref.provenance or ref.kind}")
            print(safe_block(record.text_file(ref.file)))


def _process(record: Run) -> None:
    snapshot = record.snapshot
    for entry in snapshot.fds:
        _line(f"fd {entry.fd:<5} {entry.kind:<10} {entry.target}{'  ' + entry.state if entry.state else ''}")
    for mapping in snapshot.maps:
        _line(f"map {mapping.start:08x}-{mapping.end:08x} {mapping.perms} {mapping.path or mapping.name}")
    for missing in snapshot.unavailable:
        _wrapped(f"not available: {missing.what}: {missing.why}", "", "  ")
    _rule_hits(record)


def _retry(record: Run) -> None:
    _verdicts(record)
    try:
        log = record.text_file("retry.log", tail=True)
    except TriageError:
        return
    _line()
    print(safe_block(log.removesuffix("\n")))


def _syscalls(record: Run) -> None:
    for call in record.trace():
        _line(f"{call.seq:6d}  {describe_syscall(call)}")


def _full_trace(record: Run) -> None:
    # Only here: the other sections need nothing of the engine.
    from triage_tui.guest.log.full_trace import FILE, read_full_trace

    path = record.dir / FILE
    if not path.is_file() or path.is_symlink():
        raise TriageError(f"run {record.run_id} has no full trace: `triage-tui run --full-trace` keeps one")
    for call in read_full_trace(path):
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


def _events(record: Run) -> None:
    rows = [[str(e.event_id), e.wall, e.actor, e.kind, str(e.payload or "")] for e in record.events]
    print_table(["#", "WHEN", "WHO", "WHAT", "DETAILS"], rows)


def _evidence(record: Run) -> None:
    for hypothesis in record.diagnosis.hypotheses if record.diagnosis else []:
        opinion = hypothesis.opinion
        more = (*opinion.evidence, *opinion.contrary) if opinion is not None else ()
        for entry in (*hypothesis.evidence, *hypothesis.contrary, *hypothesis.below, *more):
            if not entry.link:
                _line(f"{'NONE':8} {entry.says}")
                continue
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
