"""Where an experiment can be made: what in a run can be asked, fed, watched or read further."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from itertools import islice

from triage_tui.diagnosis import calls as c
from triage_tui.diagnosis.facts import Facts, LoopCall, Wait
from triage_tui.runs.events import holder_reads
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import START_FILE

STACK_BELOW = 16 << 10
"""Bytes below the stack pointer: what functions that have returned left there, as the text of a message."""
STACK_ABOVE = 32 << 10
AROUND = 2 << 10
"""Bytes before and behind what a register points to."""
MAX_DATA = 256 << 10
"""Bytes of a program's data that are read when it spins."""
MAX_WINDOWS = 24
MAX_WATCHED = 3

LIBRARIES = re.compile(r"^(?:lib(?:c|pthread|uClibc|m|dl|rt|gcc_s)[-.\d]|ld[-.\d]|ld-|linux-vdso|\[vdso\])")
"""Modules whose functions decide nothing: the C library, the loader."""

_LIBRARY_FUNCTION = re.compile(
    r"^(?:_.*|exit|quick_exit|abort|raise|v?errx?|error(?:_at_line)?|syscall|pause|sleep|usleep|nanosleep|read|"
    r"write|poll|select|accept|recv\w*|send\w*|connect|wait\w*|clock_\w+|time|gettimeofday|fgets|getchar)$"
)
"""Functions of a C library that a static program holds itself: they decide nothing."""

CARRIERS = frozenset(("write", "pwrite64", "send", "sendto"))
"""Calls whose data the record has not: what goes to standard output and error aside."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_QUIET = c.HOUSEKEEPING | {"exit", "exit_group"}
_PORT = re.compile(r":(\d{1,5})\Z")
_OPTION = re.compile(
    r"(?:^|[\s\[|,])(-v|-d|-f|-F|-n|-x|--verbose|--debug|--foreground|--no-?daemon)(?=[\s,\]|]|$)(.{0,80})"
)
_SAYS_MORE = re.compile(
    r"(?i)\b(verbos\w*|debug\w*|foreground|not? (?:to )?(?:fork|daemon\w*)|more output)\b"
)
_ELSEWHERE = re.compile(
    r"(?i)^\s*(?:=|<|\[<|\[?=?(?-i:[A-Z][A-Z_]*\b))|"
    r"\b(?:to|into|in) (?:an? |the |debug |log )*(?:file|syslog)\b|\binstead of std|\bversion\b"
)
_BEST_OPTIONS = ("verbose", "debug", "v", "d")
_USAGE = re.compile(r"(?i)\busage:\s+(\S+)(?:\s+(\S+))?")
_MAX_OPTION_LINES = 120


def can_be_tried(run: Run, kind: str) -> bool:
    """Tell whether what an experiment of this kind needs is there: a record, a guest, or how it began."""
    if kind == "code":
        return True
    if kind == "memory" and (run.snapshot.memory_regions or holder_reads(run.events)):
        return True
    root = run.snapshot.target.rootfs
    return (run.dir / START_FILE).exists() and (not root or os.path.isdir(root))


def tcp_ports(run: Run) -> list[str]:
    """Return the TCP ports on which the program listened at the end."""
    told = [entry.state or "" for entry in run.snapshot.fds if (entry.state or "").startswith("listening")]
    told += run.snapshot.statistics.listening
    found = (match[1] for text in told if not text.startswith("unix:") and (match := _PORT.search(text)))
    return list(dict.fromkeys(port for port in found if 0 < int(port) < 65536))[:4]


def wants_input(facts: Facts, run: Run) -> bool:
    """Tell whether the program waits for standard input, or ended soon after that gave nothing."""
    waits = [fact for fact in facts.of("wait") if isinstance(fact, Wait)]
    if any(wait.blocked and wait.origin == "stdin" for wait in waits):
        return True
    if facts.end.reason not in ("exit", "loop"):
        return False
    mine = [call for call in run.snapshot.recent_syscalls if call.pid == facts.end.pid]
    return any(
        c.operation(call) == "read" and c.descriptor(call) == 0 and call.ret == 0 for call in mine[-12:]
    )


def verbose_option(facts: Facts, argv: Sequence[str]) -> str:
    """Return an option by which the program says more, as its own usage text explains it; "" for none."""
    given = set(argv)
    found: list[tuple[int, str]] = []
    for message in islice(reversed(facts.messages), _MAX_OPTION_LINES):
        for match in _OPTION.finditer(message.text):
            option, text = match[1], match[2]
            explained = option.startswith("--") or _SAYS_MORE.search(text)
            # What takes an argument would eat the next one, and what goes into a file is not seen.
            if explained and option not in given and not _ELSEWHERE.search(text):
                rank = _BEST_OPTIONS.index(option.lstrip("-")) if option.lstrip("-") in _BEST_OPTIONS else 9
                found.append((rank, option))
    return min(found, default=(0, ""), key=lambda one: one[0])[1]


def option_place(facts: Facts, argv: Sequence[str]) -> int:
    """Return where an option is put in `argv`: behind the applet or sub-command that the usage text names."""
    for message in facts.messages:
        match = _USAGE.search(message.text)
        if match is not None and len(argv) > 1 and argv[1] in (match[1], match[2]):
            return 2
    return 1


def calls_to_watch(run: Run, facts: Facts) -> list[str]:
    """Return the names of the calls whose data would tell most: what is sent or logged, then those of a loop.

    Nothing where they were watched already, or the record has all that there is to them.
    """
    if any(hit.rule.startswith("observe-") and hit.calls for hit in run.snapshot.rule_hits):
        return []
    mine = [call for call in run.snapshot.recent_syscalls if call.pid == facts.end.pid]
    sends = [call.name for call in mine if call.name in CARRIERS and (c.descriptor(call) or 0) > 2]
    loop = [fact.name for fact in facts.of("loop_call") if isinstance(fact, LoopCall)]
    asks = [call.name for call in mine if call.name == "ioctl" and call.errno]
    names = dict.fromkeys(name.lower() for name in (*reversed(sends), *asks, *loop))
    return [name for name in names if name not in _QUIET - CARRIERS and _NAME.fullmatch(name)][:MAX_WATCHED]


def deciding_frame(run: Run) -> Frame | None:
    """Return the innermost frame of the program's own, None where its code is there as pseudocode already."""
    frame = own_frame(run)
    if frame is None:
        return None
    code = [ref for ref in run.snapshot.backtrace.pseudocode_index if ref.frame == frame.idx]
    return None if any(ref.kind == "pseudocode" for ref in code) else frame


