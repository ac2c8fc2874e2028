"""A run as a model reads it: short, each line with the id of its evidence, all of it data.

Lines of memory that hold text and the last syscalls come from the record as they are; they are masked and
made displayable where they become part of a prompt, not here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

import msgspec

from triage_tui.diagnosis.facts import Facts, FailedCall
from triage_tui.errors import TriageError
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.runs.evidence import describe_frame, describe_register, describe_syscall
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

MAX_LINE = 300
_CALLS = 40
_FAILED = 12
_LOG_LINES = 30
_CODE_LINES = 60
_FACTS = 8
_STRING = re.compile(rb"[\x20-\x7e]{6,120}")

_KINDS = (
    "loop",
    "sleep",
    "wait",
    "listening",
    "identity",
    "child",
    "probe",
    "computing",
    "message",
    "log_line",
)
"""Facts that are told besides the end and the failed calls."""


class Section(msgspec.Struct, frozen=True):
    """A part of the brief. `title` is our word for it."""

    title: str
    text: str


def sections(run: Run, facts: Facts, diagnosis: Diagnosis | None) -> list[Section]:
    """Return the parts of the brief that the record has anything for."""
    made = (
        ("target and end", _target(run, facts)),
        ("failed calls, most relevant first", _failed(facts)),
        ("other facts", _facts(facts)),
        ("hypotheses of the knowledge base", _known(diagnosis)),
        (f"last {_CALLS} syscalls, oldest first", _calls(run)),
        ("end of the program's output", _log(run)),
        ("call stack and code", _stack(run)),
        ("registers", (f"reg/{one.name}  {describe_register(one)}" for one in run.snapshot.regs[:64])),
        ("open descriptors", (f"fd/{one.fd}  {one.fd} -> {one.target}" for one in run.snapshot.fds[:32])),
        ("memory objects", _memory(run)),
        ("rules that were active", _rules(run)),
        ("not recorded", (f"{one.what}: {one.why}" for one in run.snapshot.unavailable[:8])),
    )
    found = [(title, "\n".join(_line(text) for text in lines)) for title, lines in made]
    return [Section(title, text) for title, text in found if text]


def case_words(run: Run, facts: Facts, diagnosis: Diagnosis | None) -> set[str]:
    """Return the words by which prompts about a kind of failure are found. None of them is a guest's."""
    words = {f"end_{facts.end.reason}"}
    scene = (diagnosis.scene if diagnosis else "").partition(":")
    words |= {_word(part) for part in (scene[0], scene[2]) if part}
    for hypothesis in (diagnosis.hypotheses if diagnosis else [])[:3]:
        words |= {_word(hypothesis.cause), _word(hypothesis.proximate)}
    words |= {f"resource_{_word(fact.resource)}" for fact in facts.failed[:3] if fact.resource}
    if run.snapshot.rule_hits:
        words.add("rules_active")
    return words


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]


def _line(text: str) -> str:
    return safe_line(text, MAX_LINE)


def _target(run: Run, facts: Facts) -> Iterator[str]:
    target = run.snapshot.target
    yield f"program {target.program}, architecture {target.arch}, directory {target.cwd}"
    yield f"arguments: {' '.join(target.argv)}"
    end = facts.end
    source = f"{end.source.kind}/{end.source.id}  " if end.source else ""
    yield f"{source}end: {end.says}"
    figures = run.snapshot.statistics
    failed = f"{figures.failed_syscalls} of them failed"
    yield f"{figures.syscalls} syscalls, {failed}, {figures.processes} processes"


def _failed(facts: Facts) -> Iterator[str]:
    for fact in facts.failed[:_FAILED]:
        how = f"relevance {fact.relevance:.2f}, {fact.steps} calls before the end"
        yield f"syscall/{fact.seq}  {fact.says}; {how}{_noise(fact)}"


def _noise(fact: FailedCall) -> str:
    reasons = "; ".join(fact.reasons)
    return (f"; {reasons}" if reasons else "") + (f"; often harmless: {fact.noise}" if fact.noise else "")


def _facts(facts: Facts) -> Iterator[str]:
    for kind in _KINDS:
        for fact in facts.of(kind)[-_FACTS:]:
            if fact.source is not None:
                line = f"#L{fact.source.line}" if fact.source.line is not None else ""
                yield f"{fact.source.kind}/{fact.source.id}{line}  {kind}: {fact.says}"


def _known(diagnosis: Diagnosis | None) -> Iterator[str]:
    if diagnosis is None:
        return
    yield f"scene: {diagnosis.scene}" + ("; the program looks healthy" if diagnosis.healthy else "")
    for hypothesis in diagnosis.hypotheses:
        yield f"{hypothesis.cause} ({hypothesis.confidence:.2f}): {hypothesis.title}"
        yield from _of_hypothesis(hypothesis)


def _of_hypothesis(hypothesis: Hypothesis) -> Iterator[str]:
    for evidence in hypothesis.contrary:
        yield f"    against it: {evidence.says}"
    if hypothesis.proposals:
        yield f"    templates: {', '.join(hypothesis.proposals)}"


def _calls(run: Run) -> Iterator[str]:
    for call in run.snapshot.recent_syscalls[-_CALLS:]:
        yield f"syscall/{call.seq}  {describe_syscall(call)}"


def _log(run: Run) -> Iterator[str]:
    name = run.snapshot.guest_output
    try:
        # Whole, because a line is cited by its number.
        lines = run.text_file(name).split("\n")
    except TriageError:
        return
    short = posixpath.relpath(name, "logs")
    for number, text in list(enumerate(lines, 1))[-_LOG_LINES:]:
        if text.strip():
            yield f"log/{short}#L{number}  {text}"


def _stack(run: Run) -> Iterator[str]:
    frames = run.snapshot.backtrace.frames[:12]
    for frame in frames:
        yield f"frame/{frame.idx}  {describe_frame(frame)}"
    files = {entry.frame: entry.file for entry in reversed(run.snapshot.backtrace.pseudocode_index)}
    coded = [frame for frame in frames if frame.idx in files]
    # The program's own code says more than that of the C library which made the call.
    own = [frame for frame in coded if frame.module_name == posixpath.basename(run.snapshot.target.program)]
    for frame in (own or coded)[:2]:
        try:
            lines = run.text_file(files[frame.idx]).split("\n")
        except TriageError:
            continue
        for number, text in list(enumerate(lines, 1))[:_CODE_LINES]:
            if text.strip():
                yield f"code/{frame.idx}#L{number}  {text}"


def _memory(run: Run) -> Iterator[str]:
    for entry in run.snapshot.memory[:16]:
        try:
            data = run.memory_bytes(entry.id)[:256]
        except TriageError:
            continue
        texts = " ".join(f'"{found.decode()}"' for found in _STRING.findall(data))
        shown = texts or data[:32].hex(" ")
        yield f"mem/{entry.id}  at {entry.addr_hex} ({entry.tag} {entry.purpose}): {shown}"


def _rules(run: Run) -> Iterator[str]:
    for hit in run.snapshot.rule_hits[:16]:
        trouble = f", switched off: {hit.disabled}" if hit.disabled else ""
        asked = f" of {hit.calls} calls" if hit.calls else ""
        yield f"rule/{hit.rule}  on {hit.syscall}: {hit.hits} hits{asked}{trouble}"
