"""The steps of one rule: where it came from, who decided on it, and what it did in each run since."""

from __future__ import annotations

from collections.abc import Mapping

from triage_tui.errors import TriageError
from triage_tui.retry.tracing.building import Building
from triage_tui.retry.tracing.event_words import TRIALS
from triage_tui.retry.tracing.finding import Found, generations_with
from triage_tui.retry.tracing.model import Changed, Kind, TracedRule, TraceStep
from triage_tui.retry.tracing.of_run import trace_of_run
from triage_tui.rulebook import generations, statistics
from triage_tui.rulebook.audit.log import Entry
from triage_tui.rulebook.audit.words import sentence
from triage_tui.rulebook.manifest import read_file
from triage_tui.rulebook.rulefile import parse
from triage_tui.rulebook.statistics import HELPED, HURT, RuleUse, RunUse
from triage_tui.runs.events import VERDICTS
from triage_tui.runs.evidence import make_link
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.verdict_figures import figure_rows
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.text import number_of

_MAX_ORIGINS = 4
_OWN = frozenset(("proposed", "edited", "approved", "rejected", "dropped", "reconsidered", "retry_started"))
"""Kinds of lines of the audit log that repeat an event of a run."""

_KINDS: Mapping[str, Kind] = {
    "proposed": "proposal",
    "retry_started": "retry",
    "retry_finished": "verdict",
    "needs_person": "end",
    **dict.fromkeys(("experiment_started", "experiment_finished"), "experiment"),
    **dict.fromkeys(TRIALS, "trial"),
}
"""Kind of a line of the audit log to that of its step; others are decisions."""


def trace_of_rule(building: Building, rule: Found) -> str:
    """Append the steps of a rule over all runs that it acted in; return what came of it, one sentence."""
    places = generations_with(building.rulebook, rule.sha256)
    lines = [entry for entry in building.audit if _is_about(entry, rule)]
    files = {name for _target, _made, name in places} | {name for entry in lines for name in entry.rules}
    names = {name for name in files if rule.name in name} or files
    shas = set(rule.sha256)
    began: dict[str, int] = {}
    for origin in _origins(building, rule, lines)[:_MAX_ORIGINS]:
        run = building.run(origin)
        if run is not None:
            own = {name for one in (run.diagnosis.proposals if run.diagnosis else ()) for name in one.files}
            only = (
                {name for name in own if rule.name in name}
                or {f"fix/{name}" for name in names}
                or {rule.name}
            )
            began[origin] = trace_of_run(building, run, only=only)
    if not began:
        building.lack(f"no run is here that proposed rule {rule.name}")
    told = {step.audit for step in building.steps if step.audit}
    targets: dict[int, str] = {}
    """Of steps that only the audit log tells: the target whose rules they moved."""
    for entry in lines:
        if entry.number not in told and not (entry.run in began and entry.kind in (*_OWN, "activated")):
            targets[_audited(building, entry)] = entry.target
    uses = [
        (use, one) for use in statistics.uses(building.rulebook) for one in use.rules if one.sha256 in shas
    ]
    uses.sort(key=lambda pair: pair[0].run)
    for use, one in uses:
        _acted(building, use, one, targets)
    return _in_words(building, rule, uses)


def _is_about(entry: Entry, rule: Found) -> bool:
    return any(rule.name in name or sha in rule.sha256 for name, sha in entry.rules.items())


def _origins(building: Building, rule: Found, lines: list[Entry]) -> list[str]:
    """Return the runs that the rule was decided on: as its header names them, and the audit log."""
    found = []
    for _target, made, name in generations_with(building.rulebook, rule.sha256):
        try:
            header = parse(read_file(made, name)).header
        except TriageError as error:
            building.lack(str(error))
            continue
        found.append(header.run)
    found += rule.runs
    found += [entry.run for entry in lines if entry.kind in ("approved", "edited", "activated")]
    return [name for name in dict.fromkeys(found) if is_run_id(name)]


