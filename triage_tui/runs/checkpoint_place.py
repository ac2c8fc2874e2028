"""Where the checkpoint of a run lies, and what its event log says of it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from triage_tui.runs.limits import show_size
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

CHECKPOINT_DIR = "checkpoint"
FACTS_FILE = "triage.json"
_SYSCALL = re.compile(r"ev:syscall/(\d{1,15})")
KIND = "checkpoint"
"""Kind of the event that says whether a checkpoint was taken: {"bytes", "call"}, or {"why"} where not."""


def has_checkpoint(run_dir: Path) -> bool:
    """Return whether a run can be retried from a checkpoint; whether that fits is looked at then."""
    return (run_dir / CHECKPOINT_DIR / FACTS_FILE).is_file()


def checkpoint_in_words(run: Run) -> str:
    """Return what there is to say of a run's checkpoint, "" where none was asked for; safe to show."""
    told = next((event for event in reversed(run.events) if event.kind == KIND), None)
    if told is None:
        return ""
    why = told.payload.get("why")
    if isinstance(why, str):
        words = f"none: it must start over, because {safe_line(why, 300)}"
        instead = stop_instead(run) if run.snapshot.reason == "exit" else ""
        return f"{words}; with `run --checkpoint --stop-on {instead}` there is one" if instead else words
    if not has_checkpoint(run.dir):
        return "it is not there any more"
    size, call = told.payload.get("bytes"), told.payload.get("call")
    words = f"taken at {safe_line(str(call), 60)}" if call else "taken"
    if isinstance(size, int):
        words += f", {show_size(size)}"
    return f"{words}: `triage-tui retry --from checkpoint {safe_line(run.dir.name, 60)}` goes on from there"


def stop_instead(run: Run) -> str:
    """Return at what `--stop-on` freezes the program in time: the failed call that explains its end best.

    As a word of a command line; "" where no failed call explains it.
    """
    hypotheses = run.diagnosis.hypotheses if run.diagnosis is not None else []
    links = [evidence.link for hypothesis in hypotheses[:1] for evidence in hypothesis.evidence]
    numbers = {int(found[1]) for link in links if (found := _SYSCALL.match(link))}
    for call in run.trace() if numbers else ():
        if call.seq in numbers and call.errno is not None:
            about = call.path or call.peer or ""
            # One with wildcards would mean others, too.
            plain = about.isprintable() and about.isascii() and not set("*?[") & set(about)
            return shlex.quote(f"{call.name}:{call.errno}" + (f":{about}" if plain and about else ""))
    return ""
