"""Experiments that read more of a stop: its memory, and the code of the frame that decided."""

from __future__ import annotations

import re
import threading

from triage_tui.binary.decompiler import why_missing
from triage_tui.diagnosis.decision import decision_of
from triage_tui.diagnosis.experiment_places import memory_windows
from triage_tui.diagnosis.polled import polled_word
from triage_tui.errors import TriageError
from triage_tui.retry.experiments.runs import run_with_memory
from triage_tui.retry.inspecting import frame_code
from triage_tui.retry.inspecting.memory_windows import Window, ask_holder, keep_windows, parse_windows
from triage_tui.retry.inspecting.recorded_code import RecordedCode
from triage_tui.retry.inspecting.rediagnose import rediagnose
from triage_tui.retry.one_run import Tell
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Experiment
from triage_tui.runs.events import holder_reads
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

_TEXT = re.compile(rb"[\x20-\x7e]{8,200}")
_COMPLAINT = re.compile(
    rb"(?i)\b(error|fail|cannot|can't|unable|no such|not found|missing|denied|invalid|mismatch|bad|refused|"
    rb"abort|timeout|timed out|expected|corrupt)"
)


def read_memory(
    workspace: Workspace, run: Run, experiment: Experiment, tell: Tell, cancel: threading.Event
) -> tuple[Run, str]:
    """Read the windows of a memory experiment, diagnose again, and return the run and what was read.

    Raises:
        TriageError: they cannot be had.
    """
    windows = parse_windows(experiment.parameters.get("windows", ""))
    if run.snapshot.memory_regions:
        size = keep_windows(run.dir, _kept(run, windows), "from the kept memory of the run")
    elif holder_reads(run.events):
        tell("asking the process that holds the frozen guest")
        size = ask_holder(run, windows, cancel)
    else:
        tell("no frozen guest waits, so the program is run again and its memory kept")
        run = run_with_memory(workspace, run, tell, cancel)
        spinning = bool(run.snapshot.trigger.spinning)
        size = keep_windows(run.dir, _kept(run, memory_windows(run, spinning=spinning)), "from kept memory")
    run = rediagnose(run.dir)
    return run, _saw_memory(run, size)


def _kept(run: Run, windows: list[Window]) -> list[tuple[int, bytes]]:
    found = []
    for address, size in windows:
        try:
            found.append((address, run.read_memory(address, size)))
        except TriageError:
            continue
    return found


def _saw_memory(run: Run, size: int) -> str:
    texts: list[bytes] = []
    for entry in run.snapshot.memory:
        if entry.tag == "window":
            try:
                texts += _TEXT.findall(run.memory_bytes(entry.id))
            except TriageError:
                continue
    if (polled := polled_word(run)) is not None:
        return f"{(size + 1023) >> 10} KiB of memory were read, and {polled.says}"
    printed = _printed(run)
    found = list(dict.fromkeys(text for text in texts if _COMPLAINT.search(text) and text not in printed))
    read = f"{(size + 1023) >> 10} KiB of memory were read"
    if not found:
        return f"{read}, without a text that complains and was not printed"
    shown = ", ".join(f'"{safe_line(text.decode("ascii"), 80)}"' for text in found[:2])
    return f"{read}, {_counted(len(found))}: {shown}"


def _printed(run: Run) -> bytes:
    try:
        return run.text_file(run.snapshot.guest_output).encode("utf-8", "surrogateescape")
    except TriageError:
        return b""


def read_code(
    workspace: Workspace, run: Run, experiment: Experiment, tell: Tell, cancel: threading.Event
) -> tuple[Run, str]:
    """Decompile or disassemble the frame of a code experiment; diagnose again, and say what decides there.

    Raises:
        TriageError: the program file is gone or another one, or the work was cancelled.
    """
    frame = frame_code.frame_of(run, int(experiment.parameters.get("frame", "0")))
    missing = why_missing()
    if missing is None:
        tell(f"decompiling frame {frame.idx}")
        found = frame_code.decompiled(run, frame, cancel)
        run = workspace.load(run.run_id)
        frame_code.keep(run, frame_code.frame_of(run, frame.idx), found)
        how = found.provenance
    elif any(ref.frame == frame.idx for ref in run.snapshot.backtrace.pseudocode_index):
        how = "no decompiler is installed, the disassembly was read"
    else:
        tell(f"disassembling frame {frame.idx}")
        code = RecordedCode(run).function(frame.addr, is_return=frame.idx > 0)
        frame_code.keep_listing(run, frame, code.text, code.provenance)
        how = "it is disassembled"
    run = rediagnose(run.dir)
    decided = decision_of(run)
    name = safe_line(frame.func_name or f"frame {frame.idx}", 60)
    if decided is None:
        return run, f"the code of {name} was read ({how})"
    return run, f"{name}: {decided.says}"


def _counted(texts: int) -> str:
    return "with one text that complains" if texts == 1 else f"with {texts} texts that complain"
