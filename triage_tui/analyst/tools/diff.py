"""The tool that says what changed: since the round before, or from one generation of rules to another."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal

from msgspec import Meta

from triage_tui.analyst.tools.case import Case
from triage_tui.analyst.tools.tool import Arguments, JsonObject, Tool
from triage_tui.errors import TriageError
from triage_tui.rulebook import generations
from triage_tui.rulebook.manifest import Generation, read_file
from triage_tui.runs.call_signatures import signatures
from triage_tui.runs.evidence import make_link
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.text import safe_line

MAX_SIGNATURES = 60
MAX_DIFF_LINES = 600


class DiffArguments(Arguments):
    """What is compared."""

    kind: Annotated[
        Literal["round", "rules"],
        Meta(description="round: this run against the one before; rules: two generations of active rules"),
    ] = "round"
    other_run: Annotated[
        str, Meta(max_length=60, description="another run id than that of the round before")
    ] = ""
    from_generation: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="rules: default the one before; 0: none")
    ] = None
    to_generation: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="rules: default the newest")
    ] = None


def _diff(case: Case, asked: DiffArguments) -> JsonObject:
    return _rules(case, asked) if asked.kind == "rules" else _round(case, asked)


# --- rounds ---------------------------------------------------------------------------------------------


def _round(case: Case, asked: DiffArguments) -> JsonObject:
    run = case.run
    name = asked.other_run or run.snapshot.parent_run or ""
    if not name:
        raise TriageError("this run retries no other, so there is no round before it")
    before = _other(run, name)
    old, new = signatures(before.trace()), signatures(run.trace())
    answer: JsonObject = {
        "before": _summary(before),
        "after": _summary(run),
        "new_calls": [
            {"call": text, "evidence": make_link(run, "syscall", seq)}
            for text, seq in new.items()
            if text not in old
        ][:MAX_SIGNATURES],
        "gone_calls": [text for text in old if text not in new][:MAX_SIGNATURES],
    }
    if (verdict := read_verdict(run.dir)) is not None and verdict.before.run_id == before.run_id:
        answer["verdict"] = {"word": verdict.word, "rung": verdict.rung, "reasons": verdict.reasons}
        answer["masked"] = verdict.masked[:MAX_SIGNATURES]
    first, last = before.snapshot.engine.generation, run.snapshot.engine.generation
    answer["generations"] = [first, last]
    if case.rulebook is not None and first != last:
        try:
            answer["rules"] = _between(case, first, last)
        except TriageError as error:
            answer["rules"] = [f"(not to be had: {error})"]
    return answer


def _other(run: Run, name: str) -> Run:
    path = run.dir.parent / name
    if not is_run_id(name) or path.is_symlink() or not path.is_dir():
        raise TriageError(f"there is no run {safe_line(name, 60)!r} beside this one")
    return load_run(path)


def _summary(run: Run) -> JsonObject:
    snapshot = run.snapshot
    diagnosis = run.diagnosis
    best = diagnosis.hypotheses[0] if diagnosis is not None and diagnosis.hypotheses else None
    return {
        "run": run.run_id,
        "reason": snapshot.reason,
        "trigger": f"{snapshot.trigger.syscall_name} {snapshot.trigger.detail}".strip(),
        "exit_code": snapshot.trigger.exit_code,
        "signal": snapshot.trigger.signal,
        "syscalls": snapshot.statistics.syscalls,
        "failed_syscalls": snapshot.statistics.failed_syscalls,
        "listening": snapshot.statistics.listening,
        "headline": diagnosis.headline if diagnosis is not None else None,
        "cause": best.cause if best is not None else None,
        "confidence": best.confidence if best is not None else None,
    }


# --- rules ----------------------------------------------------------------------------------------------


def _rules(case: Case, asked: DiffArguments) -> JsonObject:
    if case.rulebook is None or not (known := generations.history(case.rulebook)):
        raise TriageError("no rule was ever active for this target, so there are no generations to compare")
    last = known[-1].number if asked.to_generation is None else asked.to_generation
    newer = next((one for one in known if one.number == last), None)
    parent = newer.parent or 0 if newer is not None else 0
    first = parent if asked.from_generation is None else asked.from_generation
    active = generations.current(case.rulebook)
    return {
        "generations": [first, last],
        "active": active.number if active is not None else None,
        "known": [
            {"number": one.number, "created": one.created, "reason": one.reason, "rules": one.rule_ids}
            for one in known[-MAX_SIGNATURES:]
        ],
        "diff": _between(case, first, last),
    }


def _between(case: Case, first: int, last: int) -> list[str]:
    """Return the unified difference of two generations; 0 is the one without rules."""
    old, new = _texts(case, first), _texts(case, last)
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        lines += difflib.unified_diff(
            old.get(name, []), new.get(name, []), f"{first}/{name}", f"{last}/{name}", lineterm=""
        )
        if len(lines) > MAX_DIFF_LINES:
            return [*lines[:MAX_DIFF_LINES], "... (the rest is left out)"]
    return lines


def _texts(case: Case, number: int) -> dict[str, list[str]]:
    if not number or case.rulebook is None:
        return {}
    found = next((one for one in generations.history(case.rulebook) if one.number == number), None)
    if found is None:
        raise TriageError(f"there is no generation {number} of the rules")
    return {name: _lines(found, name) for name in sorted(found.files)}


def _lines(generation: Generation, name: str) -> list[str]:
    return read_file(generation, name).decode("utf-8", "backslashreplace").split("\n")[:MAX_DIFF_LINES]


TOOLS = (
    Tool(
        "get_diff",
        "What changed from the round before to this run (end, figures, calls that are new or gone, verdict,"
        " rules), or with kind=rules the difference of two generations of active rules.",
        DiffArguments,
        _diff,
    ),
)
