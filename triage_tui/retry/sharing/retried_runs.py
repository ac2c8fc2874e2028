"""Which run is retried for a rule that is rolled out: the one against which its verdict says most."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from triage_tui.errors import TriageError
from triage_tui.retry.judging.ends import is_healthy
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.layers import in_force
from triage_tui.runs.listing import run_dirs, summarize
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import START_FILE

MAX_RUNS = 400
"""Runs among which those of the targets are looked for."""
_SAME_BUT_FOR_IT = 3
"""How fit a run is to be compared with that had the same rules but for the one in question."""


def newest_runs(workspace: Workspace, targets: Collection[str], sha256: str) -> list[Run]:
    """Return of each of these targets the run that is to be retried for a rule, at most one each.

    That is the newest that was made with the same other rules as act now and without this one: only against
    such a run does a retry say what the rule does. Where there is none it is the newest without the rule.
    A run that was well and in which another rule acted comes after these, because nothing could get further
    than it, and one with the rule is the last resort.
    """
    chosen: dict[str, tuple[int, Run]] = {}
    others: dict[str, set[str]] = {}
    for directory in run_dirs(workspace.runs_dir)[:MAX_RUNS]:
        target = summarize(directory).target_id
        if target not in targets or chosen.get(target, (0,))[0] == _SAME_BUT_FOR_IT:
            continue
        with contextlib.suppress(TriageError):
            run = load_run(directory)
            if not (directory / START_FILE).exists():
                continue
            if target not in others:
                others[target] = {rule.sha256 for rule in in_force(workspace.rulebook, target)} - {sha256}
            fitness = _fitness(run, sha256, others[target])
            if target not in chosen or fitness > chosen[target][0]:
                chosen[target] = (fitness, run)
    return [chosen[target][1] for target in targets if target in chosen]


def _fitness(run: Run, sha256: str, others: set[str]) -> int:
    had = {hit.sha256 for hit in run.snapshot.rule_hits}
    if sha256 in had:
        return 0
    if is_healthy(run) and any(hit.hits for hit in run.snapshot.rule_hits):
        return 1
    return _SAME_BUT_FOR_IT if had == others else 2