def _audited(building: Building, entry: Entry) -> int:
    moves = entry.before is not None or entry.after is not None
    rules = [
        TracedRule(file=n, sha256=s, generation=entry.after or 0) for n, s in list(entry.rules.items())[:32]
    ]
    return building.add(
        "rule" if moves else _KINDS.get(entry.kind, "decision"),
        entry.run,
        sentence(entry),
        at=entry.wall,
        actor=entry.actor,
        why=entry.says,
        rules=rules,
        before=entry.before,
        after=entry.after,
        digest=entry.digest,
        audit=entry.number,
        policy=entry.says if entry.actor.startswith("policy") and "line " in entry.says else "",
    )


def _acted(building: Building, use: RunUse, rule: RuleUse, targets: Mapping[int, str]) -> None:
    counts = [
        f"asked {number_of(rule.calls, 'time')}",
        number_of(rule.hits, "hit"),
        number_of(rule.errors, "error"),
        f"{min(rule.time_us, 1 << 80) / 1000:.1f} ms",
    ]
    if rule.skipped:
        counts.append(f"skipped at {number_of(rule.skipped, 'call')}")
    if rule.state != "active":
        counts.append(rule.state.replace("_", " "))
    new = ", new in it" if rule.fresh and use.before else ""
    says = f"{use.verdict or 'first run'}{new}: {', '.join(counts)}"
    run = building.run(use.run)
    figures, evidence = [], []
    if run is not None:
        verdict = read_verdict(run.dir)
        if verdict is not None:
            figures = [
                Changed(name=row.name, before=row.before, after=row.after) for row in figure_rows(verdict)
            ]
            if rule.fresh:
                pairs = zip(verdict.reasons, verdict.links, strict=False)
                evidence = [building.cited(run, link, reason) for reason, link in pairs if link]
        elif use.before:
            building.lack(f"the verdict of run {use.run} cannot be read: figures are missing")
        try:
            evidence.insert(0, building.cited(run, make_link(run, "rule", rule.rule)))
        except TriageError as error:
            building.lack(str(error))
    # Each target numbers its own generations, and a rule may be active for several.
    moves = [
        step
        for step in building.steps
        if step.kind == "rule" and step.after and _target_of(building, step, targets) == use.target
    ]
    # A generation that another rule began may have this one, too.
    because = [s.number for s in moves if s.after == use.generation] or [
        s.number for s in moves if s.at <= use.wall
    ]
    building.add(
        "acted",
        use.run,
        says,
        at=use.wall,
        why=f"{use.how} of run {use.before}" if use.before else "",
        because=because[-1:],
        rules=[TracedRule(file=rule.rule, sha256=rule.sha256, id=rule.rule, generation=use.generation)],
        evidence=evidence,
        figures=figures if rule.fresh else [],
    )


def _target_of(building: Building, step: TraceStep, targets: Mapping[int, str]) -> str:
    run = building.runs.get(step.run)
    return targets.get(step.number) or (run.snapshot.target.target_id if run is not None else "")


def _in_words(building: Building, rule: Found, uses: list[tuple[RunUse, RuleUse]]) -> str:
    acted = [(use, one) for use, one in uses if one.hits]
    judged = [(use, one) for use, one in acted if one.fresh and use.verdict in VERDICTS]
    helped = sum(use.verdict in HELPED for use, _one in judged)
    hurt = sum(use.verdict in HURT for use, _one in judged)
    active = sorted({f"{target} (generation {made.number})" for target, made in _active(building, rule)})
    where = f"active for {', '.join(active[:3])}" if active else "active nowhere now"
    if len(active) > 3:
        where += f" and {len(active) - 3} more"
    runs = number_of(len(uses), "judged run")
    return f"{where}; in {runs}, acted in {len(acted)}, helped in {helped}, hurt in {hurt}"


def _active(building: Building, rule: Found) -> list[tuple[str, generations.Generation]]:
    found = []
    for target, made, _name in generations_with(building.rulebook, rule.sha256):
        try:
            now = generations.current(building.rulebook / target)
        except TriageError as error:
            building.lack(str(error))
            continue
        if now is not None and now.number == made.number:
            found.append((target, made))
    return found
