"""Recorded failures as run records: shipped cases, and more of them as the output of QEMU's -strace.

Of the latter `traces/<name>.strace` is the trace, `traces/<name>.out` the program's output and
`traces/<name>.yaml` how the run ended and what a fair judge says about it. The cases that entries of the
knowledge base name are in `rules/cases`.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from triage_tui.diagnosis.knowledge_base import cases
from triage_tui.guest.log.argument_text import split_arguments, unquote
from triage_tui.guest.log.logged_items import LoggedCall
from triage_tui.guest.log.result_text import parse_result
from triage_tui.guest.log.strace import StraceReader
from triage_tui.guest.log.syscall_record import to_text
from triage_tui.resources import shipped
from triage_tui.runs.model import Reason, Snapshot, Syscall, Target, Trigger
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import START_FILE, RunWriter

TRACES = Path(__file__).parent / "traces"

# The error numbers in the traces are the guest's; their texts are the same everywhere.
_ERRORS = {os.strerror(number): name for number, name in errno.errorcode.items()}
_PATH_FREE = frozenset(("connect", "bind", "socket", "ioctl", "sethostname"))


@dataclass(frozen=True)
class Case:
    """One recorded failure and its label."""

    name: str
    label: dict[str, Any]
    trace: bytes = b""
    output: bytes = b""
    shipped: cases.Case | None = None

    @property
    def accepted(self) -> set[str]:
        """The causes that count as right."""
        return {self.label["cause"], *self.label.get("accept", [])}


def load_case(name: str) -> Case:
    """Read one recorded case."""
    path = cases.case_path(shipped("rules"), name)
    if path.exists():
        case = cases.load_case(path)
        label = {"cause": case.cause, "accept": case.accept, "healthy": case.healthy}
        label |= {"proximate": case.proximate} if case.proximate else {}
        return Case(name, label, shipped=case)
    label = yaml.safe_load((TRACES / f"{name}.yaml").read_text())
    return Case(name, label, (TRACES / f"{name}.strace").read_bytes(), (TRACES / f"{name}.out").read_bytes())


def case_names() -> list[str]:
    """Return the names of all recorded cases."""
    traces = {path.stem for path in TRACES.glob("*.yaml")}
    return sorted(traces | {path.stem for path in (shipped("rules") / "cases").glob("*.json")})


def parse_trace(trace: bytes) -> list[Syscall]:
    """Turn trace text into the calls of a run record."""
    # Socket calls that went through socketcall(2) are printed in capitals.
    text = re.sub(rb"(?m)^(\d+ )([A-Z]+)\(", lambda m: m[1] + m[2].lower() + b"(", trace)
    reader = StraceReader()
    logged = [item for item in reader.feed(text, complete=True) if isinstance(item, LoggedCall)]
    return [_record(seq, call) for seq, call in enumerate(logged, start=1)]


def _record(seq: int, call: LoggedCall) -> Syscall:
    arguments = split_arguments(call.arguments)
    record = Syscall(
        seq=seq, name=call.name, arguments=[to_text(argument[:400]) for argument in arguments], pid=call.pid
    )
    strings = [text for argument in arguments if (text := unquote(argument)) is not None]
    if strings and call.name not in _PATH_FREE:
        record.path = to_text(strings[0])
    if call.name == "ioctl" and len(arguments) > 1:
        record.request = to_text(arguments[1])
        if found := re.search(rb'\{"([^"\0]+)', call.arguments):
            record.interface = to_text(found[1])
    if found := re.search(rb'sin_port=htons\((\d+)\),\s*sin_addr=inet_addr\("([0-9.]+)"\)', call.arguments):
        record.peer = f"inet:{found[2].decode()}:{found[1].decode()}"
    elif found := re.search(rb'sun_path="([^"]+)"', call.arguments):
        record.peer = "unix:" + to_text(found[1])
    if call.result is not None:
        result = parse_result(call.result)
        record.ret = result.value
        if result.error is not None:
            reason = re.search(rb"\(([^)]*)\)", call.result)
            record.errno = _ERRORS.get(reason[1].decode() if reason else "", f"E{result.error}")
    return record


def write_run(
    runs_dir: Path,
    calls: list[Syscall],
    *,
    reason: Reason,
    argv: list[str],
    output: bytes = b"",
    code: int | None = None,
    signal: str | None = None,
    cwd: str = "/",
    arch: str = "arm",
    rootfs: Path | None = None,
    detail: str = "",
) -> Run:
    """Write a run with this history and read it back."""
    main = calls[0].pid if calls else 0
    last = calls[-1] if calls else Syscall(seq=0, name="")
    if reason == "exit":
        exits = [call for call in calls if call.pid == main and call.name in ("exit_group", "exit")]
        last = exits[-1] if exits else last
    history = [call for call in calls if call.seq <= last.seq]
    writer = RunWriter(runs_dir)
    writer.add_log("guest.log", output)
    writer.write_trace(history)
    (writer.dir / START_FILE).write_text("{}")
    writer.write_snapshot(
        Snapshot(
            run_id=writer.run_id,
            reason=reason,
            created_at="2026-01-01T00:00:00+00:00",
            trigger=Trigger(
                seq=last.seq, syscall_name=last.name, exit_code=code, signal=signal, pid=main, detail=detail
            ),
            target=Target(
                program=argv[0], argv=argv, arch=arch, cwd=cwd, rootfs=str(rootfs) if rootfs else None
            ),
            recent_syscalls=history[-64:],
        )
    )
    return load_run(writer.publish())


def run_of(case: Case, runs_dir: Path, rootfs: Path | None = None) -> Run:
    """Write a recorded case as a run."""
    label = case.label
    if case.shipped is not None:
        run = case.shipped.snapshot
        target = msgspec.structs.replace(run.target, rootfs=str(rootfs) if rootfs else None)
        snapshot = msgspec.structs.replace(run, target=target)
        written = cases.write_as_run(
            msgspec.structs.replace(case.shipped, snapshot=snapshot), runs_dir / case.name
        )
        (written.dir / START_FILE).write_text("{}")
        return written
    return write_run(
        runs_dir,
        parse_trace(case.trace),
        reason=label["reason"],
        argv=label["argv"],
        output=case.output,
        code=label.get("code"),
        signal=label.get("signal"),
        cwd=label.get("cwd", "/"),
        arch=label["arch"],
        rootfs=rootfs,
        detail=label.get("detail", ""),
    )
