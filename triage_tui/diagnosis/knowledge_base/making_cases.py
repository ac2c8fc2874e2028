"""Make recorded cases of runs, so that an entry can be tried on what it was written for."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.diagnosis.knowledge_base.cases import Case, case_path, load_case, write_as_run
from triage_tui.diagnosis.knowledge_base.entries import CAUSES, ID
from triage_tui.diagnosis.matchers import choose
from triage_tui.errors import TriageError
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import write_atomic
from triage_tui.runs.frame_model import Backtrace, Frame
from triage_tui.runs.model import Snapshot, Syscall, Target
from triage_tui.runs.process_model import Process, Thread
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction
from triage_tui.text import safe_line

MAX_CALLS = 600
"""Calls that a case made from a run keeps, the last ones."""
MAX_OUTPUT = 8 << 10
"""Characters of output that a case made from a run keeps, the last ones."""

_KEPT = ("reason", "trigger", "loop", "probes", "rule_hits")
"""Parts of a snapshot from which facts are made, whole; of others a little is kept."""


def make_case(
    run: Run,
    directory: Path,
    name: str,
    *,
    cause: str,
    healthy: bool = False,
    title: str = "",
    max_calls: int = MAX_CALLS,
    keep_secrets: bool = False,
) -> tuple[Path, bool, int]:
    """Make a case of `run` in a directory of knowledge base files; its secrets are masked.

    Return its file, whether the diagnosis of the case names the same entry first as that of the run, and how
    many places were masked.

    Raises:
        TriageError: the name or the cause cannot be used, there is such a case already, or it cannot be
            written.
    """
    from triage_tui.diagnosis.report import diagnose

    if not ID.match(name):
        raise TriageError(f"{safe_line(name, 60)!r} is no name of a case: use lower-case words with hyphens")
    if cause not in CAUSES:
        raise TriageError(f"unknown cause {safe_line(cause, 60)!r}; {choose(cause, CAUSES)}")
    path = case_path(directory, name)
    if path.exists():
        raise TriageError(f"{safe_line(str(path), 300)} is there already: choose another name or remove it")
    target = run.snapshot.target
    case = case_of_run(
        run,
        title=safe_line(title or " ".join(target.argv), 200),
        cause=cause,
        healthy=healthy,
        how=f"a run under {run.snapshot.engine.emulator or 'the emulator'} for {target.arch}",
        max_calls=max_calls,
    )
    redaction = Redaction.of(run, off=keep_secrets)
    case = without_secrets(case, redaction)
    try:
        save_case(case, path)
    except OSError as error:
        shown = safe_line(str(path), 300)
        raise TriageError(f"{shown} cannot be written: {error.strerror}") from error
    with tempfile.TemporaryDirectory(prefix="triage-tui-case-") as scratch:
        again = diagnose(write_as_run(load_case(path), Path(scratch) / "run"))
    return path, again.hypotheses[0].entry == diagnose(run).hypotheses[0].entry, redaction.count


def without_secrets(case: Case, redaction: Redaction) -> Case:
    """Return a case with its secrets masked; each line of output keeps its length, by which it is found."""
    lines = [_masked_line(line, redaction) for line in case.output.split("\n")]
    rest = redaction.value(msgspec.to_builtins(msgspec.structs.replace(case, output="")))
    return msgspec.structs.replace(msgspec.convert(rest, Case), output="\n".join(lines))


def _masked_line(line: str, redaction: Redaction) -> str:
    masked = redaction.text(line)
    size = len(line.encode("utf-8", "surrogatepass"))
    if masked == line:
        return line
    cut = masked.encode("utf-8", "surrogatepass")[:size].decode("utf-8", "ignore")
    return cut + " " * (size - len(cut.encode("utf-8", "surrogatepass")))


def case_of_run(
    run: Run, *, title: str, cause: str, healthy: bool, how: str, max_calls: int = MAX_CALLS
) -> Case:
    """Make a case of the end of a run: what facts are made from, without memory and environment."""
    snapshot = run.snapshot
    calls = {call.seq: call for call in (*run.trace(), *snapshot.recent_syscalls)}
    try:
        output = run.text_bytes(snapshot.guest_output)
    except TriageError:
        output = b""
    target = snapshot.target
    bare = Snapshot(
        run_id="",
        reason=snapshot.reason,
        created_at="",
        trigger=snapshot.trigger,
        target=Target(program=target.program, argv=target.argv, arch=target.arch, cwd=target.cwd),
        fds=[one for one in snapshot.fds if (one.state or "").startswith("listening")],
        processes=[_brief_process(process) for process in snapshot.processes],
        backtrace=Backtrace(
            frames=[
                Frame(idx=one.idx, addr=one.addr, addr_hex=one.addr_hex)
                for one in snapshot.backtrace.frames[:1]
            ]
        ),
    )
    kept = {name: getattr(snapshot, name) for name in _KEPT}
    return Case(
        title=title,
        made="recorded",
        how=how,
        cause=cause,
        healthy=healthy,
        snapshot=msgspec.structs.replace(bare, **kept),
        output=same_length_text(output)[-MAX_OUTPUT:],
        calls=[_brief_call(calls[seq]) for seq in sorted(calls)[-max_calls:]],
    )


def _brief_process(process: Process) -> Process:
    """Return what facts are made from: threads that computed, and what the process does with signals."""
    return Process(
        pid=process.pid,
        looked_at=process.looked_at,
        threads=[Thread(tid=one.tid, computed=one.computed) for one in process.threads if one.computed],
        signal_actions=process.signal_actions,
    )


def _brief_call(call: Syscall) -> Syscall:
    """Return a call without what only the supervisor needs: numbers that its text says as well."""
    return Syscall(
        seq=call.seq,
        name=call.name,
        args=[] if call.arguments else call.args,
        ret=call.ret,
        arguments=call.arguments,
        errno=call.errno,
        pid=call.pid,
        tid=call.tid,
        # Of a call that had not returned it tells how long it waited.
        ts_mono_ns=call.ts_mono_ns if call.ret is None else 0,
        path=call.path,
        peer=call.peer,
        request=call.request,
        interface=call.interface,
        rule=call.rule,
        note=call.note,
    )


def same_length_text(data: bytes) -> str:
    """Return bytes as text that takes as many bytes: lines are found in the trace by their length."""
    return re.sub("[\udc80-\udcff]", "?", data.decode("utf-8", "surrogateescape"))


def save_case(case: Case, path: Path) -> None:
    """Write a case."""
    write_atomic(path, case_text(case))


def case_text(case: Case) -> str:
    """Return a case as it is written: what is as usual left out, one call a line."""
    document: dict[str, Any] = {"schema": 1, **_sparse(case)}
    calls = document.pop("calls", [])
    head = msgspec.json.format(encode_line(document), indent=1).decode().rstrip().removesuffix("}").rstrip()
    body = ",\n  ".join(encode_line(call).decode() for call in calls)
    return f'{head},\n "calls": [\n  {body}\n ]\n}}\n'


def _sparse(value: object) -> Any:
    """Return a record as plain data without the fields that have their default."""
    if isinstance(value, msgspec.Struct):
        found = {}
        for field in msgspec.structs.fields(type(value)):
            one = getattr(value, field.name)
            default = (
                field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
            )
            if one != default:
                found[field.name] = _sparse(one)
        return found
    if isinstance(value, list):
        return [_sparse(one) for one in value]
    return value
