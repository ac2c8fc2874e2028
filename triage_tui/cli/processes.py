"""`triage-tui show --section threads|processes|descriptors|environment`: all that the guest consisted of."""

from __future__ import annotations

from collections.abc import Iterator

from triage_tui.cli.output import print_line, print_table
from triage_tui.errors import TriageError
from triage_tui.runs.evidence import describe_frame
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.model import Snapshot
from triage_tui.runs.process_model import Computation, Descriptor, Process, ResourceLimit, SignalAction
from triage_tui.runs.reader import Run
from triage_tui.runs.secrets import masked
from triage_tui.text import safe_line

_PER_LINE = 4
"""Registers printed on one line."""
_MAX_BYTES = 1 << 20


def frame_line(frame: Frame) -> str:
    """Return one frame, how it was found and how sure it is."""
    sure = f", {frame.confidence} confidence" if frame.confidence else ""
    return f"{describe_frame(frame)}  ({frame.method}{sure})"


def show_threads(record: Run) -> None:
    """Print each thread: what it does, its registers and its call stack."""
    for process in record.snapshot.processes:
        if process.ended is not None:
            print_line(f"process {process.pid}: {process.ended}")
        for thread in process.threads:
            doing = f"in {thread.call} (syscall {thread.seq})" if thread.call else thread.state
            mark = ", looked at" if thread.looked_at else ""
            print_line(f"thread {thread.tid} of process {process.pid}: {doing}{mark}")
            for what, names in (("blocks", thread.blocked_signals), ("pending", thread.pending_signals)):
                if names:
                    print_line(f"  {what} {' '.join(names)}")
            if thread.computed is not None:
                print_line(f"  {computation_words(thread.computed)}")
            if thread.why:
                print_line(f"  no registers: {thread.why}")
            words = [
                f"{name:>5} {value:0{8 if value < 1 << 32 else 16}x}"
                for name, value in thread.registers.items()
            ]
            for start in range(0, len(words), _PER_LINE):
                print_line("  " + "  ".join(words[start : start + _PER_LINE]))
            for frame in record.snapshot.backtrace.frames if thread.looked_at else thread.frames:
                print_line(f"  {frame_line(frame)}")


def computation_words(computed: Computation) -> str:
    """Say for how long a thread computed."""
    since = f", no call since syscall {computed.last_seq}" if computed.last_seq is not None else ""
    used = f"{computed.processor_seconds:.1f} s of processor time"
    return f"computed for {computed.seconds:.1f} s ({used}){since}"


def show_processes(record: Run) -> None:
    """Print the tree of processes, and what the kernel and the auxiliary vector tell of each."""
    depth: dict[int, int] = {}
    for process in record.snapshot.processes:
        depth[process.pid] = depth.get(process.parent, -1) + 1
        mark = ", looked at" if process.looked_at else ""
        pad = "  " * min(depth[process.pid], 20)
        print_line(f"{pad}process {process.pid}: {' '.join(process.argv) or process.program or '?'}{mark}")
        facts = [process.ended] if process.ended is not None else _facts(process, record.snapshot)
        for text in facts:
            print_line(f"{pad}  {text}")


def _facts(process: Process, snapshot: Snapshot) -> Iterator[str]:
    if process.program:
        yield f"program {process.program}"
    # The process that is looked at has these in the snapshot itself.
    fds, maps = (snapshot.fds, snapshot.maps) if process.looked_at else (process.fds, process.maps)
    yield f"threads {len(process.threads)}, descriptors {len(fds)}, mappings {len(maps)}"
    umask = "?" if process.umask is None else f"{process.umask:03o}"
    yield f"directory {process.cwd}, root {process.root}, umask {umask}"
    for what, names in (
        ("ignores", process.ignored_signals),
        ("catches", process.caught_signals),
        ("pending", process.pending_signals),
    ):
        if names:
            yield f"{what} {' '.join(names)}"
    for action in process.signal_actions:
        if action.action == "handle":
            yield f"handles {action.signal} at {_handler(action)}"
    limits = [limit for limit in process.limits if limit.soft is not None or limit.hard is not None]
    if limits:
        yield "limits " + ", ".join(map(_limit, limits))
    for entry in process.auxv:
        yield f"{entry.name} {entry.value:#x}" + (f" {entry.text}" if entry.text else "")


def _handler(action: SignalAction) -> str:
    place = f"{action.addr:#x}"
    if action.module_name and action.module_offset is not None:
        place += f" {action.module_name}+{action.module_offset:#x}"
    name = f" ({action.func_name})" if action.func_name else ""
    return place + name + "".join(f" {flag}" for flag in action.flags)


def _limit(limit: ResourceLimit) -> str:
    soft, hard = ("unlimited" if value is None else str(value) for value in (limit.soft, limit.hard))
    return f"{limit.name.removeprefix('RLIMIT_')} {soft}" + (f" of {hard}" if soft != hard else "")


def descriptors_of(snapshot: Snapshot) -> Iterator[tuple[Process | None, list[Descriptor]]]:
    """Yield each process with its descriptors; None stands for the one of a run that names no processes."""
    if not snapshot.processes:
        yield None, snapshot.fds
    for process in snapshot.processes:
        yield process, snapshot.fds if process.looked_at else process.fds


def show_descriptors(record: Run) -> None:
    """Print the descriptors of every process."""
    for process, fds in descriptors_of(record.snapshot):
        if process is not None and process.ended is not None:
            print_line(f"process {process.pid}: {process.ended}")
            continue
        if process is not None:
            print_line(f"process {process.pid}")
        rows = [
            [
                str(entry.fd),
                entry.kind,
                " ".join(entry.flag_names),
                "" if entry.offset is None else str(entry.offset),
                "" if entry.origin_seq is None else str(entry.origin_seq),
                "; ".join(text for text in (entry.target, entry.state, entry.detail) if text),
            ]
            for entry in fds
        ]
        print_table(["FD", "KIND", "FLAGS", "OFFSET", "SYSCALL", "WHAT"], rows)


def show_bytes(record: Run, at: str, length: int, pid: int | None) -> None:
    """Print bytes of kept memory, 16 on a line.

    Raises:
        TriageError: no address, or these bytes were not kept.
    """
    try:
        address = int(at, 0)
    except ValueError:
        raise TriageError(f"--at takes an address such as 0x4000a0, not {safe_line(at, 40)!r}") from None
    if not 0 < length <= _MAX_BYTES:
        raise TriageError(f"--length must be 1 to {_MAX_BYTES}, not {length}")
    data = record.read_memory(address, length, pid)
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        print(f"{address + start:08x}  {row.hex(' '):47}  {text}")


def show_environment(record: Run) -> None:
    """Print the environment of every process; values that look like secrets are masked."""
    try:
        environments = record.environments()
    except TriageError as error:
        print_line(str(error))
        return
    for pid, entries in environments.items():
        print_line(f"process {pid}")
        for entry in entries:
            print_line(f"  {masked(entry)}")
