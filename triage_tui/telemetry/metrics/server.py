"""Serve the metrics for as long as a command runs."""

from __future__ import annotations

import contextlib
import shutil
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from triage_tui.runs.limits import CaptureLimits, DiskUsage
from triage_tui.runs.listing import run_dirs
from triage_tui.telemetry.metrics import labels
from triage_tui.telemetry.metrics.address import Address, why_not
from triage_tui.telemetry.metrics.counting import Counting, observe
from triage_tui.telemetry.metrics.figures import Figures
from triage_tui.telemetry.metrics.following import Belongs, Follower, any_run
from triage_tui.telemetry.metrics.labels import by_known
from triage_tui.telemetry.metrics.spending import Spending

_LOOK_S = 2.0
"""How long one scrape may read records; what is left is in the next. Prometheus waits 10 s."""
_DISK_S = 60.0
"""How old the size of all runs may be,"""
_LEAST_S = 2.0
_SHARE = 50
"""and how much longer than the measuring took it must be, as far as that allows."""
_CLIENT_S = 10.0
"""How long a client may say nothing."""

Targets = Callable[[], Mapping[str, int]]
"""How many targets of a campaign stand where, by `labels.TARGET_STATES`."""
Taken = Callable[[], Sequence[float]]
"""How many seconds each target took that is finished since the metrics are served; only ever grows."""


class Metrics(Collector):
    """The metrics of a directory of runs; they are brought up to date when they are collected."""

    def __init__(
        self,
        runs_dir: Path,
        belongs: Belongs = any_run,
        *,
        limit_bytes: int | None = None,
        targets: Targets | None = None,
        taken: Taken | None = None,
    ) -> None:
        self._figures = Figures()
        self._runs_dir = runs_dir
        self._follower = Follower(runs_dir, belongs)
        self._counting = Counting(self._figures)
        self._spending = Spending()
        self._targets = targets
        self._taken = taken
        self._told = 0
        """Targets whose time is counted."""
        self._lock = threading.Lock()
        self._usage = DiskUsage(runs_dir)
        self._due = float("-inf")
        """When the size of all runs is measured again."""
        self._measuring: threading.Thread | None = None
        self._figures.limit.set(CaptureLimits.of({}).disk_bytes if limit_bytes is None else limit_bytes)
        # What was spent before is no news.
        self._spending.look(run_dirs(runs_dir))

    def describe(self) -> Iterator[Metric]:
        """Yield the names of all metrics: a scraper may ask for some of them (`?name[]=`)."""
        return self._figures.described()

    def collect(self) -> Iterator[Metric]:
        """Look at what is new, and yield all metrics."""
        with self._lock:
            self._look()
            families = list(self._figures.families())
        yield from families

    def _look(self) -> None:
        figures = self._figures
        for news in self._follower.look(_LOOK_S):
            self._counting.take(news)
        self._counting.settle()
        for request in self._spending.look(self._dirs()):
            figures.model_requests.labels("ok" if request.ok else "failed").inc()
            figures.model_tokens.labels("input").inc(request.tokens_in)
            figures.model_tokens.labels("output").inc(request.tokens_out)
            figures.model_cost.inc(request.money)
            observe(figures.model_request, request.seconds)
        for state, count in by_known(self._follower.states(), labels.STATES).items():
            figures.states.labels(state).set(count)
        figures.waiting.set(self._follower.waiting())
        figures.unread.set(self._follower.unread())
        if self._targets is not None:
            gauge = figures.known(figures.targets)
            for state, count in by_known(self._targets(), labels.TARGET_STATES).items():
                gauge.labels(state).set(count)
        if self._taken is not None:
            times, known = list(self._taken()), figures.known(figures.target)
            for seconds in times[self._told :]:
                observe(known, seconds)
            self._told = len(times)
        with contextlib.suppress(OSError):
            figures.known(figures.free).set(shutil.disk_usage(self._runs_dir).free)
        self._measure()

    def _dirs(self) -> list[Path]:
        return [run.dir for run in self._follower.runs.values() if run.wanted]

    def _measure(self) -> None:
        """Measure what the runs take, beside: of ten thousand it takes seconds."""
        if self._measuring is not None and self._measuring.is_alive():
            return
        began = time.monotonic()
        if began < self._due:
            return

        def work() -> None:
            size = self._usage.bytes()
            # What takes long is measured seldom.
            self._due = began + min(_DISK_S, max(_LEAST_S, _SHARE * (time.monotonic() - began)))
            self._figures.known(self._figures.size).set(size)

        self._measuring = threading.Thread(target=work, name="disk usage", daemon=True)
        self._measuring.start()


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_S

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the command."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: Address) -> None:
        self.address_family = address.family
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind, without asking a name server for our own name."""
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away."""


@contextmanager
def serving(address: Address, metrics: Metrics) -> Iterator[str]:
    """Serve `metrics` at `address` for as long as this is held; gives the URL.

    Raises:
        TriageError: the address is in use, or none of this machine.
    """
    try:
        server = _Server(address)
    except OSError as error:
        raise why_not(address, error) from error
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True
    )
    thread.start()
    try:
        yield address.url(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check_free(address: Address) -> None:
    """Refuse an address that cannot be served now.

    Raises:
        TriageError: it is in use, or none of this machine.
    """
    try:
        _Server(address).server_close()
    except OSError as error:
        raise why_not(address, error) from error
