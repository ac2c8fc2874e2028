"""What was tried on a target before a run, and what came of it: data for the phase `refine`."""

from __future__ import annotations

from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.verdict_model import read_verdict

_FAILED = ("sideways", "regressed", "inconclusive")
_MAX_ROUNDS = 6


def told_rounds(run: Run, runs_dir: Path) -> str:
    """Return what was tried before `run`, newest first; "" unless it is a retry that failed."""
    verdict = read_verdict(run.dir)
    if verdict is None or verdict.word not in _FAILED:
        return ""
    lines: list[str] = []
    current: Run | None = run
    for _ in range(_MAX_ROUNDS):
        if current is None or verdict is None:
            break
        lines.append(
            f"run {current.run_id}: the retry was judged {verdict.word} ({'; '.join(verdict.reasons[:3])})"
        )
        lines += [f"    masked on the way: {text}" for text in verdict.masked[:4]]
        lines += [
            f"    rule/{hit.rule} on {hit.syscall}: {hit.hits} hits" for hit in current.snapshot.rule_hits[:8]
        ]
        current = _parent(current, runs_dir)
        if current is not None and current.diagnosis is not None and current.diagnosis.hypotheses:
            first = current.diagnosis.hypotheses[0]
            lines.append(f"    it was thought to be {first.cause}: {first.title}")
        verdict = read_verdict(current.dir) if current is not None else None
    return "\n".join(lines)


def _parent(run: Run, runs_dir: Path) -> Run | None:
    name = run.snapshot.parent_run or ""
    if not is_run_id(name):
        return None
    try:
        return load_run(runs_dir / name)
    except TriageError:
        return None
