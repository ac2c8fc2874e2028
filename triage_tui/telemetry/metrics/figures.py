"""The metrics: names, units, labels and help, after Prometheus' naming practice.

https://prometheus.io/docs/practices/naming/: one prefix, base units, `_total` for what only grows. All labels
are of fixed sets (see `labels`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics_core import Metric

from triage_tui import __version__
from triage_tui.telemetry.metrics import labels

PREFIX = "triage_tui"
T = TypeVar("T", Gauge, Histogram)
_MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MINUTES = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_DAYS = (
    1.0,
    10.0,
    60.0,
    300.0,
    900.0,
    3600.0,
    4 * 3600.0,
    12 * 3600.0,
    24 * 3600.0,
    72 * 3600.0,
    168 * 3600.0,
)
_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)


def _counter(name: str, says: str, *labels: str) -> Counter:
    return Counter(f"{PREFIX}_{name}", says, labels, registry=None)


def _gauge(name: str, says: str, *labels: str) -> Gauge:
    return Gauge(f"{PREFIX}_{name}", says, labels, registry=None)


def _latency(name: str, says: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"{PREFIX}_{name}_duration_seconds", says, labels, buckets=buckets, registry=None)


class Figures:
    """All metrics of one process; nothing of them is shared with other registries."""

    def __init__(self) -> None:
        # A series of its own for the birth of each series says nothing here.
        cast("Callable[[], None]", disable_created_metrics)()
        self.build = _gauge("build_info", "Version of triage-tui; always 1.", "version")
        self.build.labels(__version__).set(1)
        self.runs = _counter(
            "runs_total", "Recorded runs that are judged or need no judge.", "trigger", "verdict"
        )
        self.brief = _counter(
            "brief_captures_total", "Runs recorded in brief: over a limit, or on a full disk."
        )
        self.diagnoses = _counter("diagnoses_total", "Diagnoses by their likeliest cause.", "cause", "source")
        self.lookups = _counter(
            "knowledge_base_lookups_total",
            "Diagnoses asked of the knowledge base, and whether it knew.",
            "result",
        )
        self.freeze = _latency(
            "freeze", "From the wish to freeze a guest until all of it stood still.", _MILLISECONDS
        )
        self.capture = _latency(
            "capture", "From the freeze until the run's record was on the disk.", _SECONDS
        )
        self.diagnosis = _latency(
            "diagnosis", "From the record until its diagnosis was on the disk.", _SECONDS
        )
        self.retry = _latency("retry", "From the start of a retry to its verdict.", _SECONDS)
        self.decision = _latency(
            "decision", "From the proposal, or the wait of a guest, to the first decision.", _DAYS, "actor"
        )
        self.model_request = _latency("model_request", "How long requests to the model took.", _SECONDS)
        self.target = _latency(
            "campaign_target", "How long a worker had a target, all its rounds together.", _MINUTES
        )
        rule = ("template", "syscall", "layer")
        self.rule_calls = _counter("rule_calls_total", "Calls of guests that rules were asked about.", *rule)
        self.rule_hits = _counter("rule_hits_total", "Of these, calls that rules answered or changed.", *rule)
        self.rule_errors = _counter("rule_errors_total", "Of these, calls at which rules failed.", *rule)
        self.rule_wait = _counter(
            "rule_wait_seconds_total", "Time that guests waited for the answers of rules.", *rule
        )
        self.rules_off = _counter(
            "rules_disabled_total", "Rules switched off in a run: they failed or took too much."
        )
        self.retries = _counter("retries_total", "Retries that are over, by what came of them.", "outcome")
        self.decisions = _counter("decisions_total", "Decisions on rules.", "decision", "actor")
        self.recurrences = _counter(
            "recurrences_total", "Failures that stable rules had mended and that are back."
        )
        self.lost = _counter("lost_guests_total", "Guests whose holder ended before anybody decided.")
        self.unreadable = _counter("unreadable_records_total", "Runs whose record or event log was damaged.")
        self.model_requests = _counter(
            "model_requests_total", "Requests to the model that are over.", "outcome"
        )
        self.model_tokens = _counter("model_tokens_total", "Tokens of requests to the model.", "direction")
        self.model_cost = _counter(
            "model_cost_dollars_total", "Price of the model's requests of which it is known, in US dollars."
        )
        self.states = _gauge("recorded_runs", "Runs by the state that their events lead to.", "state")
        self.waiting = _gauge("waiting_guests", "Frozen guests that wait for a decision.")
        self.unread = _gauge("unread_runs", "Runs that were not looked at yet.")
        self.targets = _gauge("campaign_targets", "Targets of the campaign by where they stand.", "state")
        self.size = _gauge("recorded_runs_size_bytes", "What all runs take on the disk.")
        self.limit = _gauge("recorded_runs_limit_bytes", "What all runs may take on the disk; 0 is no limit.")
        self.free = _gauge("disk_free_bytes", "Room on the file system of the runs.")
        self._optional: dict[object, bool] = dict.fromkeys(
            (self.targets, self.target, self.size, self.free), False
        )

        self._begin()

    def _begin(self) -> None:
        """Begin each series of a small set at 0: one that appears with its first count shows no increase."""
        for counter, *sets in (
            (self.runs, labels.TRIGGERS, labels.RUN_VERDICTS),
            (self.diagnoses, labels.KNOWN_CAUSES, labels.SOURCES),
            (self.lookups, ("hit", "miss")),
            (self.retries, labels.RETRY_OUTCOMES),
            (self.decisions, labels.DECISIONS, labels.ACTORS),
            (self.model_requests, ("ok", "failed")),
            (self.model_tokens, ("input", "output")),
            (self.decision, labels.ACTORS),
        ):
            for values in itertools.product(*map(sorted, sets)):
                counter.labels(*values)

    def known(self, metric: T) -> T:
        """Return a metric that is told from now on; before, nothing is known of it, and it is left out."""
        self._optional[metric] = True
        return metric

    def families(self) -> Iterator[Metric]:
        """Yield all metrics as a registry wants them."""
        for metric in self._all():
            if self._optional.get(metric, True):
                yield from metric.collect()

    def described(self) -> Iterator[Metric]:
        """Yield all metrics, those of which nothing is known yet included, for their names."""
        for metric in self._all():
            yield from metric.describe()

    def _all(self) -> Iterator[Counter | Gauge | Histogram]:
        return (one for one in vars(self).values() if isinstance(one, Counter | Gauge | Histogram))
