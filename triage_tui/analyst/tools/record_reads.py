"""Tools that read the record: registers, call stack, memory, syscalls, logs; each with how to cite it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from triage_tui.analyst.tools.case import Case
from triage_tui.analyst.tools.tool import Arguments, JsonObject, Tool
from triage_tui.binary.patterns import compiled
from triage_tui.errors import TriageError
from triage_tui.runs.evidence import (
    describe_frame,
    describe_register,
    describe_syscall,
    make_link,
)
from triage_tui.runs.masked_memory import masked_at, masked_object
from triage_tui.runs.model import Syscall
from triage_tui.text import safe_line

MAX_BYTES = 4096
"""Bytes of memory in one answer."""
MAX_CALLS = 400
MAX_LOG_LINES = 1000
MAX_LOG_FILES = 64

Count = Annotated[int, Meta(ge=1, le=MAX_CALLS)]
Number = Annotated[int, Meta(ge=0, le=(1 << 53))]


class NoArguments(Arguments):
    """Nothing to say."""


class MemoryArguments(Arguments):
    """Which bytes."""

    address: Annotated[str, Meta(max_length=40, description="guest address, as 0x7f001000")] = ""
    object: Annotated[str, Meta(max_length=200, description="id of a memory object instead")] = ""
    length: Annotated[int, Meta(ge=1, le=MAX_BYTES, description="bytes")] = 256
    offset: Annotated[int, Meta(ge=0, description="first byte within the object")] = 0
    pid: Annotated[int | None, Meta(description="guest process; default: the one that is looked at")] = None


class SyscallArguments(Arguments):
    """Which calls."""

    first: Annotated[Number | None, Meta(description="lowest sequence number")] = None
    last: Annotated[Number | None, Meta(description="highest sequence number")] = None
    name: Annotated[str, Meta(max_length=40, description="only calls of this name, as openat")] = ""
    failed: Annotated[bool, Meta(description="only calls that failed")] = False
    pattern: Annotated[str, Meta(max_length=200, description="RE2 expression in the text of the call")] = ""
    pid: Annotated[int | None, Meta(description="only calls of this process")] = None
    limit: Annotated[Count, Meta(description="the latest so many of those that fit")] = 60


class LogArguments(Arguments):
    """Which lines."""

    name: Annotated[str, Meta(max_length=200, description="file below logs/")] = "guest.log"
    start_line: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="default: the last lines")] = (
        None
    )
    pattern: Annotated[str, Meta(max_length=200, description="RE2 expression: only lines with it")] = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_LOG_LINES)] = 100


def _registers(case: Case, _arguments: NoArguments) -> JsonObject:
    run = case.run
    rows = [
        {
            "name": register.name,
            "value": describe_register(register).partition(" = ")[2],
            "evidence": make_link(run, "reg", register.name),
        }
        for register in run.snapshot.regs[:MAX_CALLS]
    ]
    if not rows:
        raise TriageError(_missing(case, "regs", "no registers were recorded"))
    return {"registers": rows}


def _backtrace(case: Case, _arguments: NoArguments) -> JsonObject:
    run = case.run
    frames = [
        {
            "frame": frame.idx,
            "text": describe_frame(frame),
            "function_name": frame.func_name,
            "module": frame.module_real_path,
            "file_address": None if frame.module_offset is None else hex(frame.module_offset),
            "evidence": make_link(run, "frame", frame.idx),
        }
        for frame in run.snapshot.backtrace.frames[:MAX_CALLS]
    ]
    if not frames:
        raise TriageError(_missing(case, "backtrace", "no call stack was recorded"))
    return {"frames": frames}


def _missing(case: Case, what: str, text: str) -> str:
    why = next((entry.why for entry in case.run.snapshot.unavailable if what in entry.what), "")
    return f"{text}: {safe_line(why, 200)}" if why else text


def _memory(case: Case, asked: MemoryArguments) -> JsonObject:
    run = case.run
    if asked.object:
        entry = run.memory_object(asked.object)
        whole, hidden = masked_object(run, asked.object, case.redaction)
        data = whole[asked.offset : asked.offset + asked.length]
        hidden = [at - asked.offset for at in hidden]
        if entry is None or not data:
            raise TriageError(f"memory object {safe_line(asked.object, 60)} has no byte {asked.offset}")
        start = entry.addr + asked.offset
        link = make_link(run, "mem", asked.object, offset=asked.offset, length=len(data))
    elif asked.address:
        start = address_of(asked.address)
        data, hidden = masked_at(run, start, asked.length, asked.pid, case.redaction)
        place = f"{asked.pid}@{start:#x}" if asked.pid is not None else f"{start:#x}"
        link = make_link(run, "mem", place, offset=0, length=len(data))
    else:
        objects = [
            {"id": one.id, "address": one.addr_hex, "purpose": one.purpose or one.tag, "string": one.string}
            for one in run.snapshot.memory[:MAX_CALLS]
        ]
        regions = [
            {"start": hex(one.start), "end": hex(one.end), "perms": one.perms, "name": one.name}
            for one in run.snapshot.memory_regions[:MAX_CALLS]
        ]
        return {"objects": objects, "regions": regions}
    # The end of a text is a blank here, so that what is masked is seen to end there.
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." if byte else " " for byte in data)
    answer: JsonObject = {"address": hex(start), "length": len(data), "text": text, "evidence": link}
    places = {at for at in hidden if 0 <= at < len(data)}
    if places:
        # The hash of a few bytes would give away what they are.
        answer["evidence"] = link.rpartition("~")[0]
        answer["masked"] = f"{len(places)} bytes of a secret stand as * (hex **)"
    numbers = ("**" if at in places else f"{byte:02x}" for at, byte in enumerate(data))
    return answer | {"hex": " ".join(numbers)}


def address_of(text: str) -> int:
    """Return the address that a text names.

    Raises:
        TriageError: it names none.
    """
    try:
        value = int(text.strip(), 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise TriageError(f"{safe_line(text, 60)!r} is no address: give one as 0x7f001000")
    return value


def _syscalls(case: Case, asked: SyscallArguments) -> JsonObject:
    run = case.run
    pattern = compiled(asked.pattern) if asked.pattern else None
    calls = run.trace()
    known = {call.seq for call in calls}
    calls = sorted(
        [*calls, *(call for call in run.snapshot.recent_syscalls if call.seq not in known)],
        key=lambda call: call.seq,
    )

    def fits(call: Syscall) -> bool:
        return (
            (asked.first is None or call.seq >= asked.first)
            and (asked.last is None or call.seq <= asked.last)
            and (not asked.name or call.name == asked.name)
            and (not asked.failed or call.errno is not None)
            and (asked.pid is None or call.pid == asked.pid)
            and (pattern is None or pattern.search(describe_syscall(call)[:2000]) is not None)
        )

    fitting = [call for call in calls if fits(call)]
    rows = [
        {
            "seq": call.seq,
            "pid": call.pid,
            "text": describe_syscall(call),
            "evidence": make_link(run, "syscall", call.seq),
        }
        for call in fitting[-asked.limit :]
    ]
    return {"fitting": len(fitting), "recorded": len(calls), "syscalls": rows}


def _log(case: Case, asked: LogArguments) -> JsonObject:
    run = case.run
    directory = run.dir / "logs"
    names = sorted(path.name for path in directory.iterdir() if path.is_file()) if directory.is_dir() else []
    if asked.name not in names:
        raise TriageError(
            f"the run has no log {safe_line(asked.name, 60)!r}: "
            f"it has {', '.join(names[:MAX_LOG_FILES]) or 'none'}"
        )
    lines = run.text_file(f"logs/{asked.name}").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    # Masked as a whole: a secret may begin on one line and end on the next.
    shown = case.redaction.text("\n".join(lines)).split("\n")
    pattern = compiled(asked.pattern) if asked.pattern else None
    numbers = [
        number
        for number, line in enumerate(shown, 1)
        if (asked.start_line is None or number >= asked.start_line)
        and (pattern is None or pattern.search(line[:4096]) is not None)
    ]
    kept = numbers[: asked.limit] if asked.start_line is not None else numbers[-asked.limit :]
    rows = [
        {
            "line": number,
            "text": shown[number - 1],
            "evidence": make_link(run, "log", asked.name, line=number),
        }
        for number in kept
    ]
    return {"name": asked.name, "logs": names[:MAX_LOG_FILES], "lines_in_log": len(lines), "lines": rows}


TOOLS = (
    Tool(
        "get_registers",
        "Registers of the thread that is looked at, as they were when it was frozen, with evidence links.",
        NoArguments,
        _registers,
    ),
    Tool(
        "get_backtrace",
        "Call stack when it was frozen: function, module and address in the module's file per frame.",
        NoArguments,
        _backtrace,
    ),
    Tool(
        "read_memory",
        "Recorded guest memory at an address or of a memory object, as hex and text. Without arguments: what"
        " memory was recorded. What was not recorded cannot be read.",
        MemoryArguments,
        _memory,
    ),
    Tool(
        "get_syscalls",
        "Recorded syscalls, oldest first, as strace writes them: by number, name, process, failure or a"
        " pattern; the latest `limit` of those that fit.",
        SyscallArguments,
        _syscalls,
    ),
    Tool(
        "get_log",
        "Lines of a log of the run: guest.log is what the guest printed. Without start_line the last lines.",
        LogArguments,
        _log,
    ),
)