def has_listing(run: Run, frame: str) -> bool:
    """Tell whether the record has the disassembly of a frame."""
    return any(str(ref.frame) == frame for ref in run.snapshot.backtrace.pseudocode_index)


def own_frame(run: Run) -> Frame | None:
    """Return the innermost frame that is neither of the C library nor of the loader.

    A program that holds its C library, and has no names, does not show where that ends: it has none.
    """
    frames = run.snapshot.backtrace.frames
    program = posixpath.basename(run.snapshot.target.program)
    if frames and not frames[0].func_name and _module(frames[0]) == program:
        return None
    for frame in frames:
        module = _module(frame)
        if frame.idx < 0 or frame.addr < 0:
            continue
        if module and not LIBRARIES.match(module) and frame.confidence != "low":
            named = frame.func_name or ""
            if not _LIBRARY_FUNCTION.match(named) and (
                frame.idx or not named or run.snapshot.trigger.spinning
            ):
                return frame
    return None


def _module(frame: Frame) -> str:
    return posixpath.basename(frame.module_real_path or frame.module_name or "")


def log_line_unsent(run: Run) -> bool:
    """Tell whether the program failed to reach the system log: the line is ready in its memory then."""
    return any(
        call.errno is not None and (call.path or call.peer or "").removeprefix("unix:") == "/dev/log"
        for call in run.snapshot.recent_syscalls
    )


def trace_is_cut(run: Run) -> bool:
    """Tell whether the record leaves calls out that a full trace would have."""
    cut = any(entry.what == "the whole trace" for entry in run.snapshot.unavailable)
    return cut and not (run.dir / "trace-full.gz").exists()


def memory_windows(run: Run, *, spinning: bool) -> list[tuple[int, int]]:
    """Return (address, length) of the memory worth reading: the stack, and data that registers point to.

    Nothing for a run without registers, or one in which it was read already.
    """
    snapshot = run.snapshot
    if snapshot.trigger.ended or any(entry.tag == "window" for entry in snapshot.memory):
        return []
    values = {entry.name: entry.value for entry in snapshot.regs if isinstance(entry.value, int)}
    data = [entry for entry in snapshot.maps if "w" in entry.perms]
    found: list[tuple[int, int]] = []
    for name in ("sp", "rsp", "esp", "r29", "r13", "r15", "r1", "x31"):
        stack = _mapping(data, values.get(name, 0))
        if stack is not None and ("stack" in stack.name or name in ("sp", "rsp", "esp")):
            point = values[name]
            found.append(_within(stack, point - STACK_BELOW, point + STACK_ABOVE))
            break
    if not found:
        return []
    if spinning:
        program = snapshot.target.program
        own = [entry for entry in data if entry.path == program or entry.name in ("[bss]", "[heap]")]
        found += [_within(entry, entry.start, entry.start + MAX_DATA) for entry in own]
    for value in values.values():
        held = _mapping(data, value)
        if held is not None and not any(start <= value < start + size for start, size in found):
            found.append(_within(held, value - AROUND, value + AROUND))
    return found[:MAX_WINDOWS]


def _mapping(mappings: Sequence[Mapping], address: int) -> Mapping | None:
    return next((entry for entry in mappings if entry.start <= address < entry.end), None)


def _within(mapping: Mapping, start: int, end: int) -> tuple[int, int]:
    start, end = max(mapping.start, start), min(mapping.end, end)
    return start, end - start
