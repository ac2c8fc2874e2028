"""Turn what is new in runs into figures. Records may be hostile: they move numbers and make no labels."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
from prometheus_client import Histogram

from triage_tui.diagnosis.report import DOUBT
from triage_tui.errors import TriageError
from triage_tui.rulebook.statistics import RuleUse, use_of
from triage_tui.runs.events import Event, process_start, supervisor_of
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.limits import BRIEF_LACKS
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.verdict_model import Verdict, read_verdict
from triage_tui.telemetry.metrics import labels
from triage_tui.telemetry.metrics.figures import Figures
from triage_tui.telemetry.metrics.following import News, moment_of
from triage_tui.telemetry.metrics.labels import bounded

_SECOND = 1_000_000_000
_LONGEST_S = 7 * 24 * 3600.0
"""A longer time in a record is none that was measured."""
_MOST = 1e12
"""The same of what a rule did in one run."""
_DECIDED = frozenset(("approved", "rejected"))
"""Events of `labels.DECISIONS` that decide on a run, as `decision` does on a guest that waits."""
MAX_RULE_SERIES = 500
"""Series of each figure of rules; what comes later is `other`."""
_Labels = tuple[str, str, str]


class _Open(msgspec.Struct):
    """A run that is recorded, of which it is not known yet whether and how it is judged."""

    dir: Path
    supervisor: tuple[int, int] | None


class Counting:
    """Counts for `figures`."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._open: dict[str, _Open] = {}
        self._damaged: set[str] = set()
        """Runs that are counted as unreadable."""
        self._retries: dict[str, Event] = {}
        """Of runs that are being retried, where that began."""
        self._templates = labels.templates()
        self._shown: set[_Labels] = set()
        """What was shown of rules before: template, syscall, layer."""
        self._held: list[tuple[_Labels, RuleUse]] = []
        """What rules did of which nothing was shown before."""

    def take(self, news: News) -> None:
        """Count what is new of a run."""
        if news.problems:
            self._is_damaged(news.run.dir)
        for event in news.new:
            self._take_event(news, event)

    def settle(self) -> None:
        """Count the runs that are judged by now, and those that nobody judges any more."""
        held, self._held = self._held, []
        for named, use in held:
            self._add(named, use)
        for name, run in list(self._open.items()):
            verdict = read_verdict(run.dir)
            if verdict is not None:
                self._finish(name, bounded(verdict.word, labels.RUN_VERDICTS), verdict)
            elif run.supervisor is not None and process_start(run.supervisor[0]) != run.supervisor[1]:
                self._finish(name, "unjudged")

    def _take_event(self, news: News, event: Event) -> None:
        figures, name = self._figures, news.run.dir.name
        match event.kind:
            case "captured":
                self._captured(news, event)
            case "diagnosed":
                self._diagnosed(news, event)
            case "analyzed":
                causes = event.payload.get("causes")
                first = causes[0] if isinstance(causes, list) and causes else "unknown"
                figures.diagnoses.labels(bounded(first, labels.KNOWN_CAUSES), "model").inc()
            case "retry_started":
                self._retries[name] = event
            case "retry_finished":
                self._retried(name, event, bounded(event.payload.get("verdict"), labels.RETRY_OUTCOMES))
            case "needs_person" if name in self._retries:
                self._retried(name, event, "failed")
            case "experiment_finished":
                self._experimented(event)
            case "reopened":
                figures.recurrences.inc()
            case "holder_lost":
                figures.lost.inc()
            case kind if kind in labels.DECISIONS:
                figures.decisions.labels(kind, _decider(event)).inc()
                if kind in _DECIDED:
                    self._decided(news, event)
            case "decision":
                self._decided(news, event)
            case _:
                pass

    def _captured(self, news: News, event: Event) -> None:
        run = self._load(news.run.dir)
        if run is None:
            return
        snapshot = run.snapshot
        moment = snapshot.trigger.ts_mono_ns
        if moment > 0 and not event.payload.get("recorded_by"):
            observe(self._figures.capture, _between(moment, event.ts_mono_ns))
        if snapshot.statistics.freeze_ms:
            observe(self._figures.freeze, snapshot.statistics.freeze_ms / 1000)
        if any(lacking.what == BRIEF_LACKS for lacking in snapshot.unavailable):
            self._figures.brief.inc()
        if snapshot.parent_run is None:
            self._finish(run.run_id, "first", run=run)
        else:
            self._open[run.run_id] = _Open(run.dir, supervisor_of(news.events))

    def _diagnosed(self, news: News, event: Event) -> None:
        run = self._load(news.run.dir)
        best = (
            run.diagnosis.hypotheses[0]
            if run is not None and run.diagnosis and run.diagnosis.hypotheses
            else None
        )
        cause = event.payload.get("cause")
        knows = cause not in ("", "unknown", None) and (best is None or best.confidence >= DOUBT)
        self._figures.lookups.labels("hit" if knows else "miss").inc()
        source = "knowledge_base" if knows else "heuristic"
        self._figures.diagnoses.labels(bounded(cause or "unknown", labels.KNOWN_CAUSES), source).inc()
        before = [one for one in news.events if one.event_id < event.event_id]
        if before and before[-1].kind in ("captured", "log_added"):
            observe(self._figures.diagnosis, _between(before[-1].ts_mono_ns, event.ts_mono_ns))

    def _decided(self, news: News, event: Event) -> None:
        """Count how long the first decision on a run took, by the wall clock: it may be boots away."""
        before = [one for one in news.events if one.event_id < event.event_id]
        if any(one.kind in _DECIDED or one.kind == "decision" for one in before):
            return
        began = next((moment_of(one) for one in reversed(before) if one.kind in ("proposed", "waiting")), 0.0)
        if began and (ended := moment_of(event)):
            observe(self._figures.decision.labels(_decider(event)), ended - began)

    def _retried(self, name: str, event: Event, outcome: str) -> None:
        self._figures.retries.labels(outcome).inc()
        began = self._retries.pop(name, None)
        if began is not None:
            observe(self._figures.retry, _between(began.ts_mono_ns, event.ts_mono_ns))

    def _experimented(self, event: Event) -> None:
        name = event.payload.get("run")
        if isinstance(name, str) and name in self._open:
            self._finish(name, "experiment")

    def _finish(self, name: str, verdict: str, judged: Verdict | None = None, run: Run | None = None) -> None:
        """Count a run as what it came to, and what its rules did."""
        known = self._open.pop(name, None)
        run = run or (self._load(known.dir) if known is not None else None)
        if run is None:
            return
        self._figures.runs.labels(bounded(run.snapshot.reason, labels.TRIGGERS), verdict).inc()
        before = None
        if judged is not None and judged.how == "resume" and is_run_id(run.snapshot.parent_run or ""):
            with contextlib.suppress(TriageError):
                before = load_run(run.dir.parent / str(run.snapshot.parent_run))
        self._count_rules(run, before, judged)

    def _count_rules(self, run: Run, before: Run | None, judged: Verdict | None) -> None:
        figures = self._figures
        for use in use_of(run, before, judged).rules:
            named = (
                bounded(use.template or labels.NO_TEMPLATE, self._templates),
                bounded(use.syscall, labels.SYSCALLS),
                bounded(use.layer, labels.LAYERS),
            )
            if use.state == "disabled":
                figures.rules_off.inc()
            if named not in self._shown and len(self._shown) >= MAX_RULE_SERIES:
                named = (labels.OTHER, labels.OTHER, labels.OTHER)
            if named in self._shown:
                self._add(named, use)
                continue
            # A series that appears with its first count shows no increase, so it is shown at 0 once.
            self._held.append((named, use))
            self._shown.add(named)
            for counter in (figures.rule_calls, figures.rule_hits, figures.rule_errors, figures.rule_wait):
                counter.labels(*named)

    def _add(self, named: _Labels, use: RuleUse) -> None:
        figures = self._figures
        for counter, amount in (
            (figures.rule_calls, use.calls),
            (figures.rule_hits, use.hits),
            (figures.rule_errors, use.errors),
            (figures.rule_wait, min(use.time_us, _MOST) / 1e6),
        ):
            counter.labels(*named).inc(min(max(0, amount), _MOST))

    def _load(self, run_dir: Path) -> Run | None:
        try:
            return load_run(run_dir)
        except TriageError:
            self._is_damaged(run_dir)
            return None

    def _is_damaged(self, run_dir: Path) -> None:
        if run_dir.name not in self._damaged:
            self._damaged.add(run_dir.name)
            self._figures.unreadable.inc()


def _decider(event: Event) -> str:
    return "policy" if event.actor.startswith("policy") or "policy" in event.payload else "person"


def _between(start_ns: int, end_ns: int) -> float:
    """Return the seconds between two moments; whole numbers of a record may be larger than any float."""
    most = int(_LONGEST_S + 1) * _SECOND
    return max(-1, min(end_ns - start_ns, most)) / _SECOND


def observe(histogram: Histogram, seconds: float) -> None:
    """Count a time, unless it is none that can have been measured."""
    if 0 <= seconds <= _LONGEST_S:
        histogram.observe(seconds)
